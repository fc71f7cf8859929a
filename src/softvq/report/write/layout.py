"""The rows, columns and words of the paper's Tables 1 and 2."""

MINUS = "\N{MINUS SIGN}"
ROWS = ("raw", "untrained", "identity", "vae", "beta_vae", "info_dropout", "vq", "soft_vq")
SEEDLESS = frozenset({"raw"})  # no random number but the probes' own, which are the same for every seed

NAMES = {
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
METRIC_NAMES = {
    "clustering_accuracy": "Clustering",
    "clustering_nmi": "Clustering (NMI)",
    "classification_accuracy": "Classification",
    "test_normalized_mse": "Normalized test MSE",
}
ACCURACIES = frozenset({"clustering_accuracy", "classification_accuracy"})  # in percent; the rest as they are

TABLE_1 = ("mnist",)
TABLE_2 = ("svhn", "cifar10")
TABLES = (
    ("table_1", "Table 1", "Accuracy of downstream tasks of MNIST (d = 64).", TABLE_1),
    ("table_2", "Table 2", "Accuracy of downstream tasks of SVHN and CIFAR-10 (d = 256).", TABLE_2),
)
# As the paper's tables have them, and NMI on MNIST alone.
COLUMNS = {
    "mnist": ("clustering_accuracy", "clustering_nmi", "classification_accuracy"),
    "svhn": ("clustering_accuracy", "classification_accuracy"),
    "cifar10": ("clustering_accuracy", "classification_accuracy"),
}
OTHER_COLUMNS = ("clustering_accuracy", "clustering_nmi", "classification_accuracy")
PARAMETERS = {  # the paper's own remarks in its first column
    ("table_1", "beta_vae"): "β = 20",
    ("table_1", "vq"): "K = 128",
    ("table_1", "soft_vq"): "K = 128",
    ("table_2", "beta_vae"): "β = 100",
    ("table_2", "vq"): "K = 512",
    ("table_2", "soft_vq"): "K = 32",
}
SYMBOLS = {"match": "=", "above": "▲", "below": "▼", "not run": "\N{EN DASH}", "too few seeds": "?"}


def row_name(bottleneck: str, table: str = "") -> str:
    """What the paper calls a row, with its parameter in that table."""
    name = NAMES.get(bottleneck, bottleneck)
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
    paper = (*TABLE_1, *TABLE_2)
    return (paper.index(data) if data in paper else len(paper), data)


def shown(value: float | None, metric: str, signed: bool = False) -> str:
    """A value as the paper prints it: accuracies in percent with two digits, NMI and MSE as fractions with four."""
    if value is None:
        return "—"
    scaled, digits = (100 * value, 2) if metric in ACCURACIES else (value, 4)
    text = f"{scaled:+.{digits}f}" if signed else f"{scaled:.{digits}f}"
    if float(text) == 0:  # no "-0.00"
        return text.lstrip("+-")
    return text.replace("-", MINUS) if signed else text
