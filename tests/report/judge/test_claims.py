"""The paper's claims, tested over paired seeds."""

from pathlib import Path

import numpy as np
import pytest
from report_runs import write_run

from softvq.published import LABELS, PAPER_DATA, ROWS
from softvq.report.judge.claims import judge_claims, paper_claims
from softvq.report.judge.entries import make_entries
from softvq.report.judge.paper_tables import make_paper_tables
from softvq.report.judge.spread import spreads
from softvq.report.read.collection import collect

LADDER = {"raw": 0.5, "identity": 0.5, "vae": 0.5, "beta_vae": 0.55, "info_dropout": 0.5, "vq": 0.4, "soft_vq": 0.75}


@pytest.fixture
def tables(tmp_path, defaults):
    return lambda: make_paper_tables(make_entries(collect([tmp_path]).runs, defaults))[0]


@pytest.fixture
def claims(tables):
    return lambda: {claim.id: claim for claim in judge_claims(tables())}


def write_models(root: Path, accuracies: dict[str, float], seeds: int = 5, shift=lambda seed: 0.0) -> None:
    for model, accuracy in accuracies.items():
        for seed in range(1 if model == "raw" else seeds):
            noise = np.random.default_rng([seed, ROWS.index(model)]).normal(0, 0.002, 3) + shift(seed)
            write_run(root / f"{model}-{seed}", "mnist", model, seed, tuple(map(float, accuracy + noise)))


@pytest.mark.slow
def test_a_clear_order_supports_its_claims_and_contradicts_the_opposite(tmp_path, claims):
    write_models(tmp_path, LADDER)
    found = claims()
    assert found["mnist_best"].outcome == "supported"
    assert len(found["mnist_best"].comparisons) == 12
    assert found["mnist_vq_suffers"].outcome == "supported"
    assert found["mnist_gain_accuracy"].outcome == "match"
    assert found["mnist_gain_nmi"].outcome == "above"  # (0.75 - 0.5) / 0.5 is 50 percent
    assert found["figure_4"].outcome == "by eye"
    assert found["colour_classification_best"].outcome == "not run"
    write_models(tmp_path, {"beta_vae": 0.85})
    assert claims()["mnist_best"].outcome == "contradicted"
    assert claims()["mnist_beats_baseline"].outcome == "supported"


def test_seeds_are_paired(tmp_path, claims):
    # The seeds move both models by up to 20 points together; soft VQ stays 2 points ahead on each.
    write_models(tmp_path, {"identity": 0.5, "soft_vq": 0.52}, shift=lambda seed: 0.05 * seed)
    claim = claims()["mnist_beats_baseline"]
    assert claim.outcome == "supported"
    assert claim.comparisons[0].amount.mean == pytest.approx(0.02, abs=0.004)


def test_two_seeds_are_too_few_and_a_missing_row_is_not_run(tmp_path, claims):
    write_models(tmp_path, {"identity": 0.5, "soft_vq": 0.75}, seeds=2)
    found = claims()
    assert (found["mnist_beats_baseline"].outcome, found["mnist_best"].outcome) == ("too few seeds", "not run")


def test_seeds_without_effect_prove_nothing(tmp_path, claims):
    for seed in range(4):
        write_run(tmp_path / f"a-{seed}", bottleneck="identity", seed=seed, probes=(0.5, 0.5, 0.9))
        write_run(tmp_path / f"b-{seed}", bottleneck="soft_vq", seed=seed, probes=(0.9, 0.9, 0.9))
    claim = claims()["mnist_beats_baseline"]
    assert (claim.outcome, claim.p, claim.adjusted) == ("no spread", None, None)


def test_leaving_models_out_supports_no_claim_that_all_of_them_would_not(tmp_path, claims):
    write_models(tmp_path, {"identity": 0.5, "soft_vq": 0.51})
    alone = claims()["mnist_beats_baseline"]
    tested = [claim for claim in paper_claims() if any("gain" not in c for c in claim["comparisons"])]
    assert alone.adjusted == pytest.approx(min(1.0, len(tested) * alone.p))


def test_a_claim_on_another_codebook_reads_that_variant(tmp_path, claims):
    for seed in range(5):
        noise = 0.001 * np.random.default_rng(seed).normal(size=3)
        write_run(tmp_path / f"small-{seed}", "mnist", "vq", seed, (0.5, 0.3, 0.8))
        large = tuple(map(float, np.array([0.6, 0.4, 0.9]) + noise))
        write_run(tmp_path / f"large-{seed}", "mnist", "vq", seed, large, overrides=("bottleneck.K=512",))
    assert claims()["mnist_vq_codebook"].outcome == "supported"


def test_spread_is_set_beside_one_percent_and_says_how_many_seeds_three_points_need(tmp_path, tables):
    values = {"identity": [0.50, 0.58, 0.42, 0.55, 0.45], "soft_vq": [0.7001, 0.7002, 0.7, 0.7001, 0.6999]}
    for model, accuracies in values.items():
        for seed, accuracy in enumerate(accuracies):
            write_run(tmp_path / f"{model}-{seed}", bottleneck=model, seed=seed, probes=(accuracy, 0.5, 0.5))
    baseline, soft_vq = spreads(tables())
    assert (baseline.entry.bottleneck, baseline.outcome) == ("identity", "beyond one point")
    assert (soft_vq.outcome, soft_vq.seeds) == ("within one point", None)
    assert baseline.std == pytest.approx(np.std(values["identity"], ddof=1))
    assert 36 <= baseline.seeds <= 44  # a standard deviation of 6.5 points; (1.96 + 0.84)^2 (6.5 / 3)^2 is 37, and t


def test_claims_quote_the_paper_and_name_known_rows():
    found = paper_claims()
    assert len({claim["id"] for claim in found}) == len(found) >= 12
    for claim in found:
        assert all(len(claim[key]) >= 10 for key in ("quote", "where", "reading", "title"))
        for group in claim["comparisons"]:
            assert set(group["data"]) <= set(PAPER_DATA)
            assert set(group["metrics"]) <= set(LABELS)
            named = [group.get(key, []) for key in ("larger", "than", "gain", "over", "spread")]
            rows = {name for value in named for name in ([value] if isinstance(value, str | float) else value)}
            assert {row for row in rows if not isinstance(row, float)} <= set(ROWS)
