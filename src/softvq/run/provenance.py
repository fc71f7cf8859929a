"""Where a run's numbers come from: the code's commit."""

import subprocess
from pathlib import Path


def commit() -> str | None:
    """The checkout's commit, with `-dirty` behind it where tracked files differ; None outside a checkout."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
