"""A callback of Lightning's that ends a run early: `+trainer.callbacks.watch._target_=first_step.FirstStep`."""

import json
import os
import sys
from pathlib import Path

import lightning as L
from watch import OUT


class FirstStep(L.Callback):
    """Ends the process after the first step; where the environment names a file, writes which modules were loaded."""

    def on_train_batch_end(self, *args: object) -> None:
        if OUT in os.environ:
            Path(os.environ[OUT]).write_text(json.dumps(sorted(sys.modules)))
        os._exit(0)
