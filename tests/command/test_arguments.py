"""What is said of arguments before Hydra reads them."""

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from softvq.command import evaluate
from softvq.command.arguments import without_effect
from softvq.command.before import Checks


@pytest.mark.parametrize(
    ("typed", "notes"),
    [
        ("seed=1 seed=2", ["seed=1 has no effect, as seed=2 follows it"]),
        ("bottleneck=vq seed=0 bottleneck=vae", ["bottleneck=vq has no effect, as bottleneck=vae follows it"]),
        ("a.b=1 +a.b=2", ["a.b=1 has no effect, as +a.b=2 follows it"]),
        ("-m seed=0,1 seed=2", ["seed=0,1 has no effect, as seed=2 follows it"]),
        ("seed=1 a=2 seed=1", []),
        ("+a=1 a=1", []),
        ("~logger logger=wandb", []),
        ("bottleneck=vq bottleneck.K=8", []),
    ],
)
def test_a_setting_that_another_one_replaces_is_told_of(typed: str, notes: list[str]) -> None:
    assert without_effect(typed.split()) == notes


def test_it_is_a_note_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["softvq"])
    with pytest.raises(SystemExit):
        evaluate.main(["run=a", "run=b"])
    assert capsys.readouterr().out.splitlines()[0] == "note: run=a has no effect, as run=b follows it"


@pytest.mark.parametrize("path", ["nowhere", "file://nowhere", "file:///nowhere"])
def test_a_folder_of_configurations_that_is_not_there_is_named(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    hydra = {
        "overrides": {"hydra": [f"hydra.searchpath=[{path}]"], "task": []},
        "searchpath": ["pkg://softvq.conf", path],
    }
    config = OmegaConf.create({"hydra": hydra})
    assert isinstance(config, DictConfig)
    with pytest.raises(SystemExit):
        Checks().on_multirun_start(config)
    line = f"error: hydra.searchpath: there is no folder {path}; name the folder of your own configurations\n"
    assert capsys.readouterr().err == line
