"""What a person sees of a probe that takes long."""

import time

import pytest

from softvq.probes.progress import ProbeProgress


class Clock:
    """Goes on by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_slow_probe_gets_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    report = ProbeProgress(True, "vq on digits, seed 3")("clustering")
    assert report is not None
    for done in range(1, 101):
        clock.now = 0.5 * done
        report(done, 100)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "vq on digits, seed 3: clustering 10 of 100, 0:45 left"
    assert len(lines) == 10
    assert lines[-1] == "vq on digits, seed 3: clustering done in 0:50"


def test_a_quick_probe_is_not_mentioned(capsys: pytest.CaptureFixture[str]) -> None:
    report = ProbeProgress(True, "cell")("clustering")
    assert report is not None
    for done in range(1, 11):
        report(done, 10)
    assert capsys.readouterr().out == ""


def test_without_progress_a_probe_has_nothing_to_report_to() -> None:
    assert ProbeProgress(False, "cell")("clustering") is None
