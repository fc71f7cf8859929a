"""The paper's claims in words, tested over seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from softvq.published import LABELS, MINUS, SEEDLESS, data_name, row_name
from softvq.report.judge.paper_tables import PaperTables
from softvq.report.judge.statistics import (
    FEWEST_SEEDS,
    LEVEL,
    Summary,
    greater,
    holm,
    spread_above,
    spread_below,
    summarize,
)
from softvq.report.judge.verdict import verdict

UNTESTABLE = ("not run", "too few seeds", "no spread")  # no spread: equal values mean that seeds were ignored
Values = Mapping[Any, float]  # seed -> value; the seed None stands for every seed


@dataclass(frozen=True)
class Inequality:
    """One inequality of a claim.

    `amount` is what is held against `reference`: a difference, a gain or a value, summarised over seeds; for a spread
    the values themselves, whose standard deviation is meant. `p` is small where the data speak for the inequality,
    `p_against` where they speak for its opposite.
    """

    label: str
    metric: str
    kind: str  # larger, above, spread, gain
    reference: float = 0.0
    relative: bool = False
    state: str = "compared"  # or `not run`, `too few seeds`, `no spread`
    amount: Summary | None = None
    p: float | None = None
    p_against: float | None = None


@dataclass(frozen=True)
class Claim:
    """A claim of the paper and how the runs decide it.

    `outcome`: supported, contradicted, undecided; match, above or below for a gain; not run; too few seeds; no
    spread; by eye.
    `p` and `p_against` are those of the whole claim before, `adjusted` and `adjusted_against` after Holm's correction.
    """

    id: str
    title: str
    quote: str
    where: str
    reading: str
    comparisons: tuple[Inequality, ...]
    outcome: str
    p: float | None = None
    p_against: float | None = None
    adjusted: float | None = None
    adjusted_against: float | None = None


@cache
def paper_claims() -> tuple[dict[str, Any], ...]:
    """The content of claims.yaml."""
    return tuple(yaml.safe_load(files("softvq.report.judge").joinpath("claims.yaml").read_text(encoding="utf-8")))


def judge_claims(tables: PaperTables) -> list[Claim]:
    """Every claim of the paper under one setting.

    A claim holds where all of its inequalities hold, so its p-value is the largest of theirs (intersection-union test);
    it is contradicted where any of them is, so the p-value against it is their smallest times their number. Holm's
    correction then goes over all claims that can be tested; one that was not run counts as p = 1, so that leaving runs
    out makes no other claim easier to support.
    """
    claims = [_untested(source, tuple(_comparisons(source, tables))) for source in paper_claims()]
    family = [claim for claim in claims if claim.comparisons and not _is_gain(claim)]
    adjusted = holm([1.0 if claim.p is None else claim.p for claim in family])
    against = holm([1.0 if claim.p_against is None else claim.p_against for claim in family])
    decided = {
        claim.id: _decide(claim, p, p_against) for claim, p, p_against in zip(family, adjusted, against, strict=True)
    }
    return [decided.get(claim.id, claim) for claim in claims]


def _is_gain(claim: Claim) -> bool:
    return any(comparison.kind == "gain" for comparison in claim.comparisons)


def _untested(source: Mapping[str, Any], comparisons: tuple[Inequality, ...]) -> Claim:
    identity, title, quote, where, reading = (str(source[k]) for k in ("id", "title", "quote", "where", "reading"))
    claim = Claim(identity, title, quote, where, reading, comparisons, outcome="by eye")
    if not comparisons:
        return claim
    for state in UNTESTABLE:
        if any(comparison.state == state for comparison in comparisons):
            return replace(claim, outcome=state)
    if _is_gain(claim):
        (gain,) = comparisons
        return replace(claim, outcome=verdict(gain.amount, gain.reference))
    return replace(
        claim,
        outcome="undecided",
        p=max(comparison.p or 0.0 for comparison in comparisons),
        p_against=min(1.0, len(comparisons) * min(comparison.p_against or 0.0 for comparison in comparisons)),
    )


def _decide(claim: Claim, adjusted: float, against: float) -> Claim:
    if claim.p is None:
        return claim
    outcome = "supported" if adjusted < LEVEL else "contradicted" if against < LEVEL else "undecided"
    return replace(claim, outcome=outcome, adjusted=adjusted, adjusted_against=against)


def _comparisons(source: Mapping[str, Any], tables: PaperTables) -> Iterator[Inequality]:
    for group in source["comparisons"]:
        for data in group["data"]:
            for metric in group["metrics"]:
                yield from _compared(group, data, metric, tables)


def _compared(group: Mapping[str, Any], data: str, metric: str, tables: PaperTables) -> Iterator[Inequality]:
    where = f"{data_name(data)}, {LABELS[metric]}"
    own, other = group.get("with", {}), group.get("than_with", {})
    if "gain" in group:
        yield _gain(group, data, metric, where, tables)
    elif "spread" in group:
        for model in group["spread"]:
            yield _spread(
                Inequality(f"{row_name(model)} ({where})", metric, "spread", group["below"]), data, model, tables
            )
    elif isinstance(group["than"], float):
        for model in group["larger"]:
            plain = Inequality(f"{row_name(model)} ({where})", metric, "above", group["than"])
            yield _tested(plain, _values(tables, data, model, own, metric))
    else:
        for rival in group["than"]:
            mine, theirs = f"{row_name(group['larger'])}{_with(own)}", f"{row_name(rival)}{_with(other)}"
            plain = Inequality(f"{mine} {MINUS} {theirs} ({where})", metric, "larger")
            pairs = _pairs(
                _values(tables, data, group["larger"], own, metric), _values(tables, data, rival, other, metric)
            )
            yield _tested(plain, None if pairs is None else [a - b for a, b in pairs])


def _gain(group: Mapping[str, Any], data: str, metric: str, where: str, tables: PaperTables) -> Inequality:
    relative = bool(group.get("relative"))
    label = f"{row_name(group['gain'])} {MINUS} {row_name(group['over'])} ({where}{', relative' if relative else ''})"
    plain = Inequality(label, metric, "gain", group["by"], relative)
    pairs = _pairs(_values(tables, data, group["gain"], {}, metric), _values(tables, data, group["over"], {}, metric))
    if pairs is None or (relative and any(b == 0 for _, b in pairs)):
        return replace(plain, state="not run")
    gains = [(a - b) / b if relative else a - b for a, b in pairs]
    if len(gains) < FEWEST_SEEDS:
        return replace(plain, state="too few seeds", amount=summarize(gains) if gains else None)
    return replace(plain, amount=summarize(gains))


def _spread(plain: Inequality, data: str, model: str, tables: PaperTables) -> Inequality:
    values = _values(tables, data, model, {}, plain.metric)
    if values is None:
        return replace(plain, state="not run")
    numbers = list(values.values())
    if len(numbers) < FEWEST_SEEDS:
        return replace(plain, state="too few seeds", amount=summarize(numbers))
    p, against = spread_below(numbers, plain.reference), spread_above(numbers, plain.reference)
    return _with_p(plain, numbers, p, against)


def _tested(plain: Inequality, values: Values | list[float] | None) -> Inequality:
    """An inequality with its t-test: values, or differences, against its reference."""
    if values is None:
        return replace(plain, state="not run")
    numbers = list(values.values()) if isinstance(values, Mapping) else values
    if len(numbers) < FEWEST_SEEDS:
        return replace(plain, state="too few seeds", amount=summarize(numbers) if numbers else None)
    against = greater([-number for number in numbers], -plain.reference)
    return _with_p(plain, numbers, greater(numbers, plain.reference), against)


def _with_p(plain: Inequality, numbers: Sequence[float], p: float | None, against: float | None) -> Inequality:
    state = "no spread" if p is None else "compared"
    return replace(plain, state=state, amount=summarize(numbers), p=p, p_against=against)


def _values(tables: PaperTables, data: str, model: str, settings: Mapping[str, Any], metric: str) -> Values | None:
    """Seed -> value of an entry; under the seed None for a model without seeds. None where it was not run."""
    entry = tables.variant(data, model, {key: str(value) for key, value in settings.items()})
    values = entry.values(metric) if entry is not None else {}
    if values and model in SEEDLESS:
        return {None: next(iter(values.values()))}
    return values or None


def _pairs(ours: Values | None, theirs: Values | None) -> list[tuple[float, float]] | None:
    """Pairs of values with equal seeds; a value without a seed is paired with every value of the other."""
    if ours is None or theirs is None:
        return None
    seeds = ours if None in theirs else theirs
    get_ours, get_theirs = (lambda seed, v=v: v.get(None, v.get(seed)) for v in (ours, theirs))
    pairs = ((get_ours(seed), get_theirs(seed)) for seed in sorted(seeds, key=str))
    return [(a, b) for a, b in pairs if a is not None and b is not None]


def _with(settings: Mapping[str, Any]) -> str:
    return f" with {', '.join(f'{key} = {value}' for key, value in settings.items())}" if settings else ""
