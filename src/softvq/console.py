"""What a person sees: messages and tables on the terminal, and the same in the run's log."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, RenderableType
from rich.text import Text

LOG_WIDTH = 120


class Screen:
    """Prints to the terminal and, while a run's log is open, into it."""

    def __init__(self) -> None:
        self.terminal = Console(soft_wrap=not sys.stdout.isatty())
        self._log: Console | None = None

    def print(self, renderable: RenderableType) -> None:
        """Shows text or a table."""
        self.terminal.print(renderable, highlight=False)
        if self._log is not None:
            self._log.print(renderable, highlight=False)

    def print_error(self, message: str) -> None:
        """Shows what went wrong; the message is taken literally."""
        self.print(Text(f"error: {message}", style="bold red"))

    @contextmanager
    def logged(self, path: Path) -> Iterator[None]:
        """Copies what is printed, and what libraries log or warn, to a file as well."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root = logging.getLogger()
        root.addHandler(handler)
        logging.captureWarnings(True)
        with path.open("a", encoding="utf-8") as file:
            self._log = Console(file=file, width=LOG_WIDTH)
            try:
                yield
            finally:
                self._log = None
                logging.captureWarnings(False)
                root.removeHandler(handler)
                handler.close()


screen = Screen()
