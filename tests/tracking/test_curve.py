"""A run's training curve in metrics.csv."""

import csv
from pathlib import Path

from sessions import run, run_interrupted

from softvq.run_folder import RunFolder
from softvq.tracking.curve import CurveLogger, read_curve


class TestCurve:
    def test_each_row_can_be_read_as_soon_as_it_is_logged(self, tmp_path: Path) -> None:
        curve = CurveLogger(tmp_path / "metrics.csv")
        for step in (1, 2, 3):
            curve.log_metrics({"train/loss": 1 / step, "epoch": 0.0}, step)
            with curve.path.open(newline="") as file:
                rows = list(csv.DictReader(file))
            assert [float(row["train/loss"]) for row in rows] == [1 / s for s in range(1, step + 1)]
            assert list(rows[0]) == ["step", "train/loss"]

    def test_lines_end_alike(self, tmp_path: Path) -> None:
        curve = CurveLogger(tmp_path / "metrics.csv")
        for step in (1, 2, 3):
            curve.log_metrics({"train/loss": 0.5}, step)
        assert curve.path.read_bytes() == b"step,train/loss\n1,0.5\n2,0.5\n3,0.5\n"

    def test_a_new_metric_becomes_the_last_column(self, tmp_path: Path) -> None:
        curve = CurveLogger(tmp_path / "metrics.csv")
        curve.log_metrics({"train/loss": 1.0}, 1)
        curve.log_metrics({"train/loss": 2.0}, 2)
        curve.log_metrics({"val/loss": 3.0}, 2)
        curve.log_metrics({"train/loss": 4.0}, 3)
        assert curve.path.read_text() == "step,train/loss,val/loss\n1,1.0,\n2,2.0,3.0\n3,4.0,\n"

    def test_the_first_row_of_a_session_cuts_later_ones_off(self, tmp_path: Path) -> None:
        first = CurveLogger(tmp_path / "metrics.csv")
        for step in (10, 20, 30):
            first.log_metrics({"train/loss": float(step)}, step)
        second = CurveLogger(tmp_path / "metrics.csv")
        second.log_metrics({"train/loss": 0.25}, 20)
        assert second.path.read_text() == "step,train/loss\n10,10.0\n20,0.25\n"

    def test_a_line_that_a_kill_cut_short_does_not_count(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics.csv"
        path.write_text("step,train/loss\n10,1.0\n2")  # of 20
        CurveLogger(path).log_metrics({"train/loss": 2.0}, 20)
        assert path.read_text() == "step,train/loss\n10,1.0\n20,2.0\n"

    def test_validation_columns_stay_where_they_were_after_an_interruption(self, tmp_path: Path) -> None:
        overrides = ("data.val_fraction=0.1", "trainer.val_every_n_steps=10")
        run(tmp_path / "whole", *overrides)
        run_interrupted(tmp_path / "broken", *overrides)
        assert (tmp_path / "broken" / "metrics.csv").read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()

    def test_a_run_without_steps_has_a_curve_without_rows(self, tmp_path: Path) -> None:
        curve = CurveLogger(tmp_path / "metrics.csv")
        curve.finish({}, RunFolder(tmp_path))
        assert curve.path.read_text() == "step\n"
        assert read_curve(curve.path) == []
