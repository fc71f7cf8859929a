"""Where a run's numbers come from: the code's commit."""

import os
import subprocess
from pathlib import Path


def commit() -> str | None:
    """The checkout's commit, with `-dirty` behind it where tracked files differ.

    Outside a checkout, what SOFTVQ_COMMIT says in the environment: who copies the code elsewhere knows its commit.
    """
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
        return os.environ.get("SOFTVQ_COMMIT")
