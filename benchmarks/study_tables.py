"""The tables of docs/results.md that vary one setting: of the KL, of VQ and of soft VQ."""

from collections.abc import Sequence

from findings import Findings, brief, diagnostic, mean, number, numbers
from table import markdown_table

from softvq.published import MSE, row_name
from softvq.report.judge.entries import Entry
from softvq.report.judge.experiments import value_of


def kl_sweep(findings: Findings) -> str:
    """What the weight of the KL does; weights 1 and 20 are Table 1's VAE and beta-VAE."""
    rows = [[f"{weight:g}", *numbers(e), diagnostic(e, "active_units")] for weight, e in kl_weights(findings)]
    head = ["weight", "seeds", "clustering", "NMI", "classification", "MSE / var", "active units"]
    return markdown_table(head, rows)


def kl_weights(findings: Findings) -> list[tuple[float, Entry]]:
    """The scan's rows and Table 1's, by their weight of the KL."""
    scanned = [(float(value_of(entry, "bottleneck.kl_weight")), entry) for entry in findings.of("kl_sweep")]
    usual = {"vae": 1.0, "beta_vae": 20.0}
    known = [(usual[e.bottleneck], e) for e in findings.table("paper", "mnist") if e.bottleneck in usual]
    return sorted([*scanned, *known], key=lambda row: row[0])


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
    return _study(
        findings, "soft_vq_factors", ("data", "fidelity", "bottleneck._target_", "data.batch_size", "optimizer")
    )


def search(findings: Findings) -> str:
    """One of soft VQ's choices changed at a time, on validation images."""
    return _studies(
        findings.of("search"), ("fidelity", "bottleneck._target_", "bottleneck.sigma_eps", "data.batch_size")
    )


def distortion(findings: Findings) -> str:
    """Every form of VAE and soft VQ that ran on MNIST at full length, in the order of its distortion."""
    found = [(f"VAE, KL weight {weight:g}", entry) for weight, entry in kl_weights(findings)]
    full = max(entry.steps or 0 for _, entry in found)
    for e in [*findings.of("table_1"), *findings.of("soft_vq_factors")]:
        if e.bottleneck == "soft_vq" and e.steps == full and e.data == "mnist":
            changed = [brief(_setting(e, "bottleneck._target_")), f"batch {_setting(e, 'data.batch_size')}"]
            changed += ["TensorFlow's Adam"] if "tensorflow" in str(_setting(e, "optimizer")) else []
            found.append((f"Soft VQ-VAE, `fidelity={e.fidelity}`, " + ", ".join(changed), e))
    found.sort(key=lambda row: mean(row[1], MSE))
    rows = [[number(e, MSE), name, *numbers(e)[:-1]] for name, e in found if mean(e, MSE) < 0.25]
    return markdown_table(["MSE / var", "row", "seeds", "clustering", "NMI", "classification"], rows)


def equal_distortion(findings: Findings) -> str:
    """Rows with their penalties scaled, in the order of their distortion."""
    entries = sorted(findings.of("equal_distortion"), key=lambda entry: mean(entry, MSE))
    rows = []
    for e in entries:
        weight = f"{value_of(e, 'penalty_weight'):g}"
        rows.append([number(e, MSE), row_name(e.bottleneck), weight, f"{e.steps:,}", *numbers(e)[:-1]])
    head = ["MSE / var", "row", "`penalty_weight`", "steps", "seeds", "clustering", "NMI", "classification"]
    return markdown_table(head, rows)


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
    usual = [e for table in ("table_1", "table_2") for e in findings.of(table) if e.bottleneck == "soft_vq"]
    settings = {run.settings_hash for entry in usual for run in entry.runs}
    return [*(e for e in findings.of("noise_sweep") if e.runs[0].settings_hash in settings), *usual]


def _studies(entries: Sequence[Entry], keys: Sequence[str]) -> str:
    if not entries:
        return "Not run yet."
    rows = [
        [
            *(brief(_setting(entry, key)) for key in keys),
            f"{entry.steps:,}",
            *numbers(entry),
            *(diagnostic(entry, name) for name in ("perplexity", "dead_codes")),
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
