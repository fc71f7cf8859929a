"""Plots: what is drawn where, equal bytes for equal numbers, and nothing that a name or a matplotlibrc can break."""

import re
import xml.etree.ElementTree as ET

import matplotlib
from report_runs import HOSTILE, write_curve, write_run

from softvq.report.read.collection import collect
from softvq.report.write.plots import results_plot, sweep_plot, training_plot
from softvq.report.write.search_plots import searched_settings, setting_plot
from softvq.report.write.training_curves import training_curves
from softvq.report.write.two_curves import two_curves

PAPER = 0.7764


def found(mean, interval=None, paper=None):
    return {"n": 3, "mean": mean, "interval": interval, "paper": paper}


def rows():
    runs = [{"values": {"clustering_accuracy": value}} for value in (0.6, 0.7, 0.8)]
    with_paper = {"clustering_accuracy": found(0.7, [0.55, 0.85], PAPER)}
    return [
        {"title": "Soft VQ-VAE, K = 8", "metrics": with_paper, "runs": runs},
        {"title": "<script>$x_1^2</script>\x1b", "metrics": {"clustering_accuracy": found(0.5)}, "runs": runs[:1]},
        {"title": "not run", "metrics": {}, "runs": []},
    ]


def curve():
    points = [
        {"at": at, "metrics": {"clustering_nmi": found(0.1 * at)}, "values": {"clustering_nmi": [0.1 * at]}}
        for at in (0, 1, 8)
    ]
    line = {"title": "VAE $", "data": "mnist", "model": "vae", "points": points}
    return {"key": "bottleneck.kl_weight", "heading": "kl_weight", "lines": [line, {**line, "title": "other"}]}


def texts(svg: bytes) -> list[str]:
    return [
        "".join(element.itertext()).strip() for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_a_results_plot_names_its_rows_and_draws_seeds_means_and_the_papers_number():
    svg = results_plot(rows(), ["clustering_accuracy"]).svg
    shown = texts(svg)
    assert "Clustering (%)" in shown
    assert any("K\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}8" in text for text in shown)
    assert any("script" in text for text in shown)  # as text, never as an element
    assert {element.tag.rpartition("}")[2] for element in ET.fromstring(svg).iter()} & {"script", "image"} == set()


def test_a_results_plot_of_several_numbers_has_a_panel_each():
    plot = results_plot(rows(), ["clustering_accuracy", "clustering_nmi"])
    assert {"Clustering (%)", "NMI (%)"} <= set(texts(plot.svg))
    assert plot.picture.width > results_plot(rows(), ["clustering_nmi"]).picture.width


def test_a_sweep_plot_shows_each_value_and_the_papers_rows():
    shown = texts(sweep_plot(curve(), "clustering_nmi", ["vae", "beta_vae"]).svg)
    assert {"0", "1", "8", "kl_weight", "NMI (%)", "paper: VAE", "paper: β-VAE"} <= set(shown)
    assert not [text for text in texts(sweep_plot(curve(), "clustering_nmi").svg) if "paper" in text]


def test_the_intervals_of_lines_at_one_place_lie_side_by_side():
    point = {"at": 8, "metrics": {"clustering_nmi": found(0.5, [0.4, 0.6])}, "values": {"clustering_nmi": [0.4, 0.6]}}
    points = [point, {**point, "at": 16}]
    lines = [{"title": f"VAE, d = {d}", "data": "mnist", "model": "vae", "points": points} for d in (16, 32)]
    svg = sweep_plot({"key": "bottleneck.K", "heading": "K", "lines": lines}, "clustering_nmi").svg.decode()
    intervals = re.findall(r'id="LineCollection_\d+">.*?d="M ([\d.]+) ([\d.]+)\s+L ([\d.]+) ([\d.]+)', svg, re.DOTALL)
    assert len(intervals) == 4
    assert all(x == x_end and y != y_end for x, y, x_end, y_end in intervals)  # upright, and within the axes
    assert len({x for x, *_ in intervals}) == 4


def test_a_long_name_of_a_line_is_broken_not_cut_off():
    name = "Soft VQ-VAE, " + ", ".join(f"setting_{n} = {n}" for n in range(9))
    curves = [(name, [(1, 2.0), (2, 1.0)]), ("VAE", [(1, 2.0), (2, 1.0)])]
    shown = texts(training_plot(curves, "train/loss").svg)
    assert all(any(f"setting_{n} = {n}" in text for text in shown) for n in range(9))
    assert max(map(len, shown)) <= 64


def test_equal_numbers_are_equal_bytes():
    assert results_plot(rows(), ["clustering_accuracy"]).svg == results_plot(rows(), ["clustering_accuracy"]).svg
    assert sweep_plot(curve(), "clustering_nmi") == sweep_plot(curve(), "clustering_nmi")


def test_a_users_matplotlibrc_changes_nothing():
    before = training_plot([("VAE", [(1, 2.0), (2, 1.0)])], "train/loss").svg
    with matplotlib.rc_context({"text.usetex": True, "font.size": 40, "axes.facecolor": "red"}):
        assert training_plot([("VAE", [(1, 2.0), (2, 1.0)])], "train/loss").svg == before


def test_two_curves_share_panels_of_the_numbers_that_both_have():
    curves = ({"train/loss": [(1, 2.0), (2, 1.0)], "a": [(1, 1.0)]}, {"train/loss": [(1, 3.0), (2, 2.0)]})
    assert two_curves(("one", HOSTILE), curves).startswith(b"\x89PNG")
    assert two_curves(("one", "two"), ({"a": [(1, 1.0)]}, {"b": [(1, 1.0)]})) is None


def test_a_curve_that_cannot_be_read_leaves_a_line_out_and_stops_no_report(tmp_path):
    whole, odd = write_run(tmp_path / "a"), write_run(tmp_path / "b", seed=1)
    write_curve(whole)
    (odd / "metrics.csv").write_text("step,train/loss\n1,x\n")
    runs = {run.folder: run for run in collect([tmp_path]).runs}
    rows = [{"title": f"row {name}", "runs": [{"folder": name}]} for name in runs]
    _, plot = training_curves([*rows, {"title": "not run", "runs": []}], runs)
    shown = texts(plot.svg)
    assert "row a" in shown
    assert "row b" not in shown


def test_a_searchs_number_is_drawn_over_each_setting_choices_in_their_order():
    search = {
        "name": "clustering_accuracy",
        "values": [0.5, None, 0.75, 0.6],
        "tried": [{"K": "128", "w": "0.1"}, {"K": "16"}, {"K": "16", "w": "10"}, {"K": "32", "w": "1"}],
        "importance": {"w": 0.9, "K": 0.1},
        "choices": ["K"],
        "logarithmic": ["w"],
        "best": 2,
    }
    assert searched_settings(search) == ["w", "K"]
    shown = texts(setting_plot(search, "K").svg)
    assert [name for name in shown if name in ("16", "32", "128")] == ["16", "32", "128"]
    assert {"w", "Clustering (%)"} <= set(texts(setting_plot(search, "w").svg))
    assert searched_settings({**search, "tried": [{}] * 4, "importance": {}}) == []
