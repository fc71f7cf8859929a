"""What the commands refuse of their arguments: in one line, with status 2."""

from collections.abc import Callable

import pytest

from softvq.command.explore import main as explore
from softvq.command.export import main as export
from softvq.command.report import main as report
from softvq.command.runs import main as runs


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (report, ["logs", "--out", ""]),
        (report, [""]),
        (report, ["logs", "--config-dir="]),
        (runs, [" "]),
        (runs, ["compare", "a", "b", "--out="]),
        (explore, [""]),
        (explore, ["a", "--out="]),
        (export, ["a", "--out="]),
        (export, ["", "--out=b"]),
    ],
)
def test_an_empty_path_is_not_the_current_folder(
    main: Callable[[list[str]], int], arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: argument ")
    assert "must be a path, got '" in line
