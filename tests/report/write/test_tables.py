"""The tables in Markdown and LaTeX: whole, in one unit, and unbroken whatever a name holds."""

import re

import pytest
from report_runs import write_hostile, write_run, write_table

from softvq.published import PAPER_DATA, ROWS, published
from softvq.report.write.latex import latex
from softvq.report.write.markdown import markdown
from softvq.report.write.numbers import claim_in_numbers


def entries(content, number: int = 0):
    """(data, model) -> entry of the paper's tables under one fidelity."""
    tables = content["paper_tables"][number]["tables"]
    return {(e["data"], e["model"]): e for table in tables for row in table["rows"] for e in row["entries"]}


@pytest.fixture
def hostile(tmp_path, read):
    write_hostile(tmp_path)
    return read()


def test_the_papers_tables_are_whole_without_a_run(read):
    content = read()
    assert [table["title"] for table in content["paper_tables"][0]["tables"]] == ["Table 1", "Table 2"]
    assert set(entries(content)) == {(data, model) for data in PAPER_DATA for model in ROWS}
    assert {m["verdict"] for entry in entries(content).values() for m in entry["metrics"].values()} == {"not run"}
    assert content["experiments"] == []


def test_an_entry_of_the_papers_table_holds_mean_interval_paper_and_verdict(tmp_path, read):
    for seed, value in enumerate((0.77, 0.78, 0.79)):
        write_run(tmp_path / f"{seed}", "mnist", "soft_vq", seed, (value, 0.6 + seed / 100, 0.93 + seed / 1000))
    entry = entries(read())["mnist", "soft_vq"]
    found = entry["metrics"]["clustering_accuracy"]
    assert (found["mean"], found["std"]) == (pytest.approx(0.78), pytest.approx(0.01))
    assert found["paper"] == published("mnist", "soft_vq")["clustering_accuracy"] == 0.7764
    assert found["difference"] == pytest.approx(0.0036)
    assert found["verdict"] == "match"
    assert entry["metrics"]["clustering_nmi"]["verdict"] == "below"
    assert [run["seed"] for run in entry["runs"]] == [0, 1, 2]


@pytest.mark.parametrize("override", ["trainer.max_steps=60", "probes=fast", "network.d=60", "bottleneck.kl_weight=2"])
def test_a_distance_to_the_paper_is_shown_only_under_its_conditions(tmp_path, read, override):
    for seed in range(3):
        write_run(tmp_path / f"{seed}", seed=seed, probes=(0.5 + seed / 100, 0.5, 0.9), overrides=(override,))
    content = read()
    (row,) = content["experiments"][0]["rows"]
    assert {(m["paper"], m["difference"], m["verdict"]) for m in row["metrics"].values()} == {(None, None, "")}
    assert entries(content)["mnist", "vae"]["n"] == 0


def test_each_fidelity_has_tables_of_its_own(tmp_path, read):
    write_run(tmp_path / "a", overrides=("fidelity=released",))
    assert [tables["fidelity"] for tables in read()["paper_tables"]] == ["paper", "released"]
    assert [tables["fidelity"] for tables in read(fidelities=["released"])["paper_tables"]] == ["released"]
    assert entries(read(), 1)["mnist", "vae"]["n"] == 1


def test_fewer_than_three_seeds_have_no_plus_minus_and_no_verdict(tmp_path, read):
    write_table(tmp_path, "mnist", range(2), ["raw", "vae"])
    content = read()
    for text in (markdown(content), latex(content)):
        tables = text.split("## How to read this")[0].split(r"\caption")
        assert not any("±" in table or r"$\pm$" in table for table in tables)
    verdicts = {
        name: entries(content)["mnist", name]["metrics"]["clustering_nmi"]["verdict"] for name in ("raw", "vae")
    }
    assert verdicts == {"raw": "match", "vae": "too few seeds"}


def test_all_probes_are_in_percent_everywhere(tmp_path, read):
    for seed in range(3):
        write_run(tmp_path / f"{seed}", seed=seed, probes=(0.5 + seed / 100, 0.6123 + seed / 1000, 0.9 + seed / 100))
    for text in (markdown(read()), latex(read())):
        assert "61.33" in text
        assert "0.61" not in text


def test_every_number_names_its_run_configuration_commit_and_data(tmp_path, read):
    write_run(tmp_path / "table_1/mnist/vae/seed-0")
    (run,) = read()["runs"]
    row = next(line for line in markdown(read()).splitlines() if line.startswith("| `table_1/mnist/vae/seed-0` |"))
    for name in ("config_hash", "commit", "data_sha256", "device"):
        assert f"`{run[name]}`" in row


def test_latex_keeps_its_columns_whatever_a_name_holds(hostile):
    text = latex(hostile)
    assert r"\textbackslash{}input\{/etc/passwd\}" in text
    assert r"50\% of \$x\_1\textasciicircum{}2\$" in text
    for table in text.split(r"\begin{table}")[1:]:
        columns = len(table.split(r"\begin{tabular}{")[1].split("}")[0])
        body = table.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
        assert body
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


def test_equal_distortion_compares_within_a_band_and_says_where_a_model_has_no_run(tmp_path, read):
    assert read()["equal_distortion"] == []
    errors = {("soft_vq", 1): 0.30, ("soft_vq", 10): 0.80, ("vae", 1): 0.55, ("vae", 0.1): 0.31, ("identity", 1): 0.1}
    for (model, weight), mse in errors.items():
        folder = tmp_path / f"{model}-{weight}"
        weights = (f"penalty_weight={weight}",)
        write_run(folder, "mnist", model, overrides=weights, experiment="equal_distortion", mse=mse)
    (band,) = read()["equal_distortion"]
    assert band["low"] < 0.30 < 0.31 < band["high"]
    found = {model["model"]: (model["inside"], model["mse"]) for model in band["models"]}
    assert found == {"soft_vq": (True, 0.3), "vae": (True, 0.31), "identity": (False, 0.1)}
    assert band["missing"] == ["beta_vae", "info_dropout", "vq"]
    assert "none in the band; nearest 0.1000" in markdown(read())


def test_a_tiny_p_is_less_than_what_can_be_shown():
    claim = {
        "outcome": "supported",
        "p": 1e-9,
        "adjusted": 1e-8,
        "adjusted_against": 1.0,
        "comparisons": [{"state": "compared"}],
    }
    assert claim_in_numbers(claim) == "p < 0.0001, after Holm < 0.0001; against it 1.00; 1 comparison"
    assert claim_in_numbers({**claim, "p": 0.0323}).startswith("p = 0.0323, ")
