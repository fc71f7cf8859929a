"""A tracker: a Lightning logger that also takes a finished run's results."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger

from softvq.run_folder import RunFolder

LONGEST = 300  # characters of an error in a warning


class Tracker(Logger):
    """Follows a run while it trains, and takes its results when all but its `metrics.json` is written.

    Only the first of several devices' processes has trackers.
    """

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """The configuration is in the run's `config.yaml`."""

    @abstractmethod
    def finish(self, metrics: Mapping[str, Any], folder: RunFolder) -> None:
        """Takes the results; nothing follows.

        Args:
            metrics: content of `metrics.json`.
            folder: holds configuration, curve, checkpoint and figures.
        """


def results(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a finished run, by names like `probes/clustering_nmi`; fractions of 1 stay so."""
    groups = {name: metrics.get(name) or {} for name in ("probes", "reconstruction", "diagnostics", "time")}
    return {
        f"{group}/{name}": value
        for group, values in groups.items()
        for name, value in values.items()
        if isinstance(value, int | float)
    }


def figures(folder: RunFolder) -> dict[str, Path]:
    """The run's pictures, by names like `figures/tsne`."""
    return {f"figures/{path.stem}": path for path in sorted(folder.figures.glob("*.png"))}


def without(name: str | None, error: Exception) -> str:
    """What a person reads of a tracker that failed; its library's error may have many lines."""
    cause = error.__cause__ or error  # Hydra's words around it say nothing more
    reason = " ".join(str(cause).split())
    return f"logger={name} failed, the run goes on without it: {type(cause).__name__}: {reason[:LONGEST]}"


class Tolerant(Tracker):
    """Keeps a tracker's failures away from its run: they are told, and the run goes on.

    Args:
        tracker: what is followed.
        tell: shows a message.
    """

    def __init__(self, tracker: Tracker, tell: Callable[[str], None]) -> None:
        super().__init__()
        self.tracker, self.tell = tracker, tell
        self.failed = False

    @property
    def name(self) -> str | None:
        return self.tracker.name

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if not self.failed:
            self._attempt(lambda: self.tracker.log_metrics(metrics, step))

    def finalize(self, status: str) -> None:
        self._attempt(lambda: self.tracker.finalize(status))

    def finish(self, metrics: Mapping[str, Any], folder: RunFolder) -> None:
        self._attempt(lambda: self.tracker.finish(metrics, folder))

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # whatever a tracker's library raises, it is not the run's
            self.failed = True
            self.tell(without(self.name, error))
