"""What a process finds around it and must not depend on: a user's settings of libraries, a language without accents,
and a folder that is gone.
"""

import contextlib
import os
import sys
from pathlib import Path

UTF8 = "PYTHONUTF8"
GONE = "the current folder was removed; change to another one"


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


def speak_utf8() -> None:
    """Begins this program anew in Python's UTF-8 mode, where it could name no file with an accent.

    Python would choose that mode by itself under `LC_ALL=C`, were it not for `PYTHONUTF8=0`.
    """
    if sys.getfilesystemencoding() == "ascii" and os.environ.get(UTF8) != "1":
        os.environ[UTF8] = "1"  # for the processes that this one starts, and so that this happens once
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def current_folder_is_gone() -> bool:
    """Whether the folder in which this process is was removed."""
    try:
        os.getcwd()
    except OSError:
        return True
    return False
