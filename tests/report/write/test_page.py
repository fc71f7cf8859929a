"""report.html: safe whatever a run folder holds, and, in a real browser, sorted, drawn, narrow and dark."""

import json
import re
import shutil
import tempfile
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from report_runs import fail, picture, stop_early, write_curve, write_evaluation, write_hostile, write_run, write_table

from softvq.command.report import main

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHROMEDRIVER = shutil.which("chromedriver")
in_browser = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER), reason="no Chromium with chromedriver: apt-get install chromium chromium-driver"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The page of Table 1 with a row missing, sweeps, pictures, Figure 4, failures and names made to break out."""
    root = tmp_path_factory.mktemp("logs")
    rows = ["raw", "vae", "vq", "soft_vq"]
    write_table(root, "mnist", range(3), rows, figures=("tsne", "reconstructions"))
    picture(root / "table_1/mnist/vae/seed-0/figures/tsne.png", size=(1600, 900))
    (root / "table_1/mnist/vq/seed-0/figures/tsne.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    write_curve(root / "table_1/mnist/vae/seed-0")
    write_evaluation(root / "table_1/mnist/vae/seed-0", "berthelot", "z_e", (0.61, 0.56, 0.9))
    for k in (256, 512):
        for d in (32, 64):
            for seed in range(2):
                changed = (f"bottleneck.K={k}", f"network.d={d}", "trainer.max_steps=60")
                folder = root / f"kd/{k}-{d}-{seed}"
                write_run(folder, "mnist", "vq", seed, (0.4 + seed / 10, 0.3, 0.8), overrides=changed, experiment="kd")
    for model in ("vae", "soft_vq"):
        folder = write_run(
            root / f"figure_4/{model}", "mnist", model, overrides=("network.d=60",), experiment="figure_4"
        )
        labels = np.arange(60) % 10
        codes = np.random.default_rng(0).normal(size=(10, 60))[labels].astype(np.float32)
        np.savez(folder / "latents.npz", test=codes + 0.1, test_labels=labels)
    write_run(root / "figure_4/identity", "mnist", "identity", overrides=("network.d=60",), experiment="figure_4")
    stop_early(write_run(root / "stopped", seed=9, probes=(0.123, 0.1, 0.1)), 196)
    fail(write_run(root / "lost", "mnist", "vae", 8))
    write_hostile(root)
    assert main([str(root)]) == 0
    return root / "report" / "report.html"


@pytest.fixture(scope="module")
def text(report) -> str:
    return report.read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def of(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag in tags]


@pytest.fixture(scope="module")
def elements(text) -> Elements:
    return Elements(text)


@pytest.mark.slow
def test_no_name_or_message_becomes_markup_or_reaches_a_terminal(elements, text):
    assert len(elements.of("script")) == 1
    assert elements.of("i", "iframe", "object", "embed", "base", "form", "link") == [{"rel": "icon", "href": "data:,"}]
    assert not [name for _, attributes in elements.found for name in attributes if name.startswith("on")]
    sources = [attributes["src"] for attributes in elements.of("img")]
    assert all(source.startswith(("data:image/png;base64,", "data:image/svg+xml;base64,")) for source in sources)
    assert all(character.isprintable() or character == "\n" for character in text)


def test_links_stay_on_the_page_or_lead_to_run_folders(elements, report):
    links = [attributes["href"] for attributes in elements.of("a")]
    assert all(link.startswith(("#", "./")) for link in links)
    anchors = {attributes["id"] for _, attributes in elements.found if "id" in attributes}
    assert {link[1:] for link in links if link.startswith("#")} <= anchors
    assert "./../table_1/mnist/vae/seed-0" in links
    assert (report.parent / "../table_1/mnist/vae/seed-0").is_dir()
    assert any("javascript%3Aalert" in link for link in links)


def test_names_on_the_page_and_titles_of_its_sections_are_unique(elements, text):
    names = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    assert len(names) == len(set(names))
    titles = re.findall(r"<h[1-4][^>]*>(.*?)</h[1-4]>", text)
    titles += re.findall(r'<details class="more[^>]*><summary>(.*?)</summary>', text)
    assert len(titles) > 12
    assert len(titles) == len(set(titles))


def test_the_page_begins_with_what_was_run_and_has_a_date(text):
    titles = re.findall(r"<h[23][^>]*>(.*?)</h[23]>", text)
    assert titles[:2] == ["What was run", "Experiment table_1"]
    assert titles.index("Beside the paper") > titles.index("Experiment kd")
    assert re.search(r"<p>\d{1,2} [A-Z][a-z]+ \d{4}, \d\d:\d\d UTC\. ", text)


def test_a_page_elsewhere_does_not_tell_where_the_runs_lie(report, tmp_path):
    root = report.parents[1]
    assert main([str(root / "figure_4" / "identity"), "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert str(root) not in text
    assert root.name not in text


def test_tables_have_scopes_and_pictures_say_what_they_show(elements):
    assert all(attributes.get("scope") in ("row", "col", "colgroup") for attributes in elements.of("th"))
    assert len(elements.of("caption")) >= 5
    assert all(len(attributes["alt"]) > 20 for attributes in elements.of("img"))


def test_a_picture_that_cannot_be_read_is_named_and_a_large_one_made_smaller(elements, text):
    assert "tsne.png cannot be read." in text
    assert max(int(attributes["width"]) for attributes in elements.of("img")) == 1000


def test_captions_say_steps_seeds_and_protocol(text):
    assert "MNIST; 60 steps; seeds 0, 1; fidelity=paper; probes=paper; probes.tap=z_e; " in text
    assert "trainer.max_steps=60 (default 40000)" in text
    assert "t-SNE of the test codes of MNIST, one panel each: VAE, Soft VQ-VAE" in text
    caption = (
        "coloured by class. 40,000 steps, seed 0, fidelity=paper, probes=paper, tap z_e; network.d=60 (default 64)."
    )
    assert caption in text


def test_runs_that_were_stopped_early_stand_apart_from_full_ones(text):
    before, after = text.split("<h3>Stopped early</h3>")
    assert "12.30" not in before
    assert "12.30" in after
    assert "Timer" in after


def test_a_lost_run_is_counted_where_it_would_have_been(text):
    assert len(re.findall(r"3 <span class=\"whole\">\(1 lost\)</span>", text)) >= 2  # the experiment's row, the paper's


def test_evaluations_appear(text):
    assert "Probed again: Experiment table_1" in text
    caption = re.search(r"measured of the same weights, by the protocol of each row; ([^<]*)", text)[1]
    assert caption == "MNIST; 40,000 steps; seed 0; fidelity=paper."  # no protocol: each row names its own
    assert re.search(r"berthelot</td>.*?61\.00", text, re.DOTALL)


def contrast(first: str, second: str) -> float:
    """WCAG 2's ratio of two colours #rrggbb."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_colours_can_be_read(dark):
    style = (files("softvq.report.write") / "template" / "style.css").read_text("utf-8")
    colours = dict(re.findall(r"--([\w-]+): (#\w{6});", style.split("prefers-color-scheme: dark")[dark]))
    pairs = [(text, back) for text in ("text", "quiet", "link") for back in ("page", "raised", "mark")]
    pairs += [(name, f"{name}-back") for name in ("good", "up", "down", "none")]
    assert min(contrast(*(colours[name] for name in pair)) for pair in pairs) >= 4.5


