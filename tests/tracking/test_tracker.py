"""A tracker that fails costs a run nothing."""

from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger

from softvq.run_folder import RunFolder
from softvq.tracking.tracker import Tolerant, Tracker


class TestTolerant:
    def test_a_tracker_that_fails_is_told_of_and_left_out(self, tmp_path: Path) -> None:
        class Failing(Tracker):
            calls = 0
            name = "failing"

            def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
                self.calls += 1
                raise OSError("no space")

            def finish(self, metrics: Any, folder: RunFolder) -> None:
                raise ConnectionError("gone")

        told: list[str] = []
        failing = Failing()
        shield: Logger = Tolerant(failing, told.append)
        shield.log_metrics({"a": 1.0}, 1)
        shield.log_metrics({"a": 1.0}, 2)
        shield.finalize("success")
        assert isinstance(shield, Tracker)
        shield.finish({}, RunFolder(tmp_path))
        assert failing.calls == 1
        assert [message.split(": ", 1)[1] for message in told] == ["OSError: no space", "ConnectionError: gone"]
        assert "logger=failing" in told[0]
