"""What a process finds around it and must not depend on: a user's settings of libraries, and a folder that is gone."""

import contextlib
import os
from pathlib import Path


def shut_out_matplotlib_settings() -> None:
    """Has Matplotlib start without the user's settings, in this process and those that it starts.

    Lightning imports it, and a backend or a `matplotlibrc` that cannot be had would cost the run. For programs only: in
    one's own program or notebook they are its own. Called before anything imports Matplotlib.
    """
    os.environ["MPLBACKEND"] = "agg"
    os.environ["MATPLOTLIBRC"] = os.devnull  # an empty one
    if os.path.lexists("matplotlibrc"):  # of the current folder, which it would read first
        with contextlib.chdir(Path(__file__).parent):
            import matplotlib  # noqa: F401


def current_folder_is_gone() -> bool:
    """Whether the folder in which this process is was removed."""
    try:
        os.getcwd()
    except OSError:
        return True
    return False
