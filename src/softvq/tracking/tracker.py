"""A tracker: a Lightning logger that also takes a finished run's results."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger

from softvq.run_folder import RunFolder

LONGEST = 300  # characters of an error in a warning


class Tracker(Logger):
    """Receives the training curve row by row, and at the end the results, before `metrics.json` is written.

    With several devices, only the process of the first one has trackers.
    """

    @staticmethod
    def check_installed() -> None:
        """Asks before a run for the packages that the tracker needs.

        Raises:
            MissingExtraError: if one is not installed.
        """

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: trackers read the configuration from the run's `config.yaml`."""

    @abstractmethod
    def finish(self, metrics: Mapping[str, Any], folder: RunFolder) -> None:
        """Takes the results of a finished run; it is the last call of all.

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


def failure_message(name: str | None, error: Exception) -> str:
    """The message about a tracker that failed, on one line, however many lines its library's error has."""
    cause = error.__cause__ or error  # Hydra wraps the error of a class that it builds
    reason = " ".join(str(cause).split())
    return f"logger={name} failed, the run goes on without it: {type(cause).__name__}: {reason[:LONGEST]}"


class Tolerant(Tracker):
    """Passes everything on to a tracker; when that raises, a message is shown, and the run goes on without it.

    Args:
        tracker: to which everything is passed on.
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
        except Exception as error:  # whatever the tracker's library raises, the run goes on
            self.failed = True
            self.tell(failure_message(self.name, error))
