"""The tables of docs/results.md and README.md that stand beside the paper's, and the names of all tables."""

from collections.abc import Callable

from findings import NONE, Findings, diagnostic, each, number, numbers, papers, percent, seeds, spread
from study_tables import (
    distortion,
    equal_distortion,
    k_sweep,
    kl_sweep,
    noise_sweep,
    search,
    soft_vq_factors,
    vq_weights,
)
from table import markdown_table
from zoo_tables import EXPERIMENT, method_table, protocol, protocol_table

from softvq.published import LABELS, MSE, PROBE_METRICS, row_name, row_order
from softvq.report.judge.evaluations import evaluated
from softvq.report.judge.experiments import value_of
from softvq.report.read.run import Run
from softvq.report.write.numbers import claim_in_numbers

REPEATS = "repeats"  # the experiment of runs whose configuration has run on another device, too
ACCURACIES = ("clustering_accuracy", "classification_accuracy")  # of the paper's Table 2, which has no NMI


def table_1(findings: Findings) -> str:
    """Table 1 under both fidelities: means with intervals, or the seeds one by one, beside the paper."""
    entries = [(f, e) for f in ("paper", "released") for e in findings.table(f, "mnist")]
    rows = []
    for fidelity, entry in entries:
        if fidelity == "released" and entry.seedless:
            continue
        name = row_name(entry.bottleneck, "table_1") + (", `fidelity=released`" if fidelity == "released" else "")
        row = [name, seeds(entry)]
        for metric in PROBE_METRICS:
            row += [percent(entry, metric), papers(entry, metric)]
        rows.append([*row, number(entry, MSE), *(diagnostic(entry, name) for name in ("active_units", "perplexity"))])
    head = ["row", "seeds"]
    for metric in PROBE_METRICS:
        head += [LABELS[metric].lower() if metric != "clustering_nmi" else "NMI", "paper"]
    return markdown_table([*head, "MSE / var", "active units", "perplexity"], rows)


def readme(findings: Findings) -> str:
    """A number a seed beside the paper's, for the README."""
    rows = []
    for fidelity in ("paper", "released"):
        for entry in findings.table(fidelity, "mnist"):
            if fidelity == "released" and entry.seedless:
                continue
            name = f"`{entry.bottleneck}`" + (", `fidelity=released`" if fidelity == "released" else "")
            rows.append([name, *(f"{each(entry, m)} / {papers(entry, m)}" for m in PROBE_METRICS)])
    return markdown_table(["`bottleneck=`", "clustering accuracy", "NMI", "classification"], rows)


def claims(findings: Findings) -> str:
    """The paper's claims about MNIST, under each fidelity."""
    rows = [
        [claim["title"], f"`{tables['fidelity']}`", claim["outcome"], claim_in_numbers(claim)]
        for tables in findings.content["paper_tables"]
        for claim in tables["claims"]
        if claim["comparisons"] and claim["outcome"] != "not run"
    ]
    return markdown_table(["claim", "`fidelity=`", "outcome", "numbers"], rows)


def repeats(findings: Findings) -> str:
    """Runs of one configuration and seed on two devices, whatever sweep they are of."""
    first: dict[tuple[str, str | None], Run] = {}
    pairs = []
    for run in sorted(findings.runs, key=lambda run: run.experiment == REPEATS):
        known = first.setdefault((run.config_hash, run.data_sha256), run)
        if run.device != known.device:
            pairs.append((known, run))
    rows = []
    for pair in sorted(pairs, key=lambda pair: (row_order(pair[1].bottleneck), pair[1].seed)):
        rows.append([row_name(pair[1].bottleneck), str(pair[1].seed)])
        rows[-1] += [" / ".join(f"{100 * of.values[metric]:.1f}" for of in pair) for metric in PROBE_METRICS]
        rows[-1].append(" / ".join(f"{of.values[MSE]:.4f}" if MSE in of.values else NONE for of in pair))
    return markdown_table(["row", "seed", "clustering", "NMI", "classification", "MSE / var"], rows)


def berthelot(findings: Findings) -> str:
    """The same codes probed as the paper's text has it and as Berthelot et al.'s public code does."""
    rows = []
    for experiment in ("table_1", "kl_sweep"):
        for entry in findings.of(experiment):
            for found in evaluated(entry):
                if found.protocol != "berthelot":
                    continue
                name = row_name(entry.bottleneck)
                weight = value_of(entry, "bottleneck.kl_weight") if experiment == "kl_sweep" else None
                name += f", weight {weight:g}" if weight is not None else ""
                name += ", `fidelity=released`" if entry.fidelity == "released" else ""
                probed = sorted(found.values["clustering_accuracy"])
                row = [name, f"`{found.tap}`", ", ".join(map(str, probed))]
                for metric in PROBE_METRICS[:2]:
                    known = entry.values(metric) if found.tap == entry.runs[0].tap else {}
                    raw = [value for seed, value in known.items() if seed in probed]
                    row += [spread(raw, 100), spread([found.values[metric][seed] for seed in probed], 100)]
                    row += [papers(entry, metric) if experiment == "table_1" else NONE]
                rows.append(row)
    head = [
        "row",
        "tap",
        "seeds",
        "clustering, paper's protocol",
        "Berthelot's",
        "paper",
        "NMI, paper's protocol",
        "Berthelot's",
        "paper",
    ]
    return markdown_table(head, rows)


def table_2(findings: Findings) -> str:
    """CIFAR-10's column on the JPEG copy."""
    rows = [
        [
            row_name(e.bottleneck, "table_2"),
            f"{e.steps:,}" if e.steps else NONE,
            seeds(e),
            *(text for m in ACCURACIES for text in (percent(e, m), papers(e, m, "cifar10"))),
            number(e, MSE),
        ]
        for e in findings.of("table_2")
    ]
    return markdown_table(
        ["row", "steps", "seeds", "clustering", "paper", "classification", "paper", "MSE / var"], rows
    )


def figure_4(findings: Findings) -> str:
    """The numbers of the codes that Figure 4 shows."""
    found = findings.of("figure_4")
    longest = max((entry.steps or 0 for entry in found), default=0)
    rows = [[row_name(e.bottleneck), *numbers(e)] for e in found if e.steps == longest]
    return markdown_table(["row", "seeds", "clustering", "NMI", "classification", "MSE / var"], rows)


def zoo(findings: Findings, data: str) -> str:
    """Every bottleneck under one protocol on some data."""
    return protocol_table(findings.of(EXPERIMENT), data)


def zoo_runs(findings: Findings) -> str:
    """Which runs these tables are made of."""
    return protocol(findings.of(EXPERIMENT))


def zoo_of(findings: Findings, *bottlenecks: str) -> str:
    """The rows of some bottlenecks."""
    return method_table(findings.of(EXPERIMENT), bottlenecks)


TABLES: dict[str, Callable[..., str]] = {
    table.__name__: table
    for table in (
        table_1,
        readme,
        claims,
        kl_sweep,
        repeats,
        vq_weights,
        k_sweep,
        noise_sweep,
        soft_vq_factors,
        berthelot,
        search,
        table_2,
        figure_4,
        distortion,
        equal_distortion,
        zoo,
        zoo_runs,
        zoo_of,
    )
}
