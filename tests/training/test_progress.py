"""What a person sees of a run: a bar on a terminal, plain lines elsewhere, and how it ends."""

import codecs
import fcntl
import os
import pty
import re
import select
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cells import QUICK, ROOT, SMALL_MLP

from softvq.console.bars import Pace, left
from softvq.training.progress import TrainingLines, training_progress

SMALL = ("data=digits", "bottleneck=soft_vq", *QUICK, *SMALL_MLP, "trainer.progress=auto")
ESCAPES = re.compile(r"\x1b\[[\d;?]*[a-zA-Z]")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
PATIENCE_S = 300  # for what takes seconds on a machine with nothing else to do


def command(folder: Path, steps: int) -> list[str]:
    said = [*SMALL, f"trainer.max_steps={steps}", f"hydra.run.dir={folder}"]
    once = dict(setting.split("=", 1) for setting in said)  # a key that is given twice is told of in a line
    return [sys.executable, str(ROOT / "train.py"), *(f"{key}={value}" for key, value in once.items())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lines") / "run"


@pytest.fixture(scope="module")
def done(folder: Path) -> subprocess.CompletedProcess[str]:
    """A run whose output is piped."""
    environment = {**os.environ, "FORCE_COLOR": "1"}
    return subprocess.run(command(folder, 60), cwd=ROOT, capture_output=True, text=True, env=environment)


@pytest.mark.process
class TestLines:
    def test_a_pipe_gets_plain_lines(self, done: subprocess.CompletedProcess[str], folder: Path) -> None:
        assert done.returncode == 0, done.stderr
        assert not CONTROL.search(done.stdout)
        lines = done.stdout.splitlines()
        assert lines[0] == (
            "soft_vq on digits, seed 0: 1,438 training and 359 test images of 8 x 8 x 1 in 10 classes "
            "from sklearn.datasets.load_digits"
        )
        assert re.fullmatch(
            rf"soft_vq on digits, seed 0: training [\d,]+ parameters for 60 steps on cpu, in {folder}", lines[1]
        )
        steps = [line for line in lines if re.match(r"soft_vq on digits, seed 0: step \d+ of 60 \(", line)]
        assert re.search(r"step 60 of 60 \(100 %\), loss [\d.]+, [\d.]+ steps/s, 0:00 left", steps[-1])
        assert any("clustering accuracy (%)" in line for line in lines)

    def test_libraries_are_quiet(self, done: subprocess.CompletedProcess[str]) -> None:
        assert done.stderr == ""
        for noise in ("GPU", "Tip", "litlogger", "Trainer.fit", "checkpoint path", "UserWarning"):
            assert noise not in done.stdout

    def test_the_log_holds_the_same_lines(self, done: subprocess.CompletedProcess[str], folder: Path) -> None:
        log = (folder / "run.log").read_text()
        assert not CONTROL.search(log)
        first, *rest = log.splitlines()
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d train.py ", first)
        assert [line.rstrip() for line in rest] == [line.rstrip() for line in done.stdout.splitlines()]


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, arguments: list[str], columns: int) -> None:
        self.screen, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm"}
        environment.pop("COLUMNS", None)
        self.process = subprocess.Popen(
            arguments, cwd=ROOT, stdin=inner, stdout=inner, stderr=inner, env=environment, start_new_session=True
        )
        os.close(inner)
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a read may end within a character

    def read_until(self, pattern: str | None) -> None:
        """Reads until the pattern shows; None reads to the end."""
        deadline = time.monotonic() + PATIENCE_S
        while pattern is None or not re.search(pattern, ESCAPES.sub("", self.text)):
            assert time.monotonic() < deadline, self.text
            if not select.select([self.screen], [], [], 1)[0]:  # else a silent program is waited for without end
                continue
            try:
                self.text += self._decoder.decode(os.read(self.screen, 4096))
            except OSError:  # the last program on it has ended
                assert pattern is None, self.text
                return

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.screen)


