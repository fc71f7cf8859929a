"""The paper's tables, its claims and equal distortion beside the runs, as plain values for `results.json`."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from softvq.published import TABLES, data_name, row_name, table_columns
from softvq.report.judge.claims import Claim, Inequality, judge_claims
from softvq.report.judge.entries import Entry
from softvq.report.judge.equal_distortion import Band
from softvq.report.judge.paper_tables import PaperTables
from softvq.report.judge.spread import Spread, spreads
from softvq.report.write.entry_values import anchor, entry_values, names_of, rounded, summary_values


def paper_values(tables: PaperTables) -> dict[str, Any]:
    """The paper's tables, claims and spreads under one fidelity."""
    return {
        "id": anchor("tables", tables.fidelity),
        "fidelity": tables.fidelity,
        "was_run": tables.was_run,
        "tables": [_paper_table(tables, *table) for table in TABLES],
        "claims": [_claim(claim) for claim in judge_claims(tables)],
        "spreads": [_spread(found) for found in spreads(tables)],
    }


def _paper_table(tables: PaperTables, key: str, title: str, caption: str, data: Sequence[str]) -> dict[str, Any]:
    return {
        "key": key,
        "title": title,
        "caption": caption,
        "was_run": any(tables.entries[name, model].runs for name in data for model in tables.rows(data)),
        "data": [{"name": name, "title": data_name(name), "metrics": list(table_columns(name))} for name in data],
        "rows": [
            {
                "model": model,
                "title": row_name(model, key),
                "entries": [_paper_entry(tables.entries[name, model]) for name in data],
            }
            for model in tables.rows(data)
        ],
    }


def _paper_entry(entry: Entry) -> dict[str, Any]:
    identity = anchor("entry", entry.data, entry.bottleneck, entry.fidelity)
    return entry_values(entry, identity, metrics=table_columns(entry.data))


def _spread(found: Spread) -> dict[str, Any]:
    numbers = {name: rounded(getattr(found, name)) for name in ("std", "low", "high")}
    return {
        "data": found.entry.data,
        "model": found.entry.bottleneck,
        "n": found.n,
        **numbers,
        "outcome": found.outcome,
        "seeds": found.seeds,
    }


def _claim(claim: Claim) -> dict[str, Any]:
    numbers = {key: _probability(getattr(claim, key)) for key in ("p", "p_against", "adjusted", "adjusted_against")}
    return {**asdict(claim), **numbers, "comparisons": [_comparison(comparison) for comparison in claim.comparisons]}


def _comparison(comparison: Inequality) -> dict[str, Any]:
    return {
        "label": comparison.label,
        "metric": comparison.metric,
        "kind": comparison.kind,
        "reference": comparison.reference,
        "relative": comparison.relative,
        "state": comparison.state,
        **summary_values(comparison.amount),
        "p": _probability(comparison.p),
        "p_against": _probability(comparison.p_against),
    }


def _probability(p: float | None) -> float | None:
    """Four significant digits."""
    return None if p is None else float(f"{p:.3e}")


def band_values(band: Band) -> dict[str, Any]:
    """The models whose errors lie within one band, and those for which no run does."""
    return {
        "data": band.data,
        "setting": band.setting,
        "low": rounded(band.low),
        "high": rounded(band.high),
        "models": [
            {
                "model": matched.bottleneck,
                "title": row_name(matched.bottleneck),
                "inside": matched.inside,
                "mse": rounded(matched.mse),
                "entry": entry_values(matched.entry, anchor("band", band.setting, *names_of(matched.entry))),
            }
            for matched in band.models
        ],
        "missing": list(band.missing),
    }
