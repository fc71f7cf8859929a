"""Hydra's grid sweep with a plan before it, and a table and an exit code after it."""

import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from hydra_plugins.softvq_sweeper._jobs import LostJob, Reporting

SEED = re.compile(r"^seed=(\d+)$")


class GridSweeper(BasicSweeper):
    """Every combination of the swept choices is a cell; cells that are finished are not launched.

    Args:
        max_batch_size: cells handed to the launcher at a time; null for all.
        params: swept choices of an experiment file; the command line's win.
        plan_only: show the plan and start nothing.
    """

    def __init__(self, max_batch_size: int | None, params: dict[str, str] | None, plan_only: bool) -> None:
        super().__init__(max_batch_size=max_batch_size, params=params)
        self.plan_only = plan_only
        self.composed: dict[tuple[str, ...], DictConfig] = {}  # of cells that differ in their seed alone, the first

    def sweep(self, arguments: list[str]) -> Any:
        from softvq.command.program import plain_errors
        from softvq.config.launcher import check_launcher
        from softvq.sweep.sweep import SweepResult

        assert self.config is not None
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides([*self._parse_config(), *arguments])
        with plain_errors():
            check_launcher(self.config.hydra.launcher)
            run = self._prepared(overrides)
        outcomes = run()
        if SweepResult.exit_code:
            raise SystemExit(SweepResult.exit_code)
        return outcomes

    def _prepared(self, overrides: list[Override]) -> Callable[[], Any]:
        """Checks what is swept; returns what runs it."""
        from softvq.sweep import sweep
        from softvq.sweep.swept import check_size

        sweep.refuse_dropped_settings(overrides)
        check_size(overrides)
        cells = self.split_arguments(overrides, None)[0]
        if not cells:
            swept = ", ".join(override.input_line for override in overrides if override.is_sweep_override())
            raise ValueError(f"there is no cell to run: {swept} names no value")
        return partial(sweep.run, cells, self._read, self._launch, self.config, self.plan_only)

    def _read(self, overrides: Sequence[str]) -> Any:
        from softvq.config.compose import without_hydra
        from softvq.config.settings import check_settings
        from softvq.run.cell import read_cell

        composed = self._compose(overrides)
        state = HydraConfig.instance().cfg
        HydraConfig.instance().set_config(composed)  # what ${hydra:...} in the folder's name refers to
        try:
            hydra = composed.hydra
            config = without_hydra(composed)
            check_settings(config)  # before the folder's name is made of them
            folder = Path(hydra.sweep.dir, hydra.sweep.subdir)
            return read_cell(config, hydra, folder, hydra.launcher)
        finally:
            HydraConfig.instance().cfg = state

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        """A cell's configuration. Another seed changes nothing but itself, and composing is what a plan waits for."""
        assert self.hydra_context is not None
        others = tuple(SEED.sub("seed", override) for override in overrides)
        seeds = [int(match[1]) for match in map(SEED.match, overrides) if match]
        if others not in self.composed:
            self.composed[others] = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        composed = deepcopy(self.composed[others])
        if seeds:
            composed.seed = seeds[-1]
            composed.hydra.overrides.task = list(overrides)
        return composed

    def _launch(self, jobs: Sequence[Sequence[str]], tell: Callable[[int, Any], None]) -> list[Any]:
        """Has the launcher run jobs; tells of each one's return as it comes, by its number."""
        assert self.launcher is not None
        from softvq import stop

        returns: list[Any] = []
        reports = isinstance(self.launcher, Reporting)
        if reports:
            self.launcher.on_return = tell
        # Hydra's own launcher tells nothing before it has run all that it was given.
        size = self.max_batch_size if reports or self.max_batch_size else 1
        for batch in self.split_overrides_to_chunks(list(jobs), size):
            if signum := stop.requested():
                returns += [LostJob(overrides, stop.Stopped(signum)) for overrides in batch]
                continue
            answers = self.launcher.launch(batch, initial_job_idx=len(returns))
            if not reports:
                for number, answer in enumerate(answers, start=len(returns)):
                    tell(number, answer)
            returns += answers
        return returns
