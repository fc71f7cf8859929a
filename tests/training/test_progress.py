"""What a person sees of a run: a bar on a terminal, plain lines elsewhere, and how it ends."""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import warnings
from pathlib import Path

import pytest
from cells import QUICK, ROOT, SMALL_MLP

from softvq.console import Screen
from softvq.training.progress import Pace, ProbeProgress, TrainingLines, training_progress, wanted

SMALL = ("data=digits", "bottleneck=soft_vq", *QUICK, *SMALL_MLP, "trainer.progress=auto")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
PATIENCE_S = 300  # for what takes seconds on a machine with nothing else to do


def command(folder: Path, *overrides: str) -> list[str]:
    return [sys.executable, str(ROOT / "train.py"), *SMALL, f"hydra.run.dir={folder}", *overrides]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lines") / "run"


@pytest.fixture(scope="module")
def done(folder: Path) -> subprocess.CompletedProcess[str]:
    """A run whose output is piped."""
    environment = {**os.environ, "FORCE_COLOR": "1"}
    return subprocess.run(
        command(folder, "trainer.max_steps=60"), cwd=ROOT, capture_output=True, text=True, env=environment
    )


class TestLines:
    def test_a_pipe_gets_plain_lines(self, done: subprocess.CompletedProcess[str]) -> None:
        assert done.returncode == 0, done.stderr
        assert not CONTROL.search(done.stdout)
        lines = done.stdout.splitlines()
        assert "soft_vq on digits, seed 0: training 60 steps" in lines
        steps = [line for line in lines if re.match(r"soft_vq on digits, seed 0: step \d+ of 60 \(", line)]
        assert 1 <= len(steps) <= 10
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
        while pattern is None or not re.search(pattern, self.text):
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
def test_a_narrow_terminal_gets_a_bar_and_ctrl_c_leaves_it_clean(tmp_path: Path) -> None:
    terminal = Terminal(command(tmp_path, "trainer.max_steps=1000000"), columns=60)
    try:
        terminal.read_until(r"training .*\d+/1000000  loss [\d.e+]+  [\d.-]+/s [\d:-]+ left")
        bars = [line for line in re.split(r"[\r\n]", terminal.text) if "training" in line]
        assert all(len(re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", line)) <= 60 for line in bars)
        os.killpg(terminal.process.pid, signal.SIGINT)
        terminal.read_until(None)
        assert terminal.process.wait() == 130
    finally:
        terminal.close()
    assert "Traceback" not in terminal.text
    assert "soft_vq on digits, seed 0: training 1000000 steps\r\n" in terminal.text
    assert "interrupted; the same command goes on from the last checkpoint" in terminal.text
    assert terminal.text.rfind("\x1b[?25h") > terminal.text.rfind("\x1b[?25l")  # the cursor is back
    assert "seed 0: training 1000000 steps" in (tmp_path / "run.log").read_text()
    assert not CONTROL.search((tmp_path / "run.log").read_text())
    assert (tmp_path / "run.log").read_text().endswith("interrupted\n")


def test_without_progress_only_the_log_has_lines(capsys: pytest.CaptureFixture[str]) -> None:
    (lines,) = training_progress(False, "cell")
    assert isinstance(lines, TrainingLines)
    lines.announce("training")
    lines.show("step")
    assert ProbeProgress(False)("clustering") is None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("setting", "shown"), [(True, True), ("auto", True), (False, False)])
def test_progress_can_be_turned_off(setting: bool | str, shown: bool) -> None:
    assert wanted(setting) == shown


def test_another_word_for_progress_is_refused() -> None:
    with pytest.raises(ValueError, match=r"trainer\.progress must be true, false or auto, got 'often'"):
        wanted("often")


class TestPace:
    def test_time_left_follows_the_last_seconds(self) -> None:
        now = 0.0
        pace = Pace(100, lambda: now)
        assert pace.per_s is None
        assert pace.left(1000) == "-:--"
        for second in range(1, 61):
            now = float(second)
            pace.at(100 + 10 * second if second <= 30 else 400 + 2 * (second - 30))
        assert pace.per_s == pytest.approx(2, rel=0.01)  # not the mean over the minute
        assert pace.left(520) == "0:30"

    def test_a_resumed_run_counts_from_where_it_went_on(self) -> None:
        now = 0.0
        pace = Pace(10000, lambda: now)
        now = 2.0
        pace.at(10050)
        assert pace.per_s == 25


class TestProbes:
    def test_a_slow_probe_gets_lines(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: now)
        report = ProbeProgress(True)("clustering")
        assert report is not None
        for done in range(1, 101):
            now = 0.5 * done
            report(done, 100)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "clustering: 10 of 100, 0:45 left"
        assert len(lines) == 10
        assert lines[-1] == "clustering: done in 0:50"

    def test_a_quick_probe_is_not_mentioned(self, capsys: pytest.CaptureFixture[str]) -> None:
        report = ProbeProgress(True)("clustering")
        assert report is not None
        for done in range(1, 11):
            report(done, 10)
        assert capsys.readouterr().out == ""


class TestScreen:
    def test_text_is_taken_literally(self, capsys: pytest.CaptureFixture[str]) -> None:
        Screen().print("[8, 8] at :smile: [bold]x[/bold] " + 200 * "y")
        assert capsys.readouterr().out == "[8, 8] at :smile: [bold]x[/bold] " + 200 * "y" + "\n"

    def test_errors_and_warnings_go_to_stderr(self, capsys: pytest.CaptureFixture[str]) -> None:
        screen = Screen()
        screen.print_error("data.dir [x] is missing")
        screen.print_warning("slow")
        captured = capsys.readouterr()
        assert captured.err == "error: data.dir [x] is missing\nwarning: slow\n"
        assert captured.out == ""

    def test_a_real_warning_is_one_line_on_the_terminal_and_in_the_log(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            with Screen().logged(tmp_path / "run.log"):
                warnings.warn("the disk is nearly full", stacklevel=1)
        assert capsys.readouterr().err == "warning: the disk is nearly full\n"
        assert "warning: the disk is nearly full\n" in (tmp_path / "run.log").read_text()

    def test_every_session_starts_with_its_command(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "argv", ["/somewhere/train.py", "data=digits", "probes.note=a b"])
        for _ in range(2):
            with Screen().logged(tmp_path / "run.log"):
                pass
        starts = (tmp_path / "run.log").read_text().splitlines()
        assert [line[20:] for line in starts] == 2 * ["train.py data=digits 'probes.note=a b'"]
