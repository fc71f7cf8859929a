"""Run folders beside the paper's tables: what is counted, where it goes, what is said of the rest."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from image_files import write_arrays
from report_runs import MODELS, SHA, write_hostile, write_run, write_table

from softvq.config.compose import CONF_DIR
from softvq.config.identity import config_hash
from softvq.published import published
from softvq.report.__main__ import main
from softvq.report.judge.claims import judge_claims, paper_claims
from softvq.report.read.collect import collect
from softvq.report.read.defaults import Defaults, Departures
from softvq.report.write.content import build
from softvq.report.write.latex import latex
from softvq.report.write.layout import COLUMNS, METRIC_NAMES, ROWS
from softvq.report.write.markdown import markdown
from softvq.run_folder import read_json, write_json, write_text

OUTPUTS = ("tables.md", "tables.tex", "results.json", "report.html")


@pytest.fixture(scope="module")
def defaults():
    return Defaults(CONF_DIR)


@pytest.fixture
def read(tmp_path, defaults):
    """The report's content for what lies in the test's folder."""
    return lambda **options: build(collect([tmp_path]), defaults, **options)


@pytest.fixture(scope="module")
def table_1(tmp_path_factory):
    """Every row of Table 1, three seeds each, and one seed of SVHN."""
    root = tmp_path_factory.mktemp("runs")
    write_table(root, "mnist", range(3), figures=("tsne", "reconstructions"))
    write_table(root, "svhn", [0], ["vq", "vae"], experiment="table_2")
    return root


def cells(content, grid: int = 0):
    """(data, model) -> cell of one grid's tables."""
    tables = content["grids"][grid]["tables"]
    return {(c["data"], c["model"]): c for table in tables for row in table["rows"] for c in row["cells"]}


def change_json(path: Path, **changes) -> None:
    write_json(path, {**read_json(path), **changes})


# What goes into a cell.


def test_a_cell_holds_mean_and_spread_of_its_seeds_and_the_papers_number(tmp_path, read):
    values = [0.76, 0.78, 0.80]
    for seed, value in enumerate(values):
        write_run(tmp_path / f"{seed}", "mnist", "soft_vq", seed, (value, 0.70, 0.93))
    cell = cells(read())["mnist", "soft_vq"]
    found = cell["metrics"]["clustering_accuracy"]
    assert found["mean"] == pytest.approx(0.78)
    assert found["std"] == pytest.approx(0.02)
    assert found["paper"] == published("mnist", "soft_vq")["clustering_accuracy"] == 0.7764
    assert found["difference"] == pytest.approx(0.0036)
    assert found["verdict"] == "match"
    assert cell["metrics"]["clustering_nmi"]["verdict"] == "below"
    assert [run["seed"] for run in cell["runs"]] == [0, 1, 2]


def test_every_number_names_its_run_configuration_commit_and_data(tmp_path, read):
    folder = write_run(tmp_path / "table_1/mnist/vae/seed-0")
    (source,) = cells(read())["mnist", "vae"]["runs"]
    metrics = read_json(folder / "metrics.json")
    assert source["folder"] == "table_1/mnist/vae/seed-0"
    assert source["config_hash"] == metrics["config_hash"]
    assert source["commit"] == metrics["provenance"]["commit"]
    assert source["data_sha256"] == SHA


def test_the_papers_tables_are_whole_without_a_run(read):
    content = read()
    assert [table["title"] for table in content["grids"][0]["tables"]] == ["Table 1", "Table 2"]
    assert set(cells(content)) == {(data, model) for data in COLUMNS for model in ROWS}
    assert {m["verdict"] for cell in cells(content).values() for m in cell["metrics"].values()} == {"not run"}


def test_verdicts_need_three_seeds_but_for_raw_data(tmp_path, read):
    for seed in range(2):
        write_run(tmp_path / f"vae-{seed}", "mnist", "vae", seed)
    write_run(tmp_path / "raw", "mnist", "raw", 0, (0.5517, 0.5008, 0.9))
    found = cells(read())
    assert found["mnist", "vae"]["metrics"]["clustering_accuracy"]["verdict"] == "too few seeds"
    assert found["mnist", "raw"]["metrics"]["clustering_accuracy"]["verdict"] == "match"
    assert found["mnist", "raw"]["metrics"]["classification_accuracy"]["verdict"] == "below"


# What is kept apart.


