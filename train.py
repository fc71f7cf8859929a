"""Trains and probes one cell, or with -m a sweep of them; `python train.py --help` explains the choices."""

from softvq.command.train import main

if __name__ == "__main__":
    main()