@pytest.mark.slow
@pytest.mark.process
def test_a_narrow_terminal_gets_a_bar_and_ctrl_c_leaves_it_clean(tmp_path: Path) -> None:
    terminal = Terminal(command(tmp_path, 1_000_000), columns=60)
    try:
        terminal.read_until(r"training \S+ +\d+/1000000 loss [\d.e+]+ +[\d.-]+/s [\d:-]+")
        lines = re.split(r"[\r\n]", ESCAPES.sub("", terminal.text))
        bars = [line for line in lines if line.startswith("training")]
        assert bars
        assert all(len(line) <= 60 for line in bars)
        os.killpg(terminal.process.pid, signal.SIGINT)
        terminal.read_until(None)
        assert terminal.process.wait() == 130
    finally:
        terminal.close()
    assert "Traceback" not in terminal.text
    end = rf"interrupted: soft_vq on digits, seed 0, step \d+, {tmp_path}; the same command goes on from there"
    assert re.search(end, terminal.text)
    assert terminal.text.rfind("\x1b[?25h") > terminal.text.rfind("\x1b[?25l")  # the cursor is back
    assert (tmp_path / "checkpoints" / "last.ckpt").exists()
    assert not CONTROL.search((tmp_path / "run.log").read_text())
    assert re.search(f"{end}\n$", (tmp_path / "run.log").read_text())


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
def test_a_terminal_that_shrinks_and_grows_keeps_a_single_bar(tmp_path: Path) -> None:
    def tmux(*arguments: str) -> str:
        socket = str(tmp_path / "socket")
        return subprocess.run(["tmux", "-S", socket, *arguments], capture_output=True, text=True, check=True).stdout

    def bars() -> list[str]:
        return [line for line in tmux("capture-pane", "-p", "-t", "run").splitlines() if "/1000000" in line]

    def wait_for_bar() -> None:
        end = time.monotonic() + PATIENCE_S
        while not bars():
            assert time.monotonic() < end, tmux("capture-pane", "-p", "-t", "run")
            time.sleep(0.2)

    run = shlex.join(command(tmp_path / "run", 1_000_000))
    environment = {**os.environ, "TERM": "screen", "COLUMNS": "80"}  # as wide as it never was
    subprocess.run(
        ["tmux", "-S", str(tmp_path / "socket"), "new-session", "-d", "-s", "run", "-x", "120", "-y", "30", run],
        cwd=ROOT,
        env=environment,
        check=True,
    )
    try:
        wait_for_bar()
        for columns in ("60", "40", "100", "30", "120"):
            tmux("resize-window", "-t", "run", "-x", columns, "-y", "30")
            time.sleep(1.5)
            (bar,) = bars()
            assert bar.startswith("train")
            assert columns == "30" or "…" not in bar
            assert ("━" in bar) == (columns in ("100", "120"))
    finally:
        tmux("kill-server")


def test_without_progress_only_the_log_has_lines(capsys: pytest.CaptureFixture[str]) -> None:
    (lines,) = training_progress(False, "cell")
    assert isinstance(lines, TrainingLines)
    lines.announce("training")
    lines.show("step")
    assert capsys.readouterr().out == ""


class Clock:
    """Goes on by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class TestTrainingLines:
    """The lines of a training whose steps take as long as the clock is told."""

    def lines(self, steps: int, seconds_a_step: float, start: int = 0) -> list[str]:
        clock, shown = Clock(), []
        trainer: Any = SimpleNamespace(global_step=start, max_steps=steps, callback_metrics={"loss": 0.5})
        lines = TrainingLines(shown.append, shown.append, "cell", clock=clock)
        lines.on_train_start(trainer, None)  # type: ignore[arg-type]
        for step in range(start + 1, steps + 1):
            clock.now += seconds_a_step
            trainer.global_step = step
            lines.on_train_batch_end(trainer)
        return shown

    def test_a_fast_run_has_two(self) -> None:
        assert self.lines(60, 0.01) == [
            "cell: training 60 steps",
            "cell: step 60 of 60 (100 %), loss 0.5, 100 steps/s, 0:00 left",
        ]

    def test_a_longer_one_has_one_for_each_tenth(self) -> None:
        lines = self.lines(1000, 0.1)
        assert len(lines) == 11
        assert lines[1] == "cell: step 100 of 1000 (10 %), loss 0.5, 10 steps/s, 1:30 left"

    def test_a_slow_one_has_more(self) -> None:
        lines = self.lines(20, 310)
        assert len(lines) == 21

    def test_a_resumed_one_counts_from_where_it_went_on(self) -> None:
        lines = self.lines(10100, 0.1, start=10000)
        assert lines[0] == "cell: training 10,100 steps, from step 10,000,"
        assert "10 steps/s" in lines[-1]


def test_time_left_follows_the_last_seconds() -> None:
    clock = Clock()
    pace = Pace(100, 520, clock)
    assert left(pace.at(100, 520)) == "-:--"
    for second in range(1, 61):
        clock.now = float(second)
        task = pace.at(100 + 10 * second if second <= 30 else 400 + 2 * (second - 30), 520)
    assert task.speed == pytest.approx(2, rel=0.01)  # not the mean over the minute
    assert left(task) == "0:30"
