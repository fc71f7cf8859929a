"""Optuna's search: what it may choose from, by which numbers, and that it goes on from where it stopped."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from cells import SMALL_MLP, make_cell
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from sweeps import finished, running, starts, sweep, sweep_here, wait_for

from softvq.durable_files import write_json
from softvq.run.cell import Cell, Outcome
from softvq.sweep.search import search
from softvq.sweep.search_space import Settings, read_space

optuna = pytest.importorskip("optuna", reason="optuna is not installed (pip install 'softvq[search]')")

SETTINGS = Settings(trials=6, metric="probes.clustering_accuracy", direction="maximize", seed=0, at_once=2)
VALIDATION = ("data=digits", "probes.part=validation", "data.val_fraction=0.2")


def space_of(*overrides: str) -> Any:
    return read_space(OverridesParser.create().parse_overrides(list(overrides)))


class TestSpace:
    def test_choices_intervals_and_ranges(self) -> None:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        space = space_of(
            "bottleneck.K=8,16",
            "a=choice(x,y)",
            "b=interval(0.1,2)",
            "c=tag(log,interval(0.001,1.0))",
            "d=int(interval(1,9))",
            "e=range(2,11,2)",
            "data=digits",
        )
        assert space.searched == {
            "bottleneck.K": CategoricalDistribution(["8", "16"]),
            "a": CategoricalDistribution(["x", "y"]),
            "b": FloatDistribution(0.1, 2.0),
            "c": FloatDistribution(0.001, 1.0, log=True),
            "d": IntDistribution(1, 9),
            "e": IntDistribution(2, 10, step=2),
        }
        assert space.fixed == ["data=digits"]

    def test_the_command_line_wins_over_an_experiment(self) -> None:
        assert space_of("bottleneck.K=8,16", "bottleneck.K=64", "a=1,2").fixed == ["bottleneck.K=64"]

    def test_seeds_repeat_a_trial(self) -> None:
        space = space_of("a=1,2", "seed=0,1,2")
        assert list(space.searched) == ["a"]
        assert space.cells({"a": "2"}) == [["a=2", f"seed={seed}"] for seed in range(3)]

    def test_numbers_are_short_as_they_name_folders(self) -> None:
        assert space_of("a=interval(0.0,1.0)").cells({"a": 0.123456789}) == [["a=0.1235"]]

    @pytest.mark.parametrize(
        ("override", "why"),
        [
            ("bottleneck.K=range(9,4)", "it names no value"),
            ("bottleneck.K=range(0,4,0)", "must not be zero"),
            ("optimizer.lr=tag(log,interval(0,1))", "`low > 0` must hold"),
            ("optimizer.lr=interval(1.0,0.5)", "low"),
            ("optimizer.lr=range(0,1,1e-9)", "names more than 100,000 values"),
        ],
    )
    def test_what_cannot_be_searched_is_named(self, override: str, why: str) -> None:
        with pytest.raises(ValueError, match=re.escape(f"{override} cannot be searched: ")) as error:
            space_of(override)
        assert why in str(error.value)
        assert len(str(error.value).splitlines()) == 1

    def test_nothing_to_search_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"nothing is searched: give a setting several values"):
            space_of("data=digits")


class Launcher:
    """In place of training: the better the closer K is to 32, and a little worse with each seed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.launched = folder, list[list[str]]()

    def read(self, overrides: Sequence[str]) -> Cell:
        searched = [o for o in overrides if o.startswith(("bottleneck.K=", "penalty_weight=", "seed="))]
        name = "-".join(searched).replace("=", "-")
        chosen = [o.split("=") for o in searched]
        cell = make_cell(self.folder / name, *SMALL_MLP, *(o for o in overrides if o.split("=") not in chosen))
        for key, value in chosen:  # composing every trial would take longer than the search itself
            OmegaConf.update(cell.config, key, yaml.safe_load(value))
        return cell

    def launch(self, jobs: Sequence[Sequence[str]], tell: Callable[[int, Any], None]) -> list[Any]:
        answers = []
        for job in jobs:
            overrides = [o for o in job if not o.startswith(("hydra.", "+hydra.", "data.root"))]
            self.launched.append(overrides)
            cell = self.read(overrides)
            value = 1 - abs(cell.config.bottleneck.K - 32) / 100 - cell.config.seed / 1000
            write_json(cell.folder.metrics, {"config_hash": "", "probes": {"clustering_accuracy": value}})
            answers.append(SimpleNamespace(return_value=[Outcome("finished", str(cell.folder.path))]))
        return answers

    def search(self, space: Any, settings: Settings = SETTINGS, plan_only: bool = False) -> dict[str, Any]:
        config = OmegaConf.create(
            {"hydra": {"launcher": {"_target_": "hydra.BasicLauncher"}, "sweep": {"dir": str(self.folder)}}}
        )
        search(space, settings, self.read, self.launch, config, plan_only)
        return {} if plan_only else json.loads((self.folder / "runs" / "search.json").read_text())