def test_a_shorter_run_stays_out_of_the_papers_table(tmp_path, read):
    write_run(tmp_path / "long", seed=0)
    write_run(tmp_path / "short", seed=1, overrides=("trainer.max_steps=20",))
    content = read()
    assert [run["folder"] for run in cells(content)["mnist", "vae"]["runs"]] == ["long"]
    assert [run["folder"] for run in cells(content, 1)["mnist", "vae"]["runs"]] == ["short"]
    (departure,) = content["grids"][1]["setting"]["departures"]
    assert departure == {"key": "trainer.max_steps", "value": "20", "default": "40000"}


def test_fidelity_and_protocol_have_tables_of_their_own(tmp_path, read):
    write_run(tmp_path / "a", overrides=("fidelity=released",))
    write_run(tmp_path / "b", overrides=("probes=fast",))
    titles = [grid["setting"]["title"] for grid in read()["grids"]]
    assert titles == [
        "fidelity=paper probes=paper",
        "fidelity=released probes=paper",
        "fidelity=paper probes=fast",
    ]
    assert [grid["setting"]["title"] for grid in read(fidelities=["released"])["grids"]] == [
        "fidelity=released probes=paper"
    ]


def test_a_models_own_settings_are_a_variant(tmp_path, read):
    write_run(tmp_path / "default", "mnist", "vq", 0)
    write_run(tmp_path / "large", "mnist", "vq", 0, overrides=("bottleneck.K=512",))
    content = read()
    assert [run["folder"] for run in cells(content)["mnist", "vq"]["runs"]] == ["default"]
    (variant,) = content["grids"][0]["variants"]
    assert variant["settings"] == [{"key": "bottleneck.K", "value": "512", "default": "128"}]
    assert [run["folder"] for run in variant["runs"]] == ["large"]


def test_a_departure_is_named_once_and_by_its_cause(tmp_path, read):
    write_run(tmp_path / "narrow", overrides=("network.d=60",))
    write_run(tmp_path / "smoke", overrides=("trainer=smoke",))
    settings = [[d["key"] for d in grid["setting"]["departures"]] for grid in read()["grids"]]
    assert settings == [[], ["network.d"], ["trainer"]]


def test_runs_on_other_data_of_the_same_name_are_not_pooled(tmp_path, read):
    for seed in range(2):
        write_run(tmp_path / f"official-{seed}", seed=seed)
    other = write_run(tmp_path / "altered", seed=2, sha256="f" * 64)
    provenance = read_json(other / "metrics.json")["provenance"]
    provenance["data"]["verified"] = False
    change_json(other / "metrics.json", provenance=provenance)
    content = read()
    assert [run["folder"] for run in cells(content)["mnist", "vae"]["runs"]] == ["official-0", "official-1"]
    (variant,) = content["grids"][0]["variants"]
    assert variant["notes"] == ["data: the checksum is not the published one"]


def test_ones_own_data_cannot_take_the_papers_name(tmp_path, read):
    folder = write_run(tmp_path / "own")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["choices"]["data"] = "arrays"
    write_text(folder / "config.yaml", yaml.safe_dump(config))
    content = read()
    assert cells(content)["mnist", "vae"]["n"] == 0
    assert [run["data"] for run in content["runs"]] == ["mnist (arrays)"]


def test_a_setting_younger_than_the_run_is_no_departure(tmp_path, read):
    folder = write_run(tmp_path / "old")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    del config["result_settings"]["optimizer"]["fused"]
    write_text(folder / "config.yaml", yaml.safe_dump(config))
    change_json(folder / "metrics.json", config_hash=config_hash(config["result_settings"]))
    (cell,) = [cell for cell in cells(read()).values() if cell["n"]]
    assert cell["notes"] == ["older than these settings: optimizer.fused"]


def test_a_seed_counts_once(tmp_path, read):
    write_run(tmp_path / "b/again", experiment="runs", probes=(0.9, 0.9, 0.9))
    write_run(tmp_path / "c/table", experiment="table_1", probes=(0.5, 0.5, 0.5))
    cell = cells(read())["mnist", "vae"]
    assert (cell["n"], cell["repeats"]) == (1, ["b/again"])
    assert cell["metrics"]["clustering_accuracy"]["mean"] == 0.5
    assert cell["notes"] == ["repeats of a seed under equal settings gave other numbers"]


def test_data_beyond_the_paper_get_a_table_without_verdicts(tmp_path, read):
    write_table(tmp_path, "digits", range(3), ["vae"])
    table = read()["grids"][0]["tables"][2]
    assert (table["title"], table["data"][0]["metrics"]) == ("scikit-learn digits", list(METRIC_NAMES)[:3])
    found = next(row["cells"][0] for row in table["rows"] if row["model"] == "vae")["metrics"]["clustering_nmi"]
    assert (found["n"], found["paper"], found["verdict"]) == (3, None, "")


