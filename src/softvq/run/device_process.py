"""A further process of a run on several devices: it trains along with the first one, which started it."""

import os
import pickle
import sys

from softvq import stop
from softvq.run.process import DEVICE, RANK, end_with
from softvq.surroundings import shut_out_matplotlib_settings


def main() -> None:
    """Trains the cells that the first process sends; ends as soon as that one has ended, whatever it is doing then."""
    stop.leave_to_parent()
    end_with(int(os.environ[DEVICE].split(":")[0]))
    shut_out_matplotlib_settings()
    status = 0
    try:
        cells = pickle.load(sys.stdin.buffer)
        from softvq.run.train import train

        for _, metrics in train(cells):
            if isinstance(metrics, Exception):
                raise metrics
    except stop.Stopped:  # the first process prints the message
        pass
    except Exception as error:
        status = 1
        if not hasattr(error, "step"):  # an error in a step reaches the first process as well, which reports it
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            os.write(2, f"error: device {RANK}: {reason}\n".encode("utf-8", "replace"))
    os._exit(status)  # Python would take seconds to take torch's objects apart