K = "bottleneck.K=8,16,32,64,128"


@pytest.mark.slow
def test_the_best_trial_is_that_of_the_best_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launcher = Launcher(tmp_path)
    found = launcher.search(space_of(*VALIDATION, K))
    assert len(found["trials"]) == 6
    for trial in found["trials"]:
        assert trial["value"] == pytest.approx(1 - abs(int(trial["chosen"]["bottleneck.K"]) - 32) / 100)
    best = max(found["trials"], key=lambda trial: trial["value"])
    assert found["best"]["value"] == best["value"]
    assert f"bottleneck.K={best['chosen']['bottleneck.K']} probes=paper data.val_fraction=0" in found["command"]
    assert found["command"] in capsys.readouterr().out


def test_what_no_trial_can_be_is_refused_before_there_is_a_folder(tmp_path: Path) -> None:
    launcher = Launcher(tmp_path)
    with pytest.raises(ValueError, match=r"cannot be(.|\n)*set network\.d"):
        launcher.search(space_of(*VALIDATION, K, "bottleneck.d=3"))
    assert not (launcher.folder / "runs").exists()


@pytest.mark.slow
def test_a_trial_is_worth_the_mean_over_its_seeds(tmp_path: Path) -> None:
    found = Launcher(tmp_path).search(space_of(*VALIDATION, K, "seed=0,1,2"))
    for trial in found["trials"]:
        assert trial["value"] == pytest.approx(1 - abs(int(trial["chosen"]["bottleneck.K"]) - 32) / 100 - 1 / 1000)
        assert len(trial["cells"]) == 3


@pytest.mark.slow
def test_a_search_goes_on_from_its_journal(tmp_path: Path) -> None:
    space = space_of(*VALIDATION, K, "penalty_weight=tag(log,interval(0.1,10))")
    launcher = Launcher(tmp_path)
    first = launcher.search(space, Settings(4, "probes.clustering_accuracy", "maximize", 0, 2))
    again = launcher.search(space, Settings(4, "probes.clustering_accuracy", "maximize", 0, 2))
    assert again["trials"] == first["trials"]
    more = launcher.search(space)
    assert more["trials"][:4] == first["trials"]
    assert len(more["trials"]) == 6
    chosen = [tuple(trial["chosen"].values()) for trial in more["trials"]]
    assert len(set(chosen)) == 6, "a later session proposes what an earlier one did"


@pytest.mark.slow
def test_what_a_killed_search_had_begun_is_run_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher, space = Launcher(tmp_path), space_of(*VALIDATION, K, "penalty_weight=interval(0.1,10.0)")
    launch = launcher.launch

    def killed(jobs: Sequence[Sequence[str]], tell: Callable[[int, Any], None]) -> list[Any]:
        launcher.launched += [list(job) for job in jobs]
        raise KeyboardInterrupt

    monkeypatch.setattr(launcher, "launch", killed)
    with pytest.raises(KeyboardInterrupt):
        launcher.search(space)
    begun = [[o for o in job if not o.startswith(("hydra.", "+hydra.", "data.root"))] for job in launcher.launched]
    launcher.launched.clear()
    monkeypatch.setattr(launcher, "launch", launch)
    found = launcher.search(space)
    assert launcher.launched[: len(begun)] == begun
    assert [trial["state"] for trial in found["trials"]] == ["finished"] * 6


@pytest.mark.parametrize("overrides", [("data=digits",), ("data=digits", "data.val_fraction=0.2")])
def test_test_labels_choose_nothing(overrides: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"would let the test set choose.*add probes=validation data\.val_fraction="):
        Launcher(tmp_path).search(space_of(*overrides, K))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"trials": 0}, "hydra.sweeper.trials must be a whole number of at least 1, got 0"),
        ({"direction": "up"}, "hydra.sweeper.direction must be maximize or minimize, got 'up'"),
        ({"metric": "accuracy"}, "hydra.sweeper.metric must be probes.NAME or"),
        ({"metric": "time.fit_s"}, "hydra.sweeper.metric must be probes.NAME or"),
    ],
)
def test_settings_that_are_no_search_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        Settings(**{**SETTINGS.__dict__, **setting}).check()


