"""The report's content as plain values: what results.json holds and what every table is written from."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from softvq.report.judge.cells import Cell, Grid, Setting, make_grids
from softvq.report.judge.claims import Claim, Comparison, judge_claims
from softvq.report.judge.distortion import EXPERIMENT, Band, Matched, bands
from softvq.report.judge.statistics import Summary
from softvq.report.read.collect import Collection, Remark, Run
from softvq.report.read.defaults import Defaults
from softvq.report.write.layout import TABLES, data_name, row_name, row_order

DIGITS = 6  # results.json rounds to these, so that the last bits of a library's sums do not show
PAPER = "Wu & Flierl (2019), Vector Quantization-Based Regularization for Autoencoders, arXiv:1905.11062"


def build(
    collection: Collection, defaults: Defaults, fidelities: Sequence[str] = (), band: float = 0.1
) -> dict[str, Any]:
    """Everything that the report says.

    Args:
        collection: what lies in the run folders.
        defaults: the default configurations.
        fidelities: only these; empty for all.
        band: half the width of the band of equal distortion, as a part of its middle.
    """
    runs = [run for run in collection.runs if not fidelities or run.fidelity in fidelities]
    grids = make_grids(runs, defaults, fidelities)
    distortion = make_grids((run for run in runs if run.experiment == EXPERIMENT), defaults, fidelities)
    return {
        "paper": PAPER,
        "grids": [_grid(grid, main=index == 0) for index, grid in enumerate(grids)],
        "equal_distortion": [_band(found) for found in bands(distortion, band)],
        "figure_4": _figure_4(runs),
        "runs": [_run(run) for run in runs],
        "failed": [_remark(remark) for remark in collection.failed],
        "incomplete": [_remark(remark) for remark in collection.incomplete],
        "damaged": [_remark(remark) for remark in collection.damaged],
    }


def _grid(grid: Grid, main: bool) -> dict[str, Any]:
    return {
        "id": _anchor("setting", grid.setting.title),
        "main": main,
        "setting": _setting(grid.setting),
        "tables": _tables(grid),
        "variants": [_cell(cell, variant=True) for cell in grid.variants],
        "claims": [_claim(claim) for claim in judge_claims(grid)],
    }


def _anchor(kind: str, *names: str | None) -> str:
    """A name for links within the page that no other runs can change."""
    return f"{kind}-{hashlib.sha256(json.dumps(names).encode()).hexdigest()[:10]}"


def _setting(setting: Setting) -> dict[str, Any]:
    return {
        "title": setting.title,
        "fidelity": setting.fidelity,
        "probes": setting.protocol,
        "departures": _departures(setting.departures),
    }


def _tables(grid: Grid) -> list[dict[str, Any]]:
    """Tables 1 and 2 as far as the grid has their data, then one for each further data set."""
    tables = [
        (key, title, caption, tuple(d for d in members if d in grid.data))
        for key, title, caption, members in TABLES
        if any(d in grid.data for d in members)
    ]
    known = {data for _, _, _, members in TABLES for data in members}
    tables += [("", data_name(data), "Not in the paper.", (data,)) for data in grid.data if data not in known]
    return [
        {
            "key": key,
            "title": title,
            "caption": caption,
            "data": [
                {"name": data, "title": data_name(data), "metrics": list(_columns(grid, data))} for data in members
            ],
            "rows": [
                {
                    "model": model,
                    "title": row_name(model, key),
                    "cells": [
                        _cell(grid.cells.get((data, model), Cell(data, model, grid.setting))) for data in members
                    ],
                }
                for model in grid.rows(*members)
            ],
        }
        for key, title, caption, members in tables
    ]


def _columns(grid: Grid, data: str) -> tuple[str, ...]:
    return next(cell.columns for (d, _), cell in grid.cells.items() if d == data)


def _cell(cell: Cell, variant: bool = False) -> dict[str, Any]:
    settings = cell.settings_hash if variant else None
    return {
        "id": _anchor("cell", cell.data, cell.bottleneck, cell.setting.title, settings),
        "data": cell.data,
        "model": cell.bottleneck,
        "settings": _departures(cell.own),
        "settings_hash": cell.settings_hash,
        "n": len(cell.runs),
        "metrics": {metric: _metric(cell, metric) for metric in (*cell.columns, *_more(cell))},
        "runs": [_source(run) for run in cell.runs],
        "repeats": [run.folder for run in cell.repeats],
        "notes": list(cell.notes),
    }


def _more(cell: Cell) -> list[str]:
    """NMI where the paper's table has none, and the reconstruction error of trained models."""
    return [m for m in ("clustering_nmi", "test_normalized_mse") if m not in cell.columns and cell.values(m)]


