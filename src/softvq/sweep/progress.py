"""How far a sweep is: one line for all of its cells, however many run at once, and a line for each that has ended."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from omegaconf import DictConfig
from rich.progress import BarColumn, ProgressColumn, Task
from rich.text import Text

from softvq.config.launcher import jobs_at_a_time, kind
from softvq.console import counted, screen
from softvq.console.bars import LineProgress, narrow
from softvq.published import IN_WORDS, PROBE_METRICS
from softvq.run.cell import Outcome
from softvq.run.recorded import read_metrics
from softvq.run.summary import percent
from softvq.sweep.plan import PlannedCell, cell_of
from softvq.sweep.swept import headings, overrides_of


class _Told(ProgressColumn):
    """What is told now, each time that the line is drawn."""

    def __init__(self, told: Callable[[], str]) -> None:
        super().__init__(table_column=narrow())
        self._told = told

    def render(self, task: Task) -> Text:
        return Text(self._told())


class SweepProgress:
    """Counts the cells that have ended. On a terminal the count stays on its last line, else it begins each line.

    Args:
        total: cells that are going to run.
        launcher: Hydra's configuration of what runs them. Where they run in other processes, those leave the terminal
            to the sweep.
    """

    def __init__(self, total: int, launcher: DictConfig) -> None:
        self.total, self.at_a_time = total, jobs_at_a_time(launcher)
        self.done, self._started, self._last_end_s = 0, time.monotonic(), 0.0
        self._cells: dict[str, PlannedCell] = {}  # that have not ended
        self._keys: Sequence[str] = ()
        self._line = None
        in_workers = kind(launcher) != "basic" and not (kind(launcher) == "joblib" and self.at_a_time == 1)
        if in_workers and screen.has_terminal and total:
            bar = BarColumn(20)
            self._line = LineProgress(_Told(self.told), bar, spare=(bar,))
            self._number = self._line.add_task("", total=total)
        self._around = not in_workers  # the bars of the cells themselves tell how far the sweep is

    def expect(self, cells: Sequence[PlannedCell], keys: Sequence[str]) -> None:
        """Says which cells are going to run next, and which of their settings tell them apart."""
        self._cells |= {planned.name: planned for planned in cells}
        self._keys = keys

    def __enter__(self) -> Self:
        if self._line is not None:
            screen.closing.append(self.close)
            self._line.start()
        if self._around:
            screen.around = self.told
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def close(self) -> None:
        """Removes the line from the terminal; may be called again."""
        screen.around = str
        if self._line is not None:
            self._line.stop()
            if self.close in screen.closing:
                screen.closing.remove(self.close)

    def told(self) -> str:
        """`4 of 16 cells, 12 min left`."""
        left = self._left_s() if self.done < self.total else None
        return f"{self.done} of {counted(self.total, 'cell')}" + (
            f", {_in_words(left)} left" if left is not None else ""
        )

    def _left_s(self) -> float | None:
        """Seconds to the end: at the pace of the cells that have ended, before that as the plan estimated."""
        elapsed = time.monotonic() - self._started
        if self.done:
            at_the_pace = (self.total - self.done) * self._last_end_s / self.done - (elapsed - self._last_end_s)
            soon = min(self.total, self.done + self.at_a_time)  # no sooner than if all that run now ended at once
            return max(at_the_pace, (self.total - soon) * elapsed / soon)
        expected = [planned.remaining_s for planned in self._cells.values()]
        known = [seconds for seconds in expected if seconds is not None]
        if len(known) < self.total:
            return None
        return max(0.0, sum(known) / max(1, min(self.at_a_time, len(known))) - elapsed)

    def _label(self, planned: PlannedCell) -> str:
        """What tells a cell from the others: `soft_vq on digits, K=8, seed 0`."""
        cell, typed = cell_of(planned), overrides_of(planned.overrides)
        swept = [
            f"{heading}={typed[key]}"
            for key, heading in zip(self._keys, headings(self._keys), strict=True)
            if key in typed
        ]
        parts = [f"{cell.choices['bottleneck']} on {cell.config.data.name}", *swept, f"seed {cell.config.seed}"]
        return ", ".join(parts)

    def ended(self, outcomes: Mapping[str, Outcome]) -> None:
        """Tells of cells that have ended, by name."""
        for name, outcome in outcomes.items():
            planned = self._cells.get(name)
            if outcome.status == "stopped" or planned is None:
                continue
            line = f"{self._label(planned)}: {outcome.status}{_numbers(planned, outcome)}"
            del self._cells[name]
            self.done, self._last_end_s = self.done + 1, time.monotonic() - self._started
            if self._line is not None:
                self._line.update(self._number, completed=self.done)
                screen.print(line)
            else:
                screen.print(f"{self.told()}; {line}")


def probes_of(planned: PlannedCell, outcome: Outcome) -> Mapping[str, Any]:
    """The probe results of a cell; empty if it has none."""
    if outcome.status not in ("finished", "skipped"):
        return {}
    try:
        metrics = read_metrics(cell_of(planned).folder)
    except ValueError:  # damaged meanwhile
        return {}
    return (metrics or {}).get("probes") or {}


def _numbers(planned: PlannedCell, outcome: Outcome) -> str:
    """The probe results of a cell, or why it failed, for one line."""
    if outcome.status == "failed":
        return f" ({(outcome.message.splitlines() or [''])[0]})"
    found = probes_of(planned, outcome)
    known = [f"{IN_WORDS[name]} {percent(found[name])} %" for name in PROBE_METRICS if found.get(name) is not None]
    return f" ({', '.join(known)})" if known else ""


def _in_words(seconds: float) -> str:
    """`12 min`, `2 h 5 min` or `40 s`."""
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
