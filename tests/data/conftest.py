"""What all tests of the data share."""

import urllib.error

import pytest


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No test reaches the network; the few that download ask a server of their own."""

    def refuse(request, *args, **kwargs):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
