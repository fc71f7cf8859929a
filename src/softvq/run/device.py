"""Starts the further processes of a run on several devices, each of which trains along with this one."""

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence

from softvq.run.cell import Cell
from softvq.run.process import DEVICE

# The new process finds what this one finds, also where a script or a test has put further folders on the path.
PROGRAM = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer)\n"
    "from softvq.run.device_process import main; main()"
)


def start_processes(cells: Sequence[Cell], devices: int, port: int) -> list[subprocess.Popen[bytes]]:
    """Starts a process for each device but the first, which is this one's.

    Args:
        cells: that are trained together.
        devices: how many there are.
        port: at which the processes meet.
    """
    processes = []
    for rank in range(1, devices):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # only the first process shows progress
            env={**os.environ, DEVICE: f"{os.getpid()}:{rank}:{port}"},
        )
        assert process.stdin is not None
        with process.stdin:
            pickle.dump(sys.path, process.stdin)
            pickle.dump(list(cells), process.stdin)
        processes.append(process)
    return processes
