"""`make evidence` and the card's script: what they name exists, and what is told to stop saves first."""

import re
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest
from evidence import Command, StoppedError, missing, read_entries, sweep_overrides, unprobed

from softvq.config.compose import compose, groups, options

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ENTRIES = {entry["name"]: entry for entry in read_entries()}
SWEEPS = {name: entry for name, entry in ENTRIES.items() if "sweep" in entry}


def test_entries_have_names_of_their_own_and_say_what_they_answer() -> None:
    assert len(ENTRIES) == len(read_entries())
    assert all(entry["answers"] and ("sweep" in entry) != ("evaluate" in entry) for entry in ENTRIES.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", SWEEPS)
def test_every_value_of_a_sweep_composes(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ENTRIES[name].get("needs", "").split():
        monkeypatch.setenv(variable, str(tmp_path))
    given = dict(override.split("=", 1) for override in sweep_overrides(ENTRIES[name], []))
    swept = {**params_of(given["experiment"]), **given}
    assert "seed" in swept
    values = {key: _values(key, str(value)) for key, value in swept.items()}
    for group in values.keys() & set(groups()):
        assert set(values[group]) <= set(options(group))
    compose("train", [f"{key}={found[-1]}" for key, found in values.items()])  # the first cell tells of its own


def _values(key: str, swept: str) -> list[str]:
    return options(key) if swept == "glob(*)" else swept.split(",")


@cache
def params_of(experiment: str) -> dict[str, str]:
    return dict(compose("train", [f"experiment={experiment}"], return_hydra_config=True).hydra.sweeper.params)


def test_evaluations_are_of_protocols_and_experiments_that_there_are() -> None:
    for entry in ENTRIES.values():
        if "evaluate" in entry:
            assert entry["evaluate"] in options("probes")
            assert set(entry["of"].split()) <= set(options("experiment"))
            assert set(entry.get("bottlenecks", "vq").split()) <= set(options("bottleneck"))


def test_the_cards_script_names_entries_and_files_that_there_are() -> None:
    script = (BENCHMARKS / "gpu.sh").read_text()
    named = re.findall(r"\bsweep \w+ \d+ ([\w,]+)", script)
    assert named
    assert {name for names in named for name in names.split(",")} <= set(ENTRIES)
    for file in re.findall(r"(?:benchmarks|tests)/[\w/]+\.(?:py|sh)", script):
        assert (BENCHMARKS.parent / file).exists()
    subprocess.run(["bash", "-n", BENCHMARKS / "gpu.sh", BENCHMARKS / "gpu_pack.sh"], check=True)


def test_a_key_that_is_given_again_replaces_the_entrys(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"sweep": "experiment=table_1 seed=0,1,2 data.dir=${HERE}", "needs": "HERE"}
    monkeypatch.delenv("HERE", raising=False)
    assert missing(entry) == ["HERE"]
    monkeypatch.setenv("HERE", "/images")
    assert missing(entry) == []
    assert sweep_overrides(entry, ["seed=0"]) == ["experiment=table_1", "seed=0", "data.dir=/images"]


def test_runs_are_probed_once(tmp_path: Path) -> None:
    for seed, done in ((0, True), (1, False)):
        run = tmp_path / "table_1" / "mnist" / "vq" / f"seed-{seed}"
        (run / "evaluations").mkdir(parents=True)
        (run / "checkpoints").mkdir()
        (run / "metrics.json").touch()
        if done:
            (run / "evaluations" / "berthelot-z_e-mnist.json").touch()
    entry = {"evaluate": "berthelot", "of": "table_1"}
    assert [run.name for run in unprobed(entry, tmp_path)] == ["seed-1"]
    assert len(list(unprobed({**entry, "tap": "z_q", "bottlenecks": "vq soft_vq"}, tmp_path))) == 2
    assert not list(unprobed({**entry, "bottlenecks": "soft_vq"}, tmp_path))


SAVES = """
import pathlib, signal, sys, time
def save(number, frame):
    pathlib.Path(sys.argv[1]).write_text("saved")
    sys.exit(130)
signal.signal(signal.SIGINT, save)
pathlib.Path(sys.argv[2]).touch()
time.sleep(60)
"""


@pytest.fixture
def handlers() -> object:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.process
@pytest.mark.usefixtures("handlers")
def test_when_time_is_up_a_command_saves_and_no_other_begins(tmp_path: Path) -> None:
    command = Command(seconds=8)
    began = time.monotonic()
    with pytest.raises(StoppedError):
        command.run("-c", SAVES, tmp_path / "saved", tmp_path / "began")
    assert time.monotonic() - began < 30
    assert (tmp_path / "saved").read_text() == "saved"
    with pytest.raises(StoppedError):
        command.run("-c", "raise SystemExit(0)")


@pytest.mark.process
@pytest.mark.usefixtures("handlers")
def test_a_command_that_is_killed_is_a_failure_among_others_that_end_well() -> None:
    ends = ("pass", "import os; os.kill(os.getpid(), 9)", "pass")
    assert Command(seconds=None).run_all([("-c", end) for end in ends], at_once=2) != 0
    assert Command(seconds=None).run_all([("-c", "pass")] * 3, at_once=2) == 0


@pytest.mark.process
def test_sigterm_lets_a_command_save(tmp_path: Path) -> None:
    script = f"import sys; sys.path.insert(0, {str(BENCHMARKS)!r}); from evidence import Command\n"
    script += f"Command(None).run('-c', {SAVES!r}, {str(tmp_path / 'saved')!r}, {str(tmp_path / 'began')!r})"
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    while not (tmp_path / "began").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    assert process.wait(60) == 1
    assert (tmp_path / "saved").read_text() == "saved"
