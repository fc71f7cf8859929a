"""One run among those that are trained at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lightning.pytorch.loggers.logger import Logger

from softvq.console import screen
from softvq.health import CollapseWatch
from softvq.training.autoencoder import Autoencoder
from softvq.training.curve import Curve, NonFiniteLossError


@dataclass
class Member:
    """One run among those that are trained at once; most often the only one.

    Attributes:
        model: as it was built for a run of its own.
        seed: of its noise.
        loggers: take its training curve.
        curve: what has been added up since the curve's last row.
        failure: what ended its training while others went on.
        watch: on the state of its code.
    """

    model: Autoencoder
    seed: int
    loggers: Sequence[Logger]
    curve: Curve = field(default_factory=Curve)
    failure: NonFiniteLossError | None = None
    watch: CollapseWatch = field(default_factory=CollapseWatch)

    def name_collapse(self, row: Mapping[str, float], step: int) -> None:
        """Warns of a code that a row of the curve shows to be collapsed, once of each symptom."""
        for name, text in self.watch.new_symptoms({key.removeprefix("train/"): value for key, value in row.items()}):
            screen.print_warning(f"collapsing at step {step} (seed {self.seed}), {name.replace('_', ' ')}: {text}")

    def log(self, row: Mapping[str, float], step: int) -> None:
        """Adds a row to its training curve."""
        for logger in self.loggers:
            logger.log_metrics(dict(row), step=step)
