"""The subcommands that take a finished run tell at once that a folder holds none."""

import subprocess
import sys
from pathlib import Path

import pytest

from softvq.run.recorded import finished_metrics

SCRIPT = """
import sys
from softvq.command import main
try:
    code = main(sys.argv[1:])
except SystemExit as ended:
    code = ended.code
assert "torch" not in sys.modules
sys.exit(code)
"""


@pytest.mark.process
@pytest.mark.parametrize(
    "arguments", [["explore", "nothing"], ["export", "nothing", "--out", "out"], ["evaluate", "run=nothing"]]
)
def test_a_mistyped_folder_is_told_before_torch_is_loaded(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: run=nothing holds no finished run: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_of_runs_names_one_of_them(tmp_path: Path) -> None:
    run = tmp_path / "digits" / "vq" / "seed-0"
    run.mkdir(parents=True)
    (run / "metrics.json").write_text("{}")
    with pytest.raises(ValueError, match=f"name one of those below it, as {run}"):
        finished_metrics(tmp_path)