def _metric(cell: Cell, metric: str) -> dict[str, Any]:
    summary, paper = cell.summary(metric), cell.paper(metric)
    difference = None if summary is None or paper is None else round(summary.mean - paper, DIGITS)
    return {**_summary(summary), "paper": paper, "difference": difference, "verdict": cell.verdict(metric)}


def _summary(summary: Summary | None) -> dict[str, Any]:
    if summary is None:
        return {"n": 0, "mean": None, "std": None, "interval": None}
    interval = None if summary.low is None else [_rounded(summary.low), _rounded(summary.high)]
    return {"n": summary.n, "mean": _rounded(summary.mean), "std": _rounded(summary.std), "interval": interval}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS) + 0.0


def _departures(departures: Sequence[tuple[str, str, str]]) -> list[dict[str, str]]:
    return [{"key": key, "value": value, "default": default} for key, value, default in departures]


def _source(run: Run) -> dict[str, Any]:
    """Where a number comes from."""
    return {
        "folder": run.folder,
        "seed": run.seed,
        "config_hash": run.config_hash,
        "commit": run.commit,
        "data_sha256": run.data_source["sha256"],
        "values": {name: _rounded(value) for name, value in run.values.items()},
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        **_source(run),
        "data": run.data,
        "model": run.bottleneck,
        "fidelity": run.fidelity,
        "probes": run.protocol,
        "experiment": run.experiment,
        "steps": run.steps,
        "settings_hash": run.settings_hash,
        "data_verified": run.data_source.get("verified"),
        "device": run.provenance.get("device"),
        "diagnostics": dict(run.diagnostics),
    }


def _claim(claim: Claim) -> dict[str, Any]:
    numbers = {key: _probability(getattr(claim, key)) for key in ("p", "p_against", "adjusted", "adjusted_against")}
    return {**asdict(claim), **numbers, "comparisons": [_comparison(comparison) for comparison in claim.comparisons]}


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "label": comparison.label,
        "metric": comparison.metric,
        "kind": comparison.kind,
        "reference": comparison.reference,
        "relative": comparison.relative,
        "state": comparison.state,
        **_summary(comparison.amount),
        "p": _probability(comparison.p),
        "p_against": _probability(comparison.p_against),
    }


def _probability(p: float | None) -> float | None:
    """Four significant digits."""
    return None if p is None else float(f"{p:.3e}")


def _band(band: Band) -> dict[str, Any]:
    return {
        "data": band.data,
        "setting": band.setting,
        "low": _rounded(band.low),
        "high": _rounded(band.high),
        "models": [_matched(model) for model in band.models],
        "missing": list(band.missing),
    }


def _matched(model: Matched) -> dict[str, Any]:
    return {
        "model": model.bottleneck,
        "title": row_name(model.bottleneck),
        "inside": model.inside,
        "mse": _rounded(model.mse),
        "cell": _cell(model.cell),
    }


def _figure_4(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The run of each panel: the lowest seed of each model."""
    first: dict[tuple[str, str], Run] = {}
    for run in sorted(runs, key=lambda run: (run.seed, run.folder)):
        if run.experiment == "figure_4":
            first.setdefault((run.data, run.bottleneck), run)
    ordered = sorted(first.values(), key=lambda run: (run.data, row_order(run.bottleneck)))
    return [
        {"data": run.data, "model": run.bottleneck, "title": row_name(run.bottleneck), **_source(run)}
        for run in ordered
    ]


def _remark(remark: Remark) -> dict[str, Any]:
    return asdict(remark)
