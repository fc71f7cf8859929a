"""The further processes of a run on several devices, each of which trains along with the first."""

import os
import pickle
import subprocess
import sys
from collections.abc import Sequence

from softvq import stop
from softvq.run.cell import Cell
from softvq.run.process import DEVICE, RANK, end_with

# The new process finds what this one finds, also where a script or a test has put further folders on the path.
PROGRAM = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from softvq.run.device import main; main()"


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
            stdout=subprocess.DEVNULL,  # the first one tells how far the run is
            env={**os.environ, DEVICE: f"{os.getpid()}:{rank}:{port}"},
        )
        assert process.stdin is not None
        with process.stdin:
            pickle.dump(sys.path, process.stdin)
            pickle.dump(list(cells), process.stdin)
        processes.append(process)
    return processes


def main() -> None:
    """What a further process does: it trains the cells that it is sent, and ends with the first one at any time."""
    stop.leave_to_parent()
    end_with(int(os.environ[DEVICE].split(":")[0]))
    status = 0
    try:
        cells = pickle.load(sys.stdin.buffer)
        from softvq.run.train import train

        for _, metrics in train(cells):
            if isinstance(metrics, Exception):
                raise metrics
    except stop.Stopped:  # the first process tells of it
        pass
    except Exception as error:
        status = 1
        if not hasattr(error, "step"):  # as the first process fails, too
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            os.write(2, f"error: device {RANK}: {reason}\n".encode("utf-8", "replace"))
    os._exit(status)  # Python would take seconds to take torch's objects apart
