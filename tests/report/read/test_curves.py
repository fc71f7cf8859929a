"""The training curve of a run."""

import json
import os

import pytest
from report_runs import write_curve, write_run

from softvq.report.read.curves import read_curve
from softvq.report.read.run_files import read_run
from softvq.seals import sealed, with_curve


def test_each_metric_has_its_steps_and_values_in_order(tmp_path):
    write_curve(tmp_path, steps=2)
    assert read_curve(tmp_path / "metrics.csv", {})["train/loss"] == [(100, 0.1), (200, 0.05)]


def test_a_line_that_was_not_finished_and_what_is_not_finite_do_not_count(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,a,b\n1,0.5,\n2,inf,0.25\n3,0.1")
    assert read_curve(tmp_path / "metrics.csv", {}) == {"a": [(1, 0.5)], "b": [(2, 0.25)]}


@pytest.mark.parametrize("content", ["step,a\n1,x\n", "a,b\n1,2\n", "step\nnan\n", "step,a\ninf,1\n", 'step,a\n"1,2\n'])
def test_another_table_is_refused_by_name(tmp_path, content):
    (tmp_path / "metrics.csv").write_text(content)
    with pytest.raises(ValueError, match=r"metrics\.csv is no training curve"):
        read_curve(tmp_path / "metrics.csv", {})


def test_a_pipe_in_its_place_hangs_nobody(tmp_path):
    os.mkfifo(tmp_path / "metrics.csv")
    with pytest.raises(ValueError, match="no regular file"):
        read_curve(tmp_path / "metrics.csv", {})


def test_a_curve_whose_digits_were_changed_is_not_drawn_and_is_told_of(tmp_path):
    run = write_run(tmp_path / "run")
    write_curve(run, steps=2)
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps(sealed(with_curve(metrics, run / "metrics.csv"))))
    assert read_run(run, "run").problems == ()
    curve = (run / "metrics.csv").read_text()
    (run / "metrics.csv").write_text(curve.replace("0.05", "0.01"))
    found = read_run(run, "run")
    assert found.problems == ("metrics.csv is not the training curve that was written: its checksum does not match",)
    with pytest.raises(ValueError, match="its checksum does not match"):
        read_curve(run / "metrics.csv", found.metrics)