# What is left out, and named.


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"status": "fin', "metrics.json cannot be read: Unterminated string"),
        ("", "metrics.json cannot be read"),
        ("[1, 2]", "metrics.json is not a run's: it holds no mapping"),
        ('{"accuracy": 0.9}', "metrics.json is not a run's: status is None"),
        ("[" * 100_000, "metrics.json cannot be read"),
        (b"\xff\xfe\x00{", "metrics.json cannot be read"),
        ({"probes": None}, "probes is None"),
        ({"probes": {"clustering_accuracy": 0.5}}, "clustering_nmi is missing"),
        (
            {"probes": {"clustering_accuracy": 77.6, "clustering_nmi": 0.5, "classification_accuracy": 0.5}},
            "clustering_accuracy is 77.6, not a fraction of 1",
        ),
        ({"config_hash": "0" * 16}, "config_hash is 0000000000000000, config.yaml's settings have"),
        ({"seed": 4}, "seed is 4, config.yaml has 0"),
        ({"seed": "0"}, "seed is '0'"),
        ({"provenance": {}}, "data is missing"),
        ({"diagnostics": {"perplexity": 10**400}}, "holds a number that is not finite"),
    ],
)
def test_a_damaged_result_is_named_and_not_counted(tmp_path, read, content, reason):
    write_run(tmp_path / "whole", seed=1)
    path = write_run(tmp_path / "damaged") / "metrics.json"
    if isinstance(content, dict):
        change_json(path, **content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = read()
    (remark,) = found["damaged"]
    assert remark["folder"] == "damaged"
    assert reason in remark["reason"]
    assert [run["folder"] for run in found["runs"]] == ["whole"]
    assert str(tmp_path) not in json.dumps(found)


def test_a_number_that_is_none_is_damage(tmp_path, read):
    path = write_run(tmp_path / "run") / "metrics.json"
    path.write_text(path.read_text().replace("0.5644", "NaN"))
    assert "not finite" in read()["damaged"][0]["reason"]


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (None, "config.yaml is missing"),
        ("a: [1", "config.yaml cannot be read"),
        ("- 1", "config.yaml is not a run's"),
        ("data: {name: mnist}", "it has no choices"),
        ("!!python/object/apply:os.system ['true']", "config.yaml cannot be read"),
    ],
)
def test_a_result_whose_settings_are_unknown_is_not_counted(tmp_path, read, config, reason):
    path = write_run(tmp_path / "run") / "config.yaml"
    path.unlink() if config is None else path.write_text(config)
    content = read()
    assert reason in content["damaged"][0]["reason"]
    assert content["runs"] == []


def test_failed_and_unfinished_runs_are_listed_with_why(tmp_path, read):
    failed = write_run(tmp_path / "failed", "mnist", "vq", 3)
    (failed / "metrics.json").unlink()
    message = "the loss is nan at step 120; see /home/someone/logs/failed/run.log"
    write_json(failed / "failure.json", {"error": "DivergedError", "message": message, "step": 120})
    (write_run(tmp_path / "stopped", seed=2) / "metrics.json").unlink()
    content = read()
    assert content["failed"] == [
        {
            "folder": "failed",
            "reason": "DivergedError: the loss is nan at step 120; see …/run.log",
            "cell": "mnist / vq / seed 3",
            "step": 120,
        }
    ]
    assert [remark["folder"] for remark in content["incomplete"]] == ["stopped"]


def test_what_lies_inside_a_run_is_no_run(tmp_path, read):
    folder = write_run(tmp_path / "run")
    write_json(folder / "evaluations" / "metrics.json", {})
    write_text(folder / "wandb" / "files" / "config.yaml", "a: 1")
    content = read()
    assert len(content["runs"]) == 1
    assert content["damaged"] == content["incomplete"] == []


def test_several_folders_are_told_apart_and_overlapping_ones_count_once(tmp_path):
    write_run(tmp_path / "a" / "logs" / "run")
    write_run(tmp_path / "b" / "logs" / "run")
    roots = [tmp_path / "a" / "logs", tmp_path / "b" / "logs", tmp_path / "a" / "logs" / "run"]
    assert [run.folder for run in collect(roots).runs] == ["logs/run", "logs-2/run"]


