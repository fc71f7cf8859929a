"""How the programs end: with a line if something was mistyped, a signal's status if stopped, or with help."""

import re
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from hydra.errors import ConfigCompositionException

from softvq import stop
from softvq.command import program
from softvq.config.compose import options

ROOT = Path(__file__).parents[2]


def train(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "train.py", *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.process
@pytest.mark.parametrize("arguments", [("trainer.max_step=3",), ("-m", "seed=0,1", "trainer.max_step=3")])
def test_the_program_ends_with_the_message_alone(arguments: tuple[str, ...]) -> None:
    done = train(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[0].startswith("error: trainer.max_step=3: there is no key max_step in trainer")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.process
def test_a_missing_value_ends_the_program_before_it_trains(tmp_path: Path) -> None:
    done = train("data=arrays", f"hydra.run.dir={tmp_path}", "trainer.progress=false")
    assert (done.returncode, done.stderr) == (1, "error: data.dir has no value; add data.dir=...\n")


@pytest.mark.process
def test_one_run_of_an_experiment_that_is_a_sweep_is_said_to_be_one(tmp_path: Path) -> None:
    short = ("data=digits", "probes=fast", "probes.tsne_points=50", "trainer.max_steps=2", "trainer.progress=false")
    note = "warning: experiment=table_1 is a sweep over bottleneck, seed, and this is one run of it; add -m for all"
    assert note in train("experiment=table_1", *short, f"hydra.run.dir={tmp_path}/one").stderr.replace("\n", " ")
    chosen = train("experiment=table_1", "seed=1", *short, f"hydra.run.dir={tmp_path}/chosen")
    assert (chosen.returncode, "is a sweep" in chosen.stderr) == (0, False)


@pytest.mark.process
def test_help_explains_every_group_and_fits_a_screen() -> None:
    done = train("--help")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) < 60
    assert max(map(len, lines)) <= 120
    for group in ("bottleneck", "data", "network", "trainer", "probes", "logger", "fidelity", "experiment"):
        (found,) = re.findall(rf"^  +{group}  .*\n(?:^ {{16,}}.*\n)*", done.stdout, re.MULTILINE)
        for option in options(group):
            assert re.search(rf"\b{option}\b", found)
    assert "$SOFTVQ_DATA" in done.stdout


@pytest.mark.process
def test_evaluate_has_help_of_its_own() -> None:
    done = subprocess.run([sys.executable, "evaluate.py", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert "run=PATH" in done.stdout
    assert "Powered by Hydra" not in done.stdout
    for option in options("probes"):
        assert option in done.stdout


@pytest.mark.process
def test_evaluate_makes_no_folder_of_a_mistyped_run(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "evaluate.py"), "run=rnus/x"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: run=rnus/x holds no finished run: ")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.process
def test_a_run_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = train("data=digits", f"hydra.run.dir={tmp_path / 'file'}")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: {tmp_path / 'file'} cannot hold a run: File exists; choose another folder "
        "(hydra.run.dir=PATH, of a sweep hydra.sweep.dir=PATH)"
    ]


def fail(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_ends_with_the_signals_status_and_one_line(
    signum: int, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    stop.forget()  # of an earlier test
    stopped = stop.Stopped(signum, "vae on digits, seed 0, step 7")
    with pytest.raises(SystemExit) as ended:
        program.run(lambda: fail(stopped), "train")
    assert ended.value.code == status
    told = capsys.readouterr().err
    assert "vae on digits, seed 0, step 7; the same command goes on from there" in told
    assert told.count("\n") == 1


def test_a_stop_that_hydra_takes_for_a_fault_is_a_stop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stop.forget()
    monkeypatch.setattr(stop, "requested", lambda: signal.SIGINT)
    monkeypatch.setattr(stop, "raised", nullcontext)
    with pytest.raises(SystemExit) as ended:
        program.run(lambda: fail(ConfigCompositionException("resolving an interpolation failed")), "train")
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_other_ends_keep_their_status_and_bugs_their_traceback() -> None:
    with pytest.raises(SystemExit) as ended:
        program.run(lambda: sys.exit(3), "train")
    assert ended.value.code == 3
    with pytest.raises(ZeroDivisionError):
        program.run(lambda: fail(ZeroDivisionError()), "train")


def test_a_value_that_does_not_fit_is_told_in_its_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, program.plain_errors():
        raise ValueError("run=x holds no finished run")
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: run=x holds no finished run\n"


def test_a_folder_that_is_removed_while_hydra_composes_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")

    def composing() -> None:
        (tmp_path / "gone").rmdir()
        raise ConfigCompositionException from FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("sys.argv", ["train.py"])
    with pytest.raises(SystemExit) as ended:
        program.run(composing, "train")
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: the current folder was removed; change to another one\n"
