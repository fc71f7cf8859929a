"""The page to look into codes: what it counts is what the model does, and a browser can use it."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from browsers import chromium
from cells import SMALL_MLP, run

from softvq.command.explore import main
from softvq.explore.gather import named_by_class, title
from softvq.explore.page import _maps, data_uri


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("logs")
    for bottleneck in ("vq", "vae"):
        run(root / bottleneck, "data=digits", f"bottleneck={bottleneck}", "probes.save_latents=true", *SMALL_MLP)
    return root / "vq", root / "vae"


@pytest.fixture(scope="module")
def page(runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "page.html"
    assert main([*map(str, runs), "--out", str(out), "--points", "60"]) == 0
    return out


def content(page: Path) -> dict[str, Any]:
    found = re.search(r'<script id="content" type="application/json">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.mark.slow
def test_every_model_shows_the_same_images_and_every_test_image_is_counted(page: Path) -> None:
    shown = content(page)
    assert len(shown["label"]) == 60
    assert [len(of_run["cluster"]) for of_run in shown["runs"]] == [60, 60]
    counts = [int(number) for number in re.findall(r": (\d+) images\"", page.read_text())]
    assert sum(counts) == 2 * 359


@pytest.mark.slow
def test_codewords_are_those_that_the_codes_choose(page: Path, runs: tuple[Path, Path]) -> None:
    from softvq.library.trained import load

    codebook = load(runs[0]).bottleneck.codewords
    assert codebook is not None
    codes = np.load(runs[0] / "latents.npz")["test"]
    chosen = np.square(codes[:, None] - codebook.detach().numpy()).sum(-1).argmin(1)
    uses = {int(k): int(n) for k, n in re.findall(r"#(\d+)<br>(\d+) uses", page.read_text())}
    assert uses == {number: int((chosen == number).sum()) for number in uses}
    assert max(uses.values()) == np.bincount(chosen).max()


@pytest.mark.slow
def test_codes_that_are_cut_into_parts_have_a_page(tmp_path: Path) -> None:
    run(tmp_path / "run", "data=digits", "bottleneck=soft_to_hard", "bottleneck.patch=2", *SMALL_MLP)
    assert main([str(tmp_path / "run"), "--points", "20"]) == 0
    uses = re.findall(r"#\d+<br>(\d+) uses", (tmp_path / "run" / "explore.html").read_text())
    assert uses


def test_the_page_is_one_file_that_asks_for_nothing(page: Path) -> None:
    assert page.stat().st_size < 8_000_000
    tags = re.sub(r"<script(?P<tag>[^>]*)>.*?</script>", r"<script\g<tag>>", page.read_text(), flags=re.DOTALL)
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", tags)


def test_clusters_are_named_by_the_class_that_they_match() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1, 2, 2])
    clusters = np.array([4, 4, 1, 0, 0, 0, 1, 1])  # the other two are empty
    named = named_by_class(clusters, labels)
    assert named.tolist() == [0, 0, 2, 1, 1, 1, 2, 2]
    other_names = np.array([3, 0, 4, 2, 1])
    assert named_by_class(other_names[clusters], labels).tolist() == named.tolist()
    alone = named_by_class(np.array([0, 1, 2]), np.zeros(3, dtype=int))  # more clusters than classes
    assert sorted(alone.tolist()) == [0, 1, 2]


@pytest.mark.parametrize(
    ("fidelity", "chosen", "said"),
    [
        ("paper", {"trainer.max_steps": 60, "probes.tap": "z_q"}, "soft_vq, seed 1, 1,000 steps"),
        ("paper", {"bottleneck.K": 8, "network.d": 16}, "soft_vq, K=8, d=16, seed 1, 1,000 steps"),
        ("released", {}, "soft_vq, fidelity=released, seed 1, 1,000 steps"),
    ],
)
def test_a_run_is_called_by_what_was_chosen_of_its_model(fidelity: str, chosen: dict[str, Any], said: str) -> None:
    metrics = {"bottleneck": "soft_vq", "fidelity": fidelity, "hyperparameters": chosen, "seed": 1, "steps": 1000}
    assert title(metrics) == said


def test_a_page_that_cannot_be_written_is_said_in_a_line(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for out, said in ((tmp_path, "is a folder; name the page"), (tmp_path / "file" / "page.html", "cannot be written")):
        assert main([str(runs[0]), "--out", str(out), "--points", "20"]) == 1
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    for device in ("abacus", "meta"):
        assert main([str(runs[0]), "--device", device]) == 1
        assert f"--device {device} cannot be used" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_sheet_holds_each_picture_at_its_place() -> None:
    import base64
    import io

    from PIL import Image

    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 1), np.uint8) * 50
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(data_uri(images, 3).split(",")[1]))))
    assert sheet.shape == (4, 9)
    assert [int(sheet[2 * (n // 3), 3 * (n % 3)]) for n in range(5)] == [0, 50, 100, 150, 200]


def test_runs_of_different_images_do_not_go_on_one_page(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from image_files import write_arrays

    write_arrays(tmp_path / "own", shape=(8, 8))
    other = (
        "data=arrays",
        f"data.dir={tmp_path / 'own'}",
        f"data.root={tmp_path}",
        "bottleneck=vae",
        "network=mlp",
        *SMALL_MLP,
    )
    run(tmp_path / "other", *other)
    assert main([str(runs[0]), str(tmp_path / "other"), "--out", str(tmp_path / "page.html")]) == 1
    assert "different data" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.slow
def test_the_report_links_the_page_that_lies_in_a_runs_folder(runs: tuple[Path, Path]) -> None:
    from softvq.command.report import main as report

    assert main([str(runs[0]), "--points", "20"]) == 0
    assert report([str(runs[0].parent)]) == 0
    page = (runs[0].parent / "report" / "report.html").read_text()
    assert re.findall(r'href="([^"]*explore.html)"', page) == ["./../vq/explore.html"]


@pytest.mark.parametrize("names", [["left", "right"], []])
def test_a_map_is_coloured_from_the_start_by_what_the_page_offers_first(names: list[str]) -> None:
    pytest.importorskip("bokeh")
    clusters, places = np.array([0, 2, 1]), np.arange(3)
    run = SimpleNamespace(title="vae", embedding=np.zeros((3, 2)), clusters=clusters, index=None)
    _, (plot,) = _maps([run], np.array([0, 1, 1]) if names else np.full(3, -1), names, places)  # type: ignore[list-item]
    columns = plot.renderers[0].data_source.data
    assert columns["colour0"] == columns["class0" if names else "cluster0"]
    assert len(set(columns["colour0"])) == (2 if names else 3)


@pytest.mark.slow
@pytest.mark.process
def test_a_browser_colours_the_map_and_opens_the_images_of_a_cell(page: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    with chromium() as browser:
        browser.get(page.as_uri())
        assert "class" in browser.find_element(By.ID, "told").text
        assert len(browser.find_elements(By.CSS_SELECTOR, "#legend i")) == 10
        Select(browser.find_element(By.ID, "by")).select_by_visible_text("codeword")
        assert browser.find_elements(By.CSS_SELECTOR, "#legend i") == []  # more of them than colours
        Select(browser.find_element(By.ID, "by")).select_by_visible_text("cluster")
        assert "cluster of 0" in browser.find_element(By.ID, "legend").text
        largest = max(browser.find_elements(By.CSS_SELECTOR, "td button"), key=lambda button: int(button.text))
        largest.click()
        gallery = browser.find_element(By.ID, f"gallery{largest.get_attribute('data-run')}")
        assert gallery.find_elements(By.CLASS_NAME, "picture")
        shown = content(page)["runs"][0]["cluster"]
        one, other = 0, next(n for n, cluster in enumerate(shown) if cluster != shown[0])

        def told_after(script: str) -> int:
            source = "Bokeh.documents.map(d => d.get_model_by_id(content.source)).find(Boolean)"
            browser.execute_script(f"const source = {source}; {script}")
            return int(browser.find_element(By.ID, "told").text.partition("cluster of ")[2].partition(",")[0])

        assert told_after(f"softvqPointed([{one}], source)") == shown[one]
        assert told_after(f"source.selected.indices = [{other}]; softvqTapped(source)") == shown[other]
        assert told_after(f"softvqPointed([{one}], source)") == shown[other]  # which was clicked, and stays
        told_after("source.selected.indices = []")  # Bokeh tells of it when the script has ended
        assert told_after(f"softvqPointed([{one}], source)") == shown[one]
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
