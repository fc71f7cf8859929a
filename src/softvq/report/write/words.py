"""What the report says about how it was made, in the words that all of its files share."""

from typing import Any

from softvq.report.write.layout import ACCURACIES, MINUS, shown

MEASURED = (
    "What was measured. An autoencoder is trained without labels, one for each bottleneck, data set and seed; "
    "only the bottleneck differs. Its encoder's output z_e then serves two tasks. Clustering: K-means with as "
    "many clusters as classes on the test set's codes, scored by accuracy under the best one-to-one matching of "
    "clusters and classes, and by normalized mutual information, NMI = 2 I / (H + H). Classification: one linear "
    "layer with a softmax, trained on the training set's codes and scored on the test set's. Raw data are the "
    "pixels themselves under the same probes; the untrained encoder, a row that the paper does not have, is what "
    "random weights give, a floor for the others."
)
PROTOCOL = (
    "Protocol. A cell is one model on one data set under one configuration; its seeds change initial weights, "
    "order of the images and noise, never the probes. fidelity=paper follows the paper's text and takes from the "
    "released notebooks what the text leaves open; fidelity=released follows the notebooks. probes=paper is "
    "K-means from 100 starts and a classifier trained for 30,000 steps; probes=fast is a quicker look whose "
    "numbers are not the same. Runs whose settings differ are never pooled: the paper's tables hold each model's "
    "default settings, everything else stands apart with what sets it apart. Folders that hold equal settings and "
    "an equal seed count once."
)
VERDICTS = (
    "How to read the verdicts. Each mean over seeds stands beside the paper's number. The paper names neither the "
    "number of its runs nor their spread, so the verdict is about size, not significance: match, where the "
    "difference is at most one point (0.01 for NMI) or half the width of our 95 % interval; above or below, where "
    "it is larger; too few seeds, under three (raw data need one: nothing about them is random); not run, without "
    "a finished run. Intervals are bias-corrected and accelerated bootstraps over seeds (9,999 resamples, "
    "percentiles where that is undefined); with three to five seeds they tend to be too narrow. Spread is the "
    f"standard deviation with n {MINUS} 1."
)
TESTS = (
    "How the claims are tested. Differences are paired by seed and tested with one-sided t-tests rather than "
    "signed ranks, which with five seeds cannot give less than p = 0.031. A claim holds where all of its "
    "inequalities hold, so its p is their largest; against it speaks any one of them reversed, so the p against "
    "it is their smallest times their number. Both are corrected over all tested claims after Holm, at 5 %, where "
    "a claim that was not run counts as p = 1. Undecided means that neither side is shown; the sizes named in the "
    "paper are set beside ours as cells are."
)
READING = (MEASURED, PROTOCOL, VERDICTS, TESTS)


def outcome_detail(claim: dict[str, Any]) -> str:
    """The numbers behind a claim's outcome, in a sentence."""
    states = [comparison["state"] for comparison in claim["comparisons"]]
    if claim["outcome"] in ("not run", "too few seeds"):
        return f"{states.count('compared')} of {len(states)} comparisons have their runs"
    if claim["adjusted"] is not None:
        return (
            f"p = {probability(claim['p'])}, after Holm {probability(claim['adjusted'])}; against it "
            f"{probability(claim['adjusted_against'])}; {len(states)} comparison{'s' if len(states) > 1 else ''}"
        )
    return "; ".join(amount(comparison) for comparison in claim["comparisons"])


def amount(comparison: dict[str, Any]) -> str:
    """What one comparison found, with its interval and what it is held against."""
    if comparison["mean"] is None:
        return comparison["state"]
    metric, signed = comparison["metric"], comparison["kind"] in ("larger", "gain")

    def text(value: float) -> str:
        if comparison["relative"]:
            return f"{100 * value:+.1f} %".replace("-", MINUS)
        return shown(value, metric, signed) + (" points" if signed and metric in ACCURACIES else "")

    interval = comparison["interval"]
    found = (
        f"standard deviation {shown(comparison['std'], metric)}"
        if comparison["kind"] == "spread"
        else text(comparison["mean"])
    )
    if interval and comparison["kind"] != "spread":
        found += f" ({text(interval[0])} to {text(interval[1])})"
    against = {"above": "against ", "spread": "limit ", "gain": "claimed "}.get(comparison["kind"])
    reference = (
        shown(comparison["reference"], metric) if comparison["kind"] == "spread" else text(comparison["reference"])
    )
    return f"{found}{f', {against}{reference}' if against else ''}, n = {comparison['n']}"


def probability(p: float | None) -> str:
    """A p-value with as many digits as one reads."""
    if p is None:
        return "—"
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"
