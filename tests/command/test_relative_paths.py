"""Relative paths are those of the folder in which the command was typed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cells import ROOT
from image_files import write_arrays


@pytest.mark.process
@pytest.mark.parametrize("model", [["bottleneck=raw"], ["bottleneck=identity", "trainer.max_steps=2"]])
def test_data_are_found_where_they_were_named_also_by_a_job_that_works_in_its_own_folder(
    tmp_path: Path, model: list[str]
) -> None:
    write_arrays(tmp_path / "mine", train=60, test=20)
    overrides = ["data=arrays", "data.dir=mine", *model, "probes=fast", "hydra.run.dir=run"]
    environment = {**os.environ, "SOFTVQ_DATA": "prepared here", "PYTHONPATH": str(ROOT / "src")}
    (tmp_path / "prepared here").mkdir()
    command = [sys.executable, "-m", "softvq", "train", *overrides, "hydra.job.chdir=true", "trainer.threads=1"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["provenance"]["data"]["train_size"] == 60
    assert list((tmp_path / "prepared here" / "prepared").glob("arrays-*"))
    assert not (tmp_path / "run" / "mine").exists()
