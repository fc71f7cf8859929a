"""How a probe says how far it is, and what a person sees of that."""

import time
from collections.abc import Callable

from softvq.console import duration, screen
from softvq.console.bars import Bar, Pace, left

# (done, total), called by a probe in its caller's thread; the last call is (total, total).
Progress = Callable[[int, int], None]

PATIENCE_S = 2.0  # before a probe is mentioned, and between two of its lines
LINES = 10  # of a probe, at most


class ProbeProgress:
    """Gives each probe what it reports to: a bar on a terminal, else lines, once the probe has taken two seconds.

    Args:
        enabled: whether anything is shown.
        label: says whose lines they are, as several runs may print at once.
    """

    def __init__(self, enabled: bool, label: str) -> None:
        self.enabled, self.label = enabled, label

    def __call__(self, name: str) -> Progress | None:
        if not self.enabled:
            return None
        return self._bar(name) if screen.has_terminal else self._lines(name)

    def _bar(self, name: str) -> Progress:
        bar, started = Bar(name, 0, None, PATIENCE_S), time.perf_counter()

        def report(done: int, total: int) -> None:
            bar.at(done, total)
            if done == total:
                bar.close()
                if time.perf_counter() - started > PATIENCE_S:
                    screen.note(f"{self.label}: {name} done in {duration(time.perf_counter() - started)}")

        return report

    def _lines(self, name: str) -> Progress:
        clock = time.perf_counter
        pace, started, shown, tenth = Pace(0, None, clock), clock(), clock(), 0

        def report(done: int, total: int) -> None:
            nonlocal tenth, shown
            task, now = pace.at(done, total), clock()
            if done == total:
                if now - started > PATIENCE_S:
                    screen.print(f"{self.label}: {name} done in {duration(now - started)}")
            elif now - shown > PATIENCE_S and LINES * done // total > tenth:
                tenth, shown = LINES * done // total, now
                screen.print(f"{self.label}: {name} {done} of {total}, {left(task)} left")

        return report