# In a browser.


@pytest.fixture(scope="module")
def browser(report):
    """Headless Chromium showing the page, with its network and console kept."""
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tempfile.mkdtemp()
    flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-dev-shm-usage"
    background = "disable-background-networking disable-component-update disable-sync hide-scrollbars"
    for flag in (*flags.split(), *background.split(), f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    try:
        driver.get(report.as_uri())
        yield driver
    finally:
        driver.quit()
        shutil.rmtree(profile, ignore_errors=True)


def show(browser, width: int, dark: bool = False) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


@in_browser
def test_the_page_asks_for_nothing_and_raises_no_error(browser, report):
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    requests = {request["request"]["url"] for request in sent if request["documentURL"] == report.as_uri()}
    assert {url for url in requests if not url.startswith("data:")} == {report.as_uri()}
    assert not [request for request in sent if request["request"]["url"].startswith(("http", "ws"))]
    assert browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)") == []
    assert browser.get_log("browser") == []


@in_browser
def test_pictures_and_plots_show(browser):
    sizes = browser.execute_script("return Array.from(document.images, i => [i.complete, i.naturalWidth])")
    assert len(sizes) > 8
    assert all(complete and width > 0 for complete, width in sizes)


FIRST_TABLE = """
const table = document.querySelector("table.paper-table");
return Array.from(table.tBodies[0].rows, row => [row.cells[0].innerText.trim(), row.cells[1].dataset.sort]);
"""


