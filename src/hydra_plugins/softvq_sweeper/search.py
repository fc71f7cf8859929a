"""A sweep in which Optuna chooses the cells: `hydra/sweeper=search`."""

from collections.abc import Callable
from functools import partial
from typing import Any

from hydra.core.override_parser.types import Override

from hydra_plugins.softvq_sweeper.grid import GridSweeper


class SearchSweeper(GridSweeper):
    """Tries what Optuna proposes, each trial as an ordinary cell; see `softvq.sweep.search`.

    Args:
        max_batch_size: cells handed to the launcher at a time; null for all of a batch of trials.
        params: what is searched, by setting; the command line's win.
        trials: how many in all, those of earlier sessions included.
        metric: the number that decides, as GROUP.NAME of `metrics.json`.
        direction: `maximize` or `minimize`.
        seed: of the search.
        at_once: trials at a time; null for as many as the launcher runs.
        plan_only: show what would be searched and start nothing.
    """

    def __init__(
        self,
        max_batch_size: int | None,
        params: dict[str, str] | None,
        trials: int,
        metric: str,
        direction: str,
        seed: int,
        at_once: int | None,
        plan_only: bool,
    ) -> None:
        super().__init__(max_batch_size=max_batch_size, params=params, plan_only=plan_only)
        self.about = {"trials": trials, "metric": metric, "direction": direction, "seed": seed, "at_once": at_once}

    def _prepared(self, overrides: list[Override]) -> Callable[[], Any]:
        from softvq.extras import needed

        with needed("hydra/sweeper=search", "search"):
            import optuna  # noqa: F401
        from softvq.command.program import plain_errors
        from softvq.sweep.search import search
        from softvq.sweep.search_space import Settings, read_space

        space, settings = read_space(overrides), Settings(**self.about)  # type: ignore[arg-type]
        return plain_errors()(partial(search, space, settings, self._read, self._launch, self.config, self.plan_only))
