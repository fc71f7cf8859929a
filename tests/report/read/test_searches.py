"""A search beside its runs: read, shown, and named where its file is damaged."""

import json
from pathlib import Path

import pytest
from report_runs import write_run

from softvq.command.report import main
from softvq.report.read.collection import collect
from softvq.seals import sealed

SEARCH = {
    "metric": "probes.clustering_accuracy",
    "direction": "maximize",
    "trials": [
        {"number": 0, "state": "finished", "value": 0.5, "chosen": {"bottleneck.K": "16"}},
        {"number": 1, "state": "failed", "value": None, "chosen": {"bottleneck.K": "32"}},
        {"number": 2, "state": "finished", "value": 0.75, "chosen": {"bottleneck.K": "64"}},
    ],
    "searched": {"bottleneck.K": {"choices": ["16", "32", "64"]}},
    "importance": {"bottleneck.K": 1.0},
    "best": {"number": 2, "value": 0.75},
    "command": "softvq train bottleneck.K=64 'bottleneck=<vq>'",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_run(tmp_path / "tuned/mnist/vq/seed-0", "mnist", "vq", experiment="tuned")
    write_run(tmp_path / "other/mnist/vq/seed-0", "mnist", "vq", experiment="other")
    return tmp_path / "tuned"


def test_a_search_belongs_to_the_experiment_of_the_runs_around_it(folder: Path) -> None:
    (folder / "search.json").write_text(json.dumps(SEARCH))
    (search,) = collect([folder.parent]).searches
    assert (search.experiment, search.best, search.values) == ("tuned", 2, (0.5, None, 0.75))
    assert search.chosen == {"bottleneck.K": "64"}
    assert collect([folder]).searches == [search]
    assert collect([folder / "mnist"]).searches == []  # nothing above what was named is read


def test_the_report_shows_history_importance_and_the_best_command(folder: Path) -> None:
    (folder / "search.json").write_text(json.dumps(sealed(SEARCH)))
    assert main([str(folder.parent)]) == 0
    page = (folder.parent / "report/report.html").read_text()
    assert "2 trials finished of 3 begun. The best, trial 2 with 75.00" in page
    assert "<code>softvq train bottleneck.K=64 &#39;bottleneck=&lt;vq&gt;&#39;</code>" in page
    assert page.count('alt="Experiment tuned: Clustering (%) of each trial"') == 1
    assert page.count('alt="Experiment tuned: importance of each setting"') == 1
    assert page.count('alt="Experiment tuned: Clustering (%) over bottleneck.K"') == 1
    assert "trial 2 with 75.00" in (folder.parent / "report/tables.md").read_text()


ALTERED = json.dumps(sealed(SEARCH)).replace("0.75", "0.95")  # a digit


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"trials": 3}', '{"trials": [1]}', json.dumps({**SEARCH, "importance": None}), ALTERED]
)
def test_a_damaged_search_is_named_and_costs_no_report(folder: Path, content: str) -> None:
    (folder / "search.json").write_text(content)
    found = collect([folder.parent])
    assert found.searches == []
    assert [remark.folder for remark in found.damaged] == ["tuned/search.json"]
    assert main([str(folder.parent)]) == 0
