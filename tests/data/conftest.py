"""What all tests of the data share."""

import urllib.error
from pathlib import Path

import pytest
from image_files import write_arrays

from softvq.data.array_files import ArrayFiles


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No test reaches the network; the few that download ask a server of their own."""

    def refuse(request, *args, **kwargs):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


@pytest.fixture
def mine(tmp_path: Path) -> ArrayFiles:
    """A small set of one's own arrays."""
    write_arrays(tmp_path / "mine")
    return ArrayFiles("mine", str(tmp_path / "mine"))
