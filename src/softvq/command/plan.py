"""Shows the plan of a sweep and starts nothing: `softvq plan OVERRIDES` for `softvq train -m OVERRIDES`."""

from collections.abc import Sequence

from softvq.command import train


def main(arguments: Sequence[str]) -> None:
    """Shows the plan of a sweep's overrides."""
    train.main(["-m", *arguments, "hydra.sweeper.plan_only=true"])
