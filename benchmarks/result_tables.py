"""The tables of docs/results.md and README.md, from the runs in docs/results/."""

from collections.abc import Callable, Sequence

from table import markdown_table
from zoo_tables import EXPERIMENT, method_table, protocol, protocol_table

from softvq.published import LABELS, MSE, PROBE_METRICS, published, row_name, row_order
from softvq.report.judge.entries import Entry, make_entries
from softvq.report.judge.evaluations import evaluated
from softvq.report.judge.experiments import make_experiments, value_of
from softvq.report.judge.paper_tables import make_paper_tables
from softvq.report.judge.statistics import summarize
from softvq.report.read.collection import Collection
from softvq.report.read.departures import DefaultSettings
from softvq.report.read.run import Run
from softvq.report.write.numbers import claim_in_numbers
from softvq.report.write.results import results

NONE = "-"
REPEATS = "repeats"  # the experiment of runs whose configuration has run on another device, too
ACCURACIES = ("clustering_accuracy", "classification_accuracy")  # of the paper's Table 2, which has no NMI


class Findings:
    """Runs, grouped as the tables need them.

    Attributes:
        runs: all of them.
        content: all that the report says.
        experiments: name -> its rows.
        papers: fidelity -> the paper's tables.
    """

    def __init__(self, runs: Sequence[Run]) -> None:
        defaults = DefaultSettings()
        self.runs = runs
        self.content = results(Collection(list(runs)), defaults)
        self.experiments = {found.name: found.entries for found in make_experiments(runs, defaults)}
        self.papers = {found.fidelity: found for found in make_paper_tables(make_entries(runs, defaults))}

    def table(self, fidelity: str, data: str) -> list[Entry]:
        """The rows of the paper's table that have runs."""
        found = self.papers.get(fidelity)
        return [e for (name, _), e in found.entries.items() if name == data and e.runs] if found else []

    def of(self, experiment: str) -> list[Entry]:
        """The rows of an experiment that have runs."""
        return [entry for entry in self.experiments.get(experiment, ()) if entry.runs]


def table_1(findings: Findings) -> str:
    """Table 1 under both fidelities: means with intervals, or the seeds one by one, beside the paper."""
    entries = [(f, e) for f in ("paper", "released") for e in findings.table(f, "mnist")]
    rows = []
    for fidelity, entry in entries:
        if fidelity == "released" and entry.seedless:
            continue
        name = row_name(entry.bottleneck, "table_1") + (", `fidelity=released`" if fidelity == "released" else "")
        row = [name, _seeds(entry)]
        for metric in PROBE_METRICS:
            row += [_percent(entry, metric), _paper(entry, metric)]
        rows.append([*row, _number(entry, MSE), *(_diagnostic(entry, name) for name in ("active_units", "perplexity"))])
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
            rows.append([name, *(f"{_each(entry, m)} / {_paper(entry, m)}" for m in PROBE_METRICS)])
    return markdown_table(["`bottleneck=`", "clustering accuracy", "NMI", "classification"], rows)


def kl_sweep(findings: Findings) -> str:
    """What the weight of the KL does; weights 1 and 20 are Table 1's VAE and beta-VAE."""
    rows = [[f"{weight:g}", *_numbers(e), _diagnostic(e, "active_units")] for weight, e in kl_weights(findings)]
    head = ["weight", "seeds", "clustering", "NMI", "classification", "MSE / var", "active units"]
    return markdown_table(head, rows)


def kl_weights(findings: Findings) -> list[tuple[float, Entry]]:
    """The scan's rows and Table 1's, by their weight of the KL."""
    scanned = [(float(value_of(entry, "bottleneck.kl_weight")), entry) for entry in findings.of("kl_sweep")]
    usual = {"vae": 1.0, "beta_vae": 20.0}
    known = [(usual[e.bottleneck], e) for e in findings.table("paper", "mnist") if e.bottleneck in usual]
    return sorted([*scanned, *known], key=lambda row: row[0])


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


def vq_weights(findings: Findings) -> str:
    """What plain VQ's two weights do."""
    return _studies(findings.of("vq_weights"), ("bottleneck.codebook_weight", "bottleneck.commitment_weight"))


def k_sweep(findings: Findings) -> str:
    """What the number of codewords does, data by data."""
    return _study(findings, "k_sweep", ("data", "bottleneck.K"))


def noise_sweep(findings: Findings) -> str:
    """What the latent noise does."""
    return _study(findings, "noise_sweep", ("bottleneck.sigma_eps",))


