"""Probes a finished run again, under another protocol, tap or data; `evaluate.py --help` explains the choices."""

from softvq.command.evaluate import main

if __name__ == "__main__":
    main()
