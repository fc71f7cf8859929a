"""What is printed reaches the terminal and the logs as it is, and never costs a run anything."""

import io
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from softvq.console import Screen
from softvq.console.stream import SafeStream


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

    def test_nothing_that_is_shown_is_a_command_to_the_terminal(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        screen = Screen()
        with screen.logged(tmp_path / "run.log"):
            for show in (screen.print, screen.print_error, screen.print_warning, screen.print_end):
                show("runs/\x1b[2J\x9b2J\u202e\rx\n  of seed 0")
        captured = capsys.readouterr()
        for text in (captured.out, captured.err, (tmp_path / "run.log").read_text()):
            assert not set(text) & set("\x1b\x9b\u202e\r")
            assert "[2J" in text
            assert "\n  of seed 0\n" in text

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


class TestSafeStream:
    def test_what_an_encoding_lacks_is_replaced(self) -> None:
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding="ascii")
        safe = SafeStream(lambda: stream)
        safe.write("Ordner für 64 µ\n")
        safe.flush()
        assert raw.getvalue() == b"Ordner f?r 64 ?\n"
        assert safe.encoding == "ascii"

    def test_a_closed_or_missing_stream_takes_everything(self) -> None:
        closed = io.StringIO()
        closed.close()
        for stream in (closed, None):
            safe = SafeStream(lambda stream=stream: stream)  # type: ignore[misc]
            assert safe.write("x") == 1
            safe.flush()
            assert not safe.isatty()

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
    def test_a_full_disk_costs_nothing(self) -> None:
        with open("/dev/full", "w") as full:
            safe = SafeStream(lambda: full)
            safe.write("x" * 100_000)
            safe.flush()
            os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # for its own end


PROGRAM = """
import sys
from softvq.console import screen
for number in range(100_000):
    screen.print(f"line {number} für alle")
screen.print_error("und dann")
sys.exit(7)
"""


@pytest.mark.process
@pytest.mark.parametrize("shell", ["{} | head -1", "{} >&-", "{} >&- 2>&-", "PYTHONIOENCODING=ascii {} > /dev/null"])
def test_a_program_ends_as_it_would_whoever_reads_it(shell: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = shell.format(f"{sys.executable} {program}")
    ended = subprocess.run(
        ["bash", "-c", f"{command}; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True, timeout=100
    )
    assert ended.stdout.splitlines()[-1] == "7"
    assert ended.stderr.splitlines() in ([], ["error: und dann"])