def test_a_missing_folder_is_an_error_that_names_it(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere")]) == 1
    assert f"there is no folder of runs at {tmp_path / 'nowhere'}" in capsys.readouterr().err
    assert main([str(tmp_path), "--conf", str(tmp_path)]) == 1
    assert "--conf" in capsys.readouterr().err


# Deleting, repeating.


def test_deleting_the_only_run_of_a_cell_turns_it_and_nothing_else_into_not_run(table_1, defaults, tmp_path):
    before = build(collect([table_1]), defaults)
    copy = tmp_path / "copy"
    shutil.copytree(table_1, copy)
    shutil.rmtree(copy / "table_2/svhn/vq/seed-0")
    after = build(collect([copy]), defaults)
    changed = {key for key in cells(before) if cells(before)[key] != cells(after)[key]}
    assert changed == {("svhn", "vq")}
    assert {m["verdict"] for m in cells(after)["svhn", "vq"]["metrics"].values()} == {"not run"}
    old, new = (paper_tables(markdown(content)) for content in (before, after))
    different = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
    assert len(different) == 1
    assert different[0][1].startswith("| VQ-VAE (K = 512) | — | 12.96 | not run | — | 31.57 | not run |")


def paper_tables(text: str) -> list[str]:
    start = text.index("### Table 1")
    return text[start : text.index("### Every number", start)].splitlines()


def test_deleting_one_of_three_seeds_leaves_too_few(table_1, defaults, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(table_1, copy)
    shutil.rmtree(copy / "table_1/mnist/vae/seed-1")
    before, after = (cells(build(collect([root]), defaults)) for root in (table_1, copy))
    assert {key for key in before if before[key] != after[key]} == {("mnist", "vae")}
    assert after["mnist", "vae"]["metrics"]["clustering_nmi"]["verdict"] == "too few seeds"


def test_equal_runs_give_equal_bytes_wherever_they_lie(table_1, tmp_path, capsys):
    copy = tmp_path / "elsewhere" / "copy"
    copy.mkdir(parents=True)
    for path in sorted(table_1.rglob("seed-*"), reverse=True):  # another order, other times
        shutil.copytree(path, copy / path.relative_to(table_1), copy_function=shutil.copyfile)
    for root in (table_1, copy):
        assert main([str(root), "--out", str(root / "report")]) == 0
    for name in OUTPUTS:
        first, second = ((root / "report" / name).read_bytes() for root in (table_1, copy))
        assert first == second
        for host in (str(table_1), str(tmp_path)):
            assert host.encode() not in first
    assert "report/report.html" in capsys.readouterr().out
    shutil.rmtree(table_1 / "report")


def test_another_process_never_imports_torch_and_writes_the_same_bytes(tmp_path):
    write_run(tmp_path / "vae")
    write_run(tmp_path / "digits", "digits", "soft_vq")
    code = (
        "import sys; from softvq.report.__main__ import main; "
        f"assert main([{str(tmp_path)!r}]) == 0; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
    assert main([str(tmp_path), "--out", str(tmp_path / "again")]) == 0
    for name in OUTPUTS:
        assert (tmp_path / "report" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


# Claims.


@pytest.fixture
def claims(tmp_path, defaults):
    from softvq.report.judge.cells import make_grids

    def judged():
        grids = make_grids(collect([tmp_path]).runs, defaults)
        return {claim.id: claim for claim in judge_claims(grids[0])}

    return judged


def write_models(root: Path, accuracies: dict[str, float], seeds: int = 5, shift=lambda seed: 0.0) -> None:
    for model, accuracy in accuracies.items():
        for seed in range(1 if model == "raw" else seeds):
            noise = np.random.default_rng([seed, MODELS.index(model)]).normal(0, 0.002, 3) + shift(seed)
            write_run(root / f"{model}-{seed}", "mnist", model, seed, tuple(accuracy + noise))


LADDER = {"raw": 0.5, "identity": 0.5, "vae": 0.5, "beta_vae": 0.55, "info_dropout": 0.5, "vq": 0.4, "soft_vq": 0.75}


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


def test_one_better_rival_contradicts_being_the_best(tmp_path, claims):
    write_models(tmp_path, {**LADDER, "beta_vae": 0.85})
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


def test_leaving_models_out_supports_no_claim_that_all_of_them_would_not(tmp_path, claims):
    write_models(tmp_path, {"identity": 0.5, "soft_vq": 0.51})
    few = claims()["mnist_beats_baseline"].adjusted
    write_models(tmp_path, {**LADDER, "identity": 0.5, "soft_vq": 0.51, "vae": 0.52})
    assert few >= claims()["mnist_beats_baseline"].p
    tested = [claim for claim in paper_claims() if any("gain" not in c for c in claim["comparisons"])]
    assert few == pytest.approx(min(1.0, len(tested) * claims()["mnist_beats_baseline"].p))


def test_a_claim_on_another_codebook_reads_that_variant(tmp_path, claims):
    for seed in range(5):
        noise = 0.001 * np.random.default_rng(seed).normal(size=3)
        write_run(tmp_path / f"small-{seed}", "mnist", "vq", seed, (0.5, 0.3, 0.8))
        large = tuple(np.array([0.6, 0.4, 0.9]) + noise)
        write_run(tmp_path / f"large-{seed}", "mnist", "vq", seed, large, overrides=("bottleneck.K=512",))
    assert claims()["mnist_vq_codebook"].outcome == "supported"


def test_claims_quote_the_paper_and_name_known_rows():
    found = paper_claims()
    assert len({claim["id"] for claim in found}) == len(found) >= 12
    for claim in found:
        assert all(len(claim[key]) >= 10 for key in ("quote", "where", "reading", "title"))
        for group in claim["comparisons"]:
            assert set(group["data"]) <= set(COLUMNS)
            assert set(group["metrics"]) <= set(METRIC_NAMES)
            named = [group.get(key, []) for key in ("larger", "than", "gain", "over", "spread")]
            rows = {name for value in named for name in ([value] if isinstance(value, str | float) else value)}
            assert {row for row in rows if not isinstance(row, float)} <= set(ROWS)


# Equal distortion.


def test_equal_distortion_compares_within_a_band_and_says_where_a_model_has_no_run(tmp_path, read):
    assert read()["equal_distortion"] == []
    errors = {("soft_vq", 1): 0.30, ("soft_vq", 10): 0.80, ("vae", 1): 0.55, ("vae", 0.1): 0.31, ("identity", 1): 0.1}
    for (model, weight), mse in errors.items():
        write_run(
            tmp_path / f"{model}-{weight}",
            "mnist",
            model,
            overrides=(f"penalty_weight={weight}",),
            experiment="equal_distortion",
            mse=mse,
        )
    (band,) = read()["equal_distortion"]
    assert band["low"] < 0.30 < 0.31 < band["high"]
    found = {model["model"]: (model["inside"], model["mse"]) for model in band["models"]}
    assert found == {"soft_vq": (True, 0.3), "vae": (True, 0.31), "identity": (False, 0.1)}
    assert band["missing"] == ["beta_vae", "info_dropout", "vq"]
    assert "none in the band; nearest 0.1000" in markdown(read())


# LaTeX and Markdown.


@pytest.fixture
def hostile(tmp_path, read):
    write_hostile(tmp_path)
    return read()


def test_latex_keeps_its_columns_whatever_a_name_holds(hostile):
    text = latex(hostile)
    assert r"\textbackslash{}input\{/etc/passwd\}" in text
    assert r"50\% of \$x\_1\textasciicircum{}2\$" in text
    for table in text.split(r"\begin{table}")[1:]:
        columns = table.split(r"\begin{tabular}{l")[1].split("}")[0].count("r") + 1
        body = table.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
        assert len(body) >= len(ROWS)
        for line in body:
            assert line.endswith(r"\\")
            assert len(re.findall(r"(?<!\\)&", line)) == columns - 1
        plain = re.sub(r"\\[{}]", "", table)
        assert plain.count("{") == plain.count("}")
        assert not re.search(r"(?<!\\)[%#]", table.split(r"\begin{tabular}")[0])


def test_markdown_keeps_its_columns_whatever_a_name_holds(hostile):
    block: list[int] = []
    rows = 0
    for line in [*markdown(hostile).splitlines(), ""]:
        if line.startswith("|"):
            block.append(len(re.findall(r"(?<!\\)\|", line)))
            rows += 1
        else:
            assert len(set(block)) <= 1
            block = []
    assert rows > 30
    assert "<script>" not in re.sub(r"`[^`]*`", "", markdown(hostile)).replace(r"\<", "")


def test_ones_own_data_have_no_default_to_depart_from(tmp_path, defaults):
    write_arrays(tmp_path / "own", shape=(32, 32, 3))
    for bottleneck in ("raw", "identity"):
        write_run(tmp_path / "runs" / bottleneck, "arrays", bottleneck, overrides=(f"data.dir={tmp_path / 'own'}",))
    assert [defaults.departures(run) for run in collect([tmp_path / "runs"]).runs] == [Departures(), Departures()]
