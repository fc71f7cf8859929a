"""What the commands refuse whose arguments Hydra does not read: one line, status 2, and nothing left behind."""

from importlib import import_module
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("runs --foo", "unrecognized arguments: --foo"),
        ("runs compare one", "the following arguments are required: RUN"),
        ("report --fidelity text", "--fidelity: invalid choice: 'text'"),
        ("report --band wide", "--band: must be a number of at least 0 and less than 1, got 'wide'"),
        ("report --band -1", "--band: must be a number of at least 0 and less than 1, got '-1'"),
        ("report --band 1", "--band: must be a number of at least 0 and less than 1, got '1'"),
        ("report --band nan", "--band: must be a number of at least 0 and less than 1, got 'nan'"),
        ("report --ou elsewhere", "unrecognized arguments: --ou"),
        ("explore", "the following arguments are required: RUN"),
        ("explore run --points 0", "--points: must be a whole number of at least 1, got '0'"),
        ("explore run --points 2.5", "--points: must be a whole number of at least 1, got '2.5'"),
        ("export run", "the following arguments are required: --out"),
        ("dashboard", "the following arguments are required: --experiment"),
    ],
)
def test_arguments_that_cannot_be_are_named_in_one_line(
    typed: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    name, *arguments = typed.split()
    with pytest.raises(SystemExit) as ended:
        import_module(f"softvq.command.{name}").main(arguments)
    assert ended.value.code == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert error.startswith("error: ")
    assert said in error
    assert f"softvq {name}" in error  # whose --help lists them
    assert list(tmp_path.rglob("*")) == [tmp_path / "run"]
