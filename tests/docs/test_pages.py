"""Every code block of the documentation does what its page says, in order, in an empty folder.

A block under a line `<!-- not run: WHY -->` is left out: it needs a cluster, a login, or hours. One that begins with
the path of a file, `# half.py`, is that file.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cells import ROOT

BLOCK = re.compile(
    r"(?P<left_out><!-- not run: [^>]+ -->\n+)?```(?P<kind>bash|python|yaml)\n(?P<code>.*?)```", re.DOTALL
)
FILE = re.compile(r"# (?P<path>[\w/]+\.(py|yaml))\n")
PAGES = (
    "../README.md",
    "index.md",
    "tutorial.md",
    "data.md",
    "extending.md",
    "sweeps.md",
    "resuming.md",
    "exploring.md",
)

pytestmark = [pytest.mark.slow, pytest.mark.process, pytest.mark.timeout(900)]


@pytest.mark.parametrize("page", PAGES)
def test_a_pages_blocks_run_in_order_in_an_empty_folder(page: str, tmp_path: Path) -> None:
    command = tmp_path / "bin" / "softvq"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m softvq "$@"\n')
    command.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]),
    }
    here = tmp_path / "empty"
    here.mkdir()
    script = []
    blocks = [match for match in BLOCK.finditer((ROOT / "docs" / page).read_text()) if not match["left_out"]]
    assert blocks
    for number, block in enumerate(blocks):
        if named := FILE.match(block["code"]):
            (here / named["path"]).parent.mkdir(parents=True, exist_ok=True)
            (here / named["path"]).write_text(block["code"])
        elif block["kind"] == "bash":
            script.append(block["code"])
        else:
            file = tmp_path / f"block_{number}.py"
            file.write_text(block["code"])
            script.append(f'"{sys.executable}" "{file}"\n')
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "".join(script)], cwd=here, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
