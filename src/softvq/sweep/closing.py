"""The table that closes a sweep: means over seeds, a row for each combination of the other settings."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Any

from rich.table import Table

from softvq.published import IN_WORDS, PROBE_METRICS, SEES_LABELS
from softvq.run.cell import Outcome
from softvq.run.summary import percent
from softvq.sweep.plan import PlannedCell, cell_of
from softvq.sweep.progress import probes_of
from softvq.sweep.swept import headings, overrides_of, swept_keys

STATUSES = ("finished", "skipped", "failed")
BEST_BY = "clustering_accuracy"

Ended = Sequence[tuple[PlannedCell, Outcome]]


def counts_line(outcomes: Iterable[Outcome]) -> str:
    """How many cells ended in which way."""
    found = [outcome.status for outcome in outcomes]
    return ", ".join(f"{found.count(status)} {status}" for status in STATUSES)


def closing_table(ended: Ended) -> Table:
    """How the cells ended, with means of their probe results in percent; the best row of a data set is marked.

    Where protocols are swept, each has a best row: numbers of different protocols do not compare.

    Where all ended alike, the title alone says how.
    """
    keys = swept_keys([planned.overrides for planned, _ in ended])
    rows: dict[tuple[str, ...], list[tuple[PlannedCell, Outcome]]] = {}
    for planned, outcome in ended:
        typed, cell = overrides_of(planned.overrides), cell_of(planned)
        about = (cell.config.data.name, cell.choices["bottleneck"], *(typed.get(key, "") for key in keys))
        rows.setdefault(tuple(str(value) for value in about), []).append((planned, outcome))
    means = {about: _means([probes_of(*pair) for pair in group]) for about, group in rows.items()}
    measured = [0, *(2 + place for place, key in enumerate(keys) if key.partition(".")[0] == "probes")]
    best = _best(means, measured)
    differ = len({outcome.status for _, outcome in ended}) > 1  # else the title says it
    several = any(len(group) > 1 for group in rows.values())
    table = Table(
        title=counts_line(outcome for _, outcome in ended),
        caption=_caption(several, bool(best)) or None,
        caption_justify="left",
    )
    for column in ("data", "bottleneck", *headings(keys)):
        table.add_column(column, overflow="fold")
    table.add_column("seeds" if several else "seed", justify="right", overflow="fold")
    if differ:
        table.add_column("status", overflow="fold")
    for name in PROBE_METRICS:
        table.add_column(f"{IN_WORDS[name]} (%)", justify="right", overflow="fold")
    for about, group in rows.items():
        seeds = str(len(group)) if several else str(cell_of(group[0][0]).config.seed)
        found = [outcome.status for _, outcome in group]
        kinds = [(status, found.count(status)) for status in dict.fromkeys(found)]
        status = found[0] if len(group) == 1 else ", ".join(f"{count} {status}" for status, count in kinds)
        mark = {BEST_BY: " *"} if about in best else {}
        numbers = [percent(means[about].get(name)) + mark.get(name, "") for name in PROBE_METRICS]
        table.add_row(*about, seeds, *([status] if differ else []), *numbers, style="bold" if about in best else None)
    return table


def _caption(several: bool, marked: bool) -> str:
    parts = ["means over seeds"] * several + [f"* the best {IN_WORDS[BEST_BY]} on its data"] * marked
    return "; ".join(parts)


def _means(probes: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    values = {name: [p[name] for p in probes if isinstance(p.get(name), int | float)] for name in PROBE_METRICS}
    return {name: mean(numbers) for name, numbers in values.items() if numbers}


def _best(means: Mapping[tuple[str, ...], Mapping[str, float]], measured: Sequence[int]) -> set[tuple[str, ...]]:
    """The rows with the best results among those measured alike, where there are several that saw no label.

    Args:
        means: what a row is about, and its numbers.
        measured: the places, in what a row is about, of its data and of how it is probed.
    """
    best = set()
    for alike in {tuple(about[place] for place in measured) for about in means}:
        scored = {
            about: found[BEST_BY]
            for about, found in means.items()
            if tuple(about[place] for place in measured) == alike and about[1] not in SEES_LABELS and BEST_BY in found
        }
        if len(scored) > 1:
            best.add(max(scored, key=lambda about: scored[about]))
    return best
