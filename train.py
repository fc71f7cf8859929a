"""Trains and probes one cell, or with -m a sweep of them; `python train.py --help` explains the choices."""

import sys

from softvq.command import main

if __name__ == "__main__":
    sys.argv.insert(1, "train")
    sys.exit(main())
