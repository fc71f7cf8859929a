"""A callback that cannot work with this training is named by its key, in one line; the traceback is in failure.json."""

import json
from pathlib import Path

import pytest
from cells import start

LIGHTNINGS = "lightning.pytorch.callbacks"


@pytest.mark.parametrize(
    ("callback", "said"),
    [
        ("GradientAccumulationScheduler,scheduling:{0:2}", "RuntimeError: "),
        ("EarlyStopping,monitor:no_such_number", "RuntimeError: Early stopping conditioned on metric `no_such_number`"),
        ("LearningRateFinder", "AttributeError: "),
    ],
)
def test_it_is_named_in_one_line(callback: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = start(
        tmp_path / "run",
        "data=digits",
        "bottleneck=identity",
        f"data.root={tmp_path}",
        f"+trainer.callbacks.mine={{_target_:{LIGHTNINGS}.{callback}}}",
    )
    assert outcome.status == "failed"
    errors = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning: ")]
    (line,) = errors
    assert line.startswith(f"error: trainer.callbacks.mine: {said}")
    failure = json.loads((tmp_path / "run" / "failure.json").read_text())
    assert "Traceback" in "".join(failure["traceback"])
