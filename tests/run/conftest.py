"""What the tests of whole cells share."""

import pytest


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells whose pictures nobody looks at: drawing takes most of the time of so small a cell."""
    monkeypatch.setattr("softvq.probes.run.draw_portrait", lambda *_: None)