def test_a_number_that_runs_do_not_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"metric=diagnostics\.purity: .* has no such number; it has .*clustering_accuracy"
    ):
        Launcher(tmp_path).search(space_of(*VALIDATION, K), Settings(2, "diagnostics.purity", "maximize", 0, 1))


@pytest.mark.parametrize("metric", ["probes.purity", "reconstruction.mse"])
def test_a_number_that_no_run_has_is_refused_before_the_first(metric: str, tmp_path: Path) -> None:
    launcher = Launcher(tmp_path)
    with pytest.raises(ValueError, match=rf"metric={metric}: a run has no such number; it has "):
        launcher.search(space_of(*VALIDATION, K), Settings(2, metric, "maximize", 0, 1))
    assert not launcher.launched
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_trials_that_failed_are_tried_again_by_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    launcher, space = Launcher(tmp_path), space_of(*VALIDATION, K, "penalty_weight=interval(0.1,10.0)")
    launch, broken = launcher.launch, [True]

    def sometimes(jobs: Sequence[Sequence[str]], tell: Callable[[int, Any], None]) -> list[Any]:
        if broken[0] and len(launcher.launched) >= 3:
            launcher.launched += [list(job) for job in jobs]
            return [SimpleNamespace(return_value=[Outcome("failed", str(tmp_path), "the disk is full")]) for _ in jobs]
        return launch(jobs, tell)

    monkeypatch.setattr(launcher, "launch", sometimes)
    first = launcher.search(space)
    states = [trial["state"] for trial in first["trials"]]
    assert states == ["finished"] * 4 + ["failed"] * 2
    broken[0] = False
    again = launcher.search(space)
    assert "6 trials, 4 done, 2 to retry" in capsys.readouterr().out
    assert [trial["state"] for trial in again["trials"]] == states + ["finished"] * 2
    assert [trial["cells"] for trial in again["trials"][6:]] == [trial["cells"] for trial in again["trials"][4:6]]
    launcher.launched.clear()
    assert launcher.search(space)["trials"] == again["trials"]  # nothing is left to do
    assert not launcher.launched


def test_a_plan_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launcher = Launcher(tmp_path)
    launcher.search(space_of(*VALIDATION, K), plan_only=True)
    assert "6 trials, 0 done" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_images_that_are_not_there_end_the_search_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(source: Any, root: str) -> None:
        raise ValueError("data.root has no digits")

    monkeypatch.setattr("softvq.sweep.search.prepare", missing)
    launcher = Launcher(tmp_path)
    with pytest.raises(ValueError, match="has no digits"):
        launcher.search(space_of(*VALIDATION, K))
    assert not launcher.launched
    assert not list(tmp_path.iterdir())


QUICK = (
    "experiment=search_soft_vq",
    "probes.clustering.n_init=2",
    "probes.classification.steps=20",
    "trainer.max_steps=5",
    "hydra.sweeper.trials=2",
)


@pytest.mark.slow
def test_the_experiment_runs_as_a_person_types_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # The support's settings choose another protocol, which is put right after them.
    assert sweep_here(tmp_path, *QUICK, "probes=validation") == 0
    assert len(finished(tmp_path)) == 2
    found = json.loads((tmp_path / "search_soft_vq" / "search.json").read_text())
    assert [trial["state"] for trial in found["trials"]] == ["finished"] * 2
    assert sweep_here(tmp_path, *QUICK, "probes=validation", "hydra.sweeper.plan_only=true") == 0
    assert "2 trials, 2 done" in capsys.readouterr().out
    assert sweep_here(tmp_path, "experiment=search_soft_vq") == 1
    assert "would let the test set choose" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.process
def test_a_parallel_search_that_is_killed_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    overrides = (*QUICK, "probes=validation", "hydra/launcher=local_joblib", "hydra.launcher.n_jobs=2")
    with running(folder, *overrides, "hydra.sweeper.trials=5") as process:
        assert wait_for(lambda: finished(folder), process)
        process.kill()
    kept = finished(folder)
    ended = sweep(folder, *overrides, "hydra.sweeper.trials=5")
    assert ended.returncode == 0, ended.stderr
    assert kept.items() <= finished(folder).items()
    found = json.loads((folder / "search_soft_vq" / "search.json").read_text())
    assert [trial["state"] for trial in found["trials"]].count("finished") == 5
    assert all(starts(Path(cell)) <= 2 for cell in finished(folder))
