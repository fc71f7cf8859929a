"""A bar on a terminal, and what else is written while it is shown."""

import io
import re
import sys
import time
from collections.abc import Callable

import pytest

from softvq.console import Screen, bars


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen_on(terminal: Terminal, errors: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> Screen:
    """A screen whose streams are these."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", errors)
    screen = Screen()
    monkeypatch.setattr(bars, "screen", screen)
    return screen


def shown_within(seconds: float, text: str, terminal: io.StringIO) -> bool:
    end = time.monotonic() + seconds
    while text not in terminal.getvalue() and time.monotonic() < end:
        time.sleep(0.01)
    return text in terminal.getvalue()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "write",
    [
        lambda screen: screen.print("a line"),
        lambda screen: screen.print_warning("a line"),
        lambda screen: print("a line"),
        lambda screen: print("a line", file=sys.stderr),
    ],
)
def test_lines_and_warnings_are_written_above_a_bar_that_stays(
    write: Callable[[Screen], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    screen = screen_on(terminal, terminal, monkeypatch)
    bar = bars.Bar("training", 0, 10)
    bar.at(3, 10, "loss 0.5")
    assert shown_within(20, "3/10", terminal)
    for _ in range(20):  # the bar is drawn by another thread meanwhile
        write(screen)
    assert len(re.findall(r"a line\s*\n", terminal.getvalue())) == 20
    bar.at(7, 10, "loss 0.4")
    assert shown_within(20, "7/10", terminal)
    bar.close()
    assert sys.stdout is terminal


@pytest.mark.timeout(60)
def test_errors_that_go_to_a_file_go_there_while_a_bar_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, file = Terminal(), io.StringIO()
    screen = screen_on(terminal, file, monkeypatch)
    bar = bars.Bar("training", 3, 10)
    assert shown_within(20, "3/10", terminal)
    screen.print_warning("slow")
    bar.close()
    assert file.getvalue() == "warning: slow\n"
    assert "slow" not in terminal.getvalue()


@pytest.mark.timeout(60)
def test_a_warning_above_a_bar_is_left_whole_however_long(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    screen = screen_on(terminal, terminal, monkeypatch)
    screen.terminal.width = 40
    bar = bars.Bar("training", 3, 10)
    assert shown_within(20, "\x1b[?7l", terminal)
    long = "so many words " * 20
    screen.print_warning(long)
    bar.close()
    assert long in terminal.getvalue()


@pytest.mark.timeout(60)
def test_a_bar_never_wraps_on_a_terminal_that_has_become_narrower(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is drawn of it stands between the codes that switch the breaking of lines off and on again."""
    terminal = Terminal()
    screen = screen_on(terminal, terminal, monkeypatch)
    bar = bars.Bar("training", 3, 10)
    assert shown_within(20, "3/10", terminal)
    screen.print("a line " * 40)
    bar.close()
    drawn = re.split(r"\x1b\[\?7l(.*?)\r\x1b\[\?7h", terminal.getvalue(), flags=re.DOTALL)
    assert any("3/10" in part for part in drawn[1::2])
    assert not any("training" in part or "3/10" in part for part in drawn[::2])
    assert any("a line a line" in part for part in drawn[::2])
    above = terminal.getvalue().partition("a line")[0]
    assert above.endswith("\x1b[J")  # no piece of a bar that the terminal has broken in two remains beside the line


@pytest.mark.timeout(60)
def test_a_bar_within_a_sweep_says_how_far_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    screen = screen_on(terminal, terminal, monkeypatch)
    screen.terminal.width = 100
    monkeypatch.setattr(screen, "around", lambda: "4 of 16 cells, 12 min left")
    bar = bars.Bar("training", 12_345, 40_000)
    bar.at(12_345, 40_000, "loss 0.1234  123/s")
    assert shown_within(20, "4 of 16 cells, 12 min left: training", terminal)
    assert shown_within(20, "loss 0.1234  123/s", terminal)  # nothing of it is cut off
    bar.close()


@pytest.mark.parametrize(
    ("width", "drawn"),
    [
        (90, r"training [━╸╺]+ +30/100 loss 0\.5, a hundred a second [-\d:]+"),
        (60, r"training +30/100 loss 0\.5, a hundred a second [-\d:]+"),
        (30, r"training +30/100 [-\d:]+"),
    ],
)
def test_a_narrow_terminal_does_without_the_bar_then_without_the_loss(
    width: int, drawn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    screen_on(terminal, terminal, monkeypatch).terminal.size = (width, 25)
    bar = bars.Bar("training", 0, 100)
    bar.at(30, 100, "loss 0.5, a hundred a second")
    assert shown_within(20, "30/100", terminal)
    bar.close()
    lines = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", terminal.getvalue()).replace("\n", "\r").split("\r")
    assert all(re.fullmatch(drawn, line.strip()) for line in lines if "30/100" in line)
