"""Lightning callbacks that look at a cell from inside; `+trainer.callbacks.watch._target_=watch.NAME` adds one."""

import json
import os
import sys
import time
from pathlib import Path

import lightning as L

OUT = "SOFTVQ_WATCH"  # the environment's name for where they write


class FirstStep(L.Callback):
    """Ends the process after the first step, and writes which modules it had loaded by then."""

    def on_train_batch_end(self, *args: object) -> None:
        if OUT in os.environ:
            Path(os.environ[OUT]).write_text(json.dumps(sorted(sys.modules)))
        os._exit(0)


class CellSeconds(L.Callback):
    """Writes the processor's seconds of a cell, training and probes, into a file of its own below a folder."""

    def setup(self, *args: object, stage: str) -> None:
        self.started, self.cpu_started = time.monotonic(), time.process_time()

    def teardown(self, *args: object, stage: str) -> None:
        ended = time.monotonic()
        seconds = {
            "process": os.getpid(),
            "started": self.started,
            "ended": ended,
            "cpu_s": time.process_time() - self.cpu_started,
        }
        Path(os.environ[OUT], f"{os.getpid()}-{self.started}.json").write_text(json.dumps(seconds))
