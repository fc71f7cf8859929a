"""What a person sees: messages, tables and bars on the terminal, and the same in the run's log."""

from softvq.console.screen import Screen, screen
from softvq.console.words import counted, duration

__all__ = ["Screen", "counted", "duration", "screen"]