def soft_vq_factors(findings: Findings) -> str:
    """One of soft VQ's choices changed at a time."""
    return _study(findings, "soft_vq_factors", ("fidelity", "bottleneck._target_", "data.batch_size", "optimizer"))


def _study(findings: Findings, name: str, keys: Sequence[str]) -> str:
    """A study's rows at their full length; of settings that it has no run of, the default's from other sweeps."""
    own = findings.of(name)
    longest = {e.data: max(other.steps or 0 for other in own if other.data == e.data) for e in own}
    fidelities = {entry.fidelity for entry in own}
    shown: dict[tuple[object, ...], Entry] = {}
    for entry in (*own, *_usual(findings)):
        if entry.steps == longest.get(entry.data) and entry.fidelity in fidelities:
            shown.setdefault((entry.data, entry.fidelity, *(_setting(entry, key) for key in keys)), entry)
    return _studies(list(shown.values()), keys)


def _usual(findings: Findings) -> list[Entry]:
    """Soft VQ with nothing changed, as the sweeps have it: the noise's first, whose runs share the studies' device."""
    noise = [entry for entry in findings.of("noise_sweep") if _setting(entry, "bottleneck.sigma_eps") == 0.01]
    return [*noise, *(e for name in ("table_1", "table_2") for e in findings.of(name) if e.bottleneck == "soft_vq")]


def _studies(entries: Sequence[Entry], keys: Sequence[str]) -> str:
    if not entries:
        return "Not run yet."
    rows = [
        [
            *(_brief(_setting(entry, key)) for key in keys),
            f"{entry.steps:,}",
            *_numbers(entry),
            *(_diagnostic(entry, name) for name in ("perplexity", "dead_codes")),
        ]
        for entry in sorted(
            entries, key=lambda entry: (-(entry.steps or 0), *(_order(_setting(entry, key)) for key in keys))
        )
    ]
    named = [f"`{key}`" for key in keys]
    head = [*named, "steps", "seeds", "clustering", "NMI", "classification", "MSE / var", "perplexity", "dead codes"]
    return markdown_table(head, rows)


def _setting(entry: Entry, key: str) -> object:
    """A setting of a row; K as the health panel counted it, which a table in which it does not vary leaves out."""
    if key == "bottleneck.K":
        return next(int(run.diagnostics["K"]) for run in entry.runs if "K" in run.diagnostics)
    if key == "optimizer":
        return value_of(entry, key) or "adam"  # that of every run whose table does not vary it
    return entry.data if key == "data" else value_of(entry, key)


def _order(value: object) -> tuple[bool, object]:
    """Numbers by their size, and names behind them."""
    return isinstance(value, str), value


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
                seeds = sorted(found.values["clustering_accuracy"])
                row = [name, f"`{found.tap}`", ", ".join(map(str, seeds))]
                for metric in PROBE_METRICS[:2]:
                    known = entry.values(metric) if found.tap == entry.runs[0].tap else {}
                    raw = [value for seed, value in known.items() if seed in seeds]
                    row += [_of(raw, 100), _of([found.values[metric][seed] for seed in seeds], 100)]
                    row += [_paper(entry, metric) if experiment == "table_1" else NONE]
                rows.append(row)
    head = ["row", "tap", "seeds", "clustering raw", "whitened", "paper", "NMI raw", "whitened", "paper"]
    return markdown_table(head, rows)


def search(findings: Findings) -> str:
    """One of soft VQ's choices changed at a time, on validation images."""
    return _studies(
        findings.of("search"), ("fidelity", "bottleneck._target_", "bottleneck.sigma_eps", "data.batch_size")
    )


