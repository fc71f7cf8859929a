"""What lies around a process and must not decide how it runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from softvq.surroundings import speak_utf8

IMPORT = "from softvq.surroundings import shut_out_matplotlib_settings as f; f(); import matplotlib as m; "


@pytest.mark.process
@pytest.mark.parametrize("backend", ["", "module://nowhere", "qtagg", "nonsense"])
@pytest.mark.parametrize("file", ["none", "a broken one", "one here"])
def test_settings_of_matplotlib_are_shut_out(backend: str, file: str, tmp_path: Path) -> None:
    broken = b"text.usetex: True\nbackend: \xff\xfe ["
    environment = {**os.environ, "MPLBACKEND": backend}
    if file == "a broken one":
        (tmp_path / "rc").write_bytes(broken)
        environment["MATPLOTLIBRC"] = str(tmp_path / "rc")
    elif file == "one here":
        (tmp_path / "matplotlibrc").write_bytes(broken)
    done = subprocess.run(
        [sys.executable, "-c", f"{IMPORT} import os; print(m.rcParams['text.usetex'], m.get_backend(), os.getcwd())"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.split(maxsplit=2) == ["False", "agg", f"{tmp_path}\n"], done.stderr


@pytest.mark.process
def test_a_folder_that_was_removed_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    program = "import os; os.rmdir('../gone'); from softvq.command import main; raise SystemExit(main(['train']))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path / "gone", capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (1, "error: the current folder was removed; change to another one\n")


def test_a_program_that_could_name_no_file_with_an_accent_begins_anew_once(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[list[str]] = []
    monkeypatch.setenv("PYTHONUTF8", "0")
    monkeypatch.setattr("os.execv", lambda program, arguments: begun.append(arguments))
    monkeypatch.setattr("sys.orig_argv", ["python", "train.py", "seed=1"])
    speak_utf8()
    assert not begun  # the tests' own encoding will do
    monkeypatch.setattr("sys.getfilesystemencoding", lambda: "ascii")
    speak_utf8()
    speak_utf8()
    assert begun == [[sys.executable, "-X", "utf8", "train.py", "seed=1"]]