def click_column(browser, column: int) -> str:
    return browser.execute_script(
        """
        const head = document.querySelector("table.paper-table").tHead.rows[1].cells[arguments[0]];
        head.querySelector("button").click();
        return head.getAttribute("aria-sort");
        """,
        column,
    )


@in_browser
def test_a_click_sorts_and_a_second_one_turns_it_round_with_empty_cells_last(browser):
    before = browser.execute_script(FIRST_TABLE)
    assert click_column(browser, 1) == "ascending"
    up = browser.execute_script(FIRST_TABLE)
    assert click_column(browser, 1) == "descending"
    down = browser.execute_script(FIRST_TABLE)
    values = sorted(float(value) for _, value in before if value)
    assert [float(value) for _, value in up if value] == values
    assert [float(value) for _, value in down if value] == values[::-1]
    for rows in (up, down):
        assert {name for name, value in rows if not value} == {name for name, value in rows[-4:]}
    assert click_column(browser, 0) == "ascending"
    assert browser.execute_script(FIRST_TABLE) == before


@in_browser
@pytest.mark.parametrize("width", [390, 800, 1400])
def test_nothing_is_cut_at_any_width(browser, width):
    show(browser, width)
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script("return innerWidth") == width
    cut = "Array.from(document.querySelectorAll('.scroll')).filter(e => e.scrollWidth > e.clientWidth)"
    assert browser.execute_script(f"return {cut}.map(e => e.getAttribute('aria-label'))") == []


@in_browser
def test_a_number_leads_to_its_runs(browser):
    show(browser, 1280)
    browser.execute_script("document.querySelectorAll('details').forEach(d => { d.open = false; })")
    height, unfolded, runs = browser.execute_async_script(
        """
        const done = arguments[0];
        const link = document.querySelector("table.paper-table .ours a");
        addEventListener("hashchange", () => requestAnimationFrame(() => {
          const runs = document.getElementById(link.hash.slice(1));
          done([runs.getBoundingClientRect().height, runs.open, runs.querySelectorAll("li").length]);
        }), { once: true });
        link.click();
        """
    )
    assert height > 0  # the section around it is unfolded, too
    assert (unfolded, runs) == (True, 1)  # raw data, one run


@in_browser
def test_the_dark_has_colours_of_its_own(browser):
    colours = []
    for dark in (False, True):
        show(browser, 1280, dark)
        colours.append(
            browser.execute_script(
                "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color, "
                "getComputedStyle(document.querySelector('.chip')).backgroundColor]"
            )
        )
    light, night = colours
    assert all(a != b for a, b in zip(light, night, strict=True))


@in_browser
def test_a_verdict_is_told_by_words_and_a_mark_not_by_colour_alone(browser):
    texts = set(
        browser.execute_script("return Array.from(document.querySelectorAll('.chip'), c => c.textContent.trim())")
    )
    assert {"= match", "\N{EN DASH} not run"} <= texts
    assert [text for text in texts if not re.fullmatch(r"\S \w[\w ]+", text)] == []
