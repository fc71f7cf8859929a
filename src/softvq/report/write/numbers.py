"""How numbers over seeds, verdicts and p-values are written, the same in every file of the report."""

from collections.abc import Mapping
from typing import Any

from softvq.published import MINUS, shown

SET_UP = ("units", "K", "code_scale")
SYMBOLS = {
    "match": "=",
    "above": "▲",
    "below": "▼",
    "undecided": "~",
    "too few seeds": "?",
    "no spread": "!",
    "not run": "\N{EN DASH}",
}


def over_seeds(found: Mapping[str, Any], metric: str) -> str:
    """A mean with half its 95 % interval, where three seeds gave one.

    Example:
        >>> over_seeds({"mean": 0.6, "interval": [0.35, 0.85]}, "clustering_nmi")
        '60.00 ± 25.00'
        >>> over_seeds({"mean": 0.6, "interval": None}, "clustering_nmi")
        '60.00'
    """
    if found["interval"] is None:
        return shown(found["mean"], metric)
    low, high = found["interval"]
    return f"{shown(found['mean'], metric)} ± {shown((high - low) / 2, metric)}"


def interval(found: Mapping[str, Any], metric: str) -> str:
    """The 95 % interval from its lower to its upper end."""
    return "—" if found["interval"] is None else " to ".join(shown(end, metric) for end in found["interval"])


def claim_in_numbers(claim: Mapping[str, Any]) -> str:
    """The numbers behind a claim's outcome, in a sentence."""
    states = [comparison["state"] for comparison in claim["comparisons"]]
    if claim["outcome"] in ("not run", "too few seeds", "no spread"):
        return f"{states.count('compared')} of {len(states)} comparisons have their runs" if states else ""
    if claim["adjusted"] is not None:
        return (
            f"p {_equals(claim['p'])}, after Holm {probability(claim['adjusted'])}; against it "
            f"{probability(claim['adjusted_against'])}; {len(states)} comparison{'s' if len(states) > 1 else ''}"
        )
    return "; ".join(effect(comparison) for comparison in claim["comparisons"])


def effect(comparison: Mapping[str, Any]) -> str:
    """The size of what one comparison found, with its interval and what it is held against."""
    if comparison["mean"] is None:
        return str(comparison["state"])
    metric, signed = comparison["metric"], comparison["kind"] in ("larger", "gain")

    def text(value: float) -> str:
        if comparison["relative"]:
            return f"{100 * value:+.1f} %".replace("-", MINUS)
        return shown(value, metric, signed) + (" points" if signed and metric != "test_normalized_mse" else "")

    ends = comparison["interval"]
    if comparison["kind"] == "spread":
        found = f"standard deviation {shown(comparison['std'], metric)}"
        reference = shown(comparison["reference"], metric)
    else:
        found = text(comparison["mean"]) + (f" ({text(ends[0])} to {text(ends[1])})" if ends else "")
        reference = text(comparison["reference"])
    against = {"above": "against ", "spread": "limit ", "gain": "claimed "}.get(comparison["kind"])
    return f"{found}{f', {against}{reference}' if against else ''}, n = {comparison['n']}"


def _equals(p: float) -> str:
    """`= 0.0323` or `< 0.0001`."""
    text = probability(p)
    return text if text.startswith("<") else f"= {text}"


def probability(p: float | None) -> str:
    """A p-value with as many digits as one reads."""
    if p is None:
        return "—"
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"


def diagnosed(diagnostics: Mapping[str, float]) -> str:
    """The state of the code in a few numbers; those that say only how it was set up are left to results.json.

    Example:
        >>> diagnosed({"active_units": 64.0, "dead_codes": 12.3333, "K": 128})
        'active units 64, dead codes 12.33'
    """
    shown_ones = {name: value for name, value in sorted(diagnostics.items()) if name not in SET_UP}
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in shown_ones.items())


def tally(counts: Mapping[str, int]) -> str:
    """How many runs there are of each kind, without kinds that do not occur.

    Example:
        >>> tally({"finished": 2, "stopped_early": 1, "failed": 0})
        '2 finished, 1 stopped early'
    """
    return ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in counts.items() if n) or "no runs"
