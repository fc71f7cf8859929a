"""The paper's own numbers."""

from functools import cache
from importlib.resources import files

from omegaconf import OmegaConf

PROBE_METRICS = ("clustering_accuracy", "clustering_nmi", "classification_accuracy")


@cache
def published_tables() -> dict[str, dict[str, dict[str, float]]]:
    """Tables 1 and 2: data -> bottleneck -> metric -> fraction of 1."""
    return OmegaConf.to_container(OmegaConf.load(str(files("softvq") / "published.yaml")))  # type: ignore[return-value]


def published(data: str, bottleneck: str) -> dict[str, float]:
    """The paper's numbers of one cell; empty where it has none."""
    return published_tables().get(data, {}).get(bottleneck, {})
