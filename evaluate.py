"""Probes a finished run again, under another protocol, tap or data; `evaluate.py --help` explains the choices."""

import sys

from softvq.command import main

if __name__ == "__main__":
    sys.argv.insert(1, "evaluate")
    sys.exit(main())
