"""A callback of Hydra's that looks at a sweep's cells: `+hydra.callbacks.watch._target_=watch.JobSeconds`.

It is loaded in the sweep's own process, too, which loads neither torch nor Lightning.
"""

import json
import os
import time
from pathlib import Path

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

OUT = "SOFTVQ_WATCH"  # the environment's name for where it writes


class JobSeconds(Callback):
    """Writes the processor's seconds of a whole cell into a file of its own below a folder."""

    def on_job_start(self, config: DictConfig, **kwargs: object) -> None:
        self.started, self.cpu_started = time.monotonic(), time.process_time()

    def on_job_end(self, config: DictConfig, **kwargs: object) -> None:
        seconds = {
            "process": os.getpid(),
            "started": self.started,
            "ended": time.monotonic(),
            "cpu_s": time.process_time() - self.cpu_started,
        }
        Path(os.environ[OUT], f"{os.getpid()}-{self.started}.json").write_text(json.dumps(seconds))
