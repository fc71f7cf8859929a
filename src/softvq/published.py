"""The paper's own numbers, how its tables are laid out, and the names and units in which ours stand beside them."""

from functools import cache
from importlib.resources import files

import yaml

PROBE_METRICS = ("clustering_accuracy", "clustering_nmi", "classification_accuracy")
MSE = "test_normalized_mse"
NUMBERS = (*PROBE_METRICS, MSE)  # of a run that every table shows
IN_PERCENT = frozenset(PROBE_METRICS)  # fractions of 1 in files, percent wherever a person reads them
LABELS = {  # as a column is headed
    "clustering_accuracy": "Clustering",
    "clustering_nmi": "NMI",
    "classification_accuracy": "Classification",
    MSE: "MSE / variance",
}
IN_WORDS = {  # where there is room
    "clustering_accuracy": "clustering accuracy",
    "clustering_nmi": "clustering NMI",
    "classification_accuracy": "classification accuracy",
}
MINUS = "\N{MINUS SIGN}"

ROWS = ("raw", "untrained", "identity", "vae", "beta_vae", "info_dropout", "vq", "soft_vq")
FLOORS = ("raw", "untrained")  # what needs no training
SEES_LABELS = frozenset({"dvib"})  # learns from labels: no row to compare the others with
SEEDLESS = frozenset({"raw"})  # no random number but the probes' own, which are the same for every seed
ROW_NAMES = {
    "raw": "Raw data",
    "untrained": "Untrained encoder",
    "identity": "Baseline autoencoder",
    "vae": "VAE",
    "beta_vae": "β-VAE",
    "info_dropout": "Information dropout",
    "vq": "VQ-VAE",
    "soft_vq": "Soft VQ-VAE",
}
DATA_NAMES = {
    "mnist": "MNIST",
    "svhn": "SVHN",
    "cifar10": "CIFAR-10",
    "fashion_mnist": "Fashion-MNIST",
    "digits": "scikit-learn digits",
}
TABLES = (  # key, title, what the paper says it holds, data sets
    ("table_1", "Table 1", "Accuracy of downstream tasks of MNIST (d = 64).", ("mnist",)),
    ("table_2", "Table 2", "Accuracy of downstream tasks of SVHN and CIFAR-10 (d = 256).", ("svhn", "cifar10")),
)
PAPER_DATA = tuple(data for *_, members in TABLES for data in members)
PARAMETERS = {  # the paper's own remarks in its tables' first column
    ("table_1", "beta_vae"): "β = 20",
    ("table_1", "vq"): "K = 128",
    ("table_1", "soft_vq"): "K = 128",
    ("table_2", "beta_vae"): "β = 100",
    ("table_2", "vq"): "K = 512",
    ("table_2", "soft_vq"): "K = 32",
}


@cache
def published_tables() -> dict[str, dict[str, dict[str, float]]]:
    """Tables 1 and 2: data -> bottleneck -> metric -> fraction of 1."""
    tables: dict[str, dict[str, dict[str, float]]] = yaml.safe_load(
        files("softvq").joinpath("published.yaml").read_text(encoding="utf-8")
    )
    return tables


def published(data: str, bottleneck: str) -> dict[str, float]:
    """The paper's numbers of one row; empty where it has none.

    Example:
        >>> published("mnist", "soft_vq")["clustering_accuracy"]
        0.7764
    """
    return published_tables().get(data, {}).get(bottleneck, {})


def table_columns(data: str) -> tuple[str, ...]:
    """The probes that the paper's table of a data set has; all of them for other data."""
    rows = published_tables().get(data)
    return PROBE_METRICS if rows is None else tuple(m for m in PROBE_METRICS if m in rows["soft_vq"])


def row_name(bottleneck: str, table: str = "") -> str:
    """What the paper calls a row, with its parameter in that table."""
    name = ROW_NAMES.get(bottleneck, bottleneck)
    parameter = PARAMETERS.get((table, bottleneck))
    return f"{name} ({parameter})" if parameter else name


def data_name(data: str) -> str:
    """What the paper calls a data set."""
    return DATA_NAMES.get(data, data)


def row_order(bottleneck: str) -> tuple[int, str]:
    """The paper's order first, other models by name behind it."""
    return (ROWS.index(bottleneck) if bottleneck in ROWS else len(ROWS), bottleneck)


def data_order(data: str) -> tuple[int, str]:
    """The paper's data sets first, others by name behind them."""
    return (PAPER_DATA.index(data) if data in PAPER_DATA else len(PAPER_DATA), data)


def label(metric: str) -> str:
    """The heading of a column, with its unit; for a number that the paper does not have its own name in words.

    Example:
        >>> label("clustering_nmi"), label("test_normalized_mse"), label("active_units")
        ('NMI (%)', 'MSE / variance', 'active units')
    """
    return f"{LABELS[metric]} (%)" if metric in IN_PERCENT else LABELS.get(metric, metric.replace("_", " "))


def shown(value: float | None, metric: str, signed: bool = False) -> str:
    """A number in the unit of its metric: probes in percent with two digits, the rest as it is with four.

    Example:
        >>> shown(0.7764, "clustering_accuracy"), shown(0.1358, "test_normalized_mse"), shown(None, "clustering_nmi")
        ('77.64', '0.1358', '—')
        >>> shown(-0.0121, "clustering_nmi", signed=True)
        '−1.21'
    """
    if value is None:
        return "—"
    scaled, digits = (100 * value, 2) if metric in IN_PERCENT else (value, 4)
    text = f"{scaled:+.{digits}f}" if signed else f"{scaled:.{digits}f}"
    if float(text) == 0:  # no "-0.00"
        return text.lstrip("+-")
    return text.replace("-", MINUS)