def table_2(findings: Findings) -> str:
    """CIFAR-10's column on the JPEG copy."""
    rows = [
        [
            row_name(e.bottleneck, "table_2"),
            f"{e.steps:,}" if e.steps else NONE,
            _seeds(e),
            *(text for m in ACCURACIES for text in (_percent(e, m), _paper(e, m, "cifar10"))),
            _number(e, MSE),
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
    rows = [[row_name(e.bottleneck), *_numbers(e)] for e in found if e.steps == longest]
    return markdown_table(["row", "seeds", "clustering", "NMI", "classification", "MSE / var"], rows)


def distortion(findings: Findings) -> str:
    """Every form of VAE and soft VQ that ran on MNIST at full length, in the order of its distortion."""
    found = [(f"VAE, KL weight {weight:g}", entry) for weight, entry in kl_weights(findings)]
    full = max(entry.steps or 0 for _, entry in found)
    for e in [*findings.of("table_1"), *findings.of("soft_vq_factors")]:
        if e.bottleneck == "soft_vq" and e.steps == full and e.data == "mnist":
            changed = [_brief(_setting(e, "bottleneck._target_")), f"batch {_setting(e, 'data.batch_size')}"]
            changed += ["TensorFlow's Adam"] if "tensorflow" in str(_setting(e, "optimizer")) else []
            found.append((f"Soft VQ-VAE, `fidelity={e.fidelity}`, " + ", ".join(changed), e))
    found.sort(key=lambda row: _mean(row[1], MSE))
    rows = [[_number(e, MSE), name, *_numbers(e)[:-1]] for name, e in found if _mean(e, MSE) < 0.25]
    return markdown_table(["MSE / var", "row", "seeds", "clustering", "NMI", "classification"], rows)


def _mean(entry: Entry, metric: str) -> float:
    values = list(entry.values(metric).values())
    return sum(values) / len(values)


def equal_distortion(findings: Findings) -> str:
    """Rows with their penalties scaled, in the order of their distortion."""
    entries = sorted(findings.of("equal_distortion"), key=lambda entry: _mean(entry, MSE))
    rows = []
    for e in entries:
        weight = f"{value_of(e, 'penalty_weight'):g}"
        rows.append([_number(e, MSE), row_name(e.bottleneck), weight, f"{e.steps:,}", *_numbers(e)[:-1]])
    head = ["MSE / var", "row", "`penalty_weight`", "steps", "seeds", "clustering", "NMI", "classification"]
    return markdown_table(head, rows)


def claims(findings: Findings) -> str:
    """The paper's claims about MNIST, under each fidelity."""
    rows = [
        [claim["title"], f"`{tables['fidelity']}`", claim["outcome"], claim_in_numbers(claim)]
        for tables in findings.content["paper_tables"]
        for claim in tables["claims"]
        if claim["comparisons"] and claim["outcome"] != "not run"
    ]
    return markdown_table(["claim", "`fidelity=`", "outcome", "numbers"], rows)


def zoo(findings: Findings, data: str) -> str:
    """Every bottleneck under one protocol on some data."""
    return protocol_table(findings.of(EXPERIMENT), data)


def zoo_runs(findings: Findings) -> str:
    """Which runs these tables are made of."""
    return protocol(findings.of(EXPERIMENT))


def zoo_of(findings: Findings, *bottlenecks: str) -> str:
    """The rows of some bottlenecks."""
    return method_table(findings.of(EXPERIMENT), bottlenecks)


def _seeds(entry: Entry) -> str:
    return NONE if entry.seedless else ", ".join(str(run.seed) for run in entry.runs)


def _numbers(entry: Entry) -> list[str]:
    """Seeds, the probes' numbers and the distortion."""
    return [_seeds(entry), *(_percent(entry, metric) for metric in PROBE_METRICS), _number(entry, MSE)]


def _percent(entry: Entry, metric: str) -> str:
    return _of(list(entry.values(metric).values()), 100)


def _number(entry: Entry, metric: str) -> str:
    return _of(list(entry.values(metric).values()), 1, 3)


def _diagnostic(entry: Entry, name: str) -> str:
    values = [run.diagnostics[name] for run in entry.runs if run.diagnostics.get(name) is not None]
    texts = [f"{value:.0f}" for value in values]
    return " / ".join(texts[:1] if len(set(texts)) == 1 else texts) or NONE


def _each(entry: Entry, metric: str) -> str:
    return ", ".join(f"{100 * value:.1f}" for value in entry.values(metric).values()) or NONE


def _paper(entry: Entry, metric: str, data: str | None = None) -> str:
    value = published(data or entry.data, entry.bottleneck).get(metric)
    return NONE if value is None else f"{100 * value:.1f}"


def _of(values: Sequence[float], scale: float, digits: int = 1) -> str:
    """Mean and half the 95 % interval; the values one by one where there are too few of them."""
    if not values:
        return NONE
    found = summarize(values)
    if found.half_width is None:
        return " / ".join(f"{scale * value:.{digits}f}" for value in values)
    return f"{scale * found.mean:.{digits}f} ± {scale * found.half_width:.{digits}f}"


def _brief(value: object) -> str:
    return NONE if value is None else f"`{str(value).rpartition('.')[2] if isinstance(value, str) else value}`"


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
