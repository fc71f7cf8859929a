"""What a person sees: messages, tables and bars on the terminal, and the same in the run's log."""

from softvq.console.screen import Screen, duration, screen

__all__ = ["Screen", "duration", "screen"]
