"""Every bottleneck has a page, in the site's navigation, whose code says what is true."""

import re

import pytest
import torch
from cells import ROOT

from softvq.config.compose import options

PAGES = sorted((ROOT / "docs" / "bottlenecks").glob("*.md"))
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page):
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert len(blocks) == 1
    torch.manual_seed(0)
    exec(compile(blocks[0], page.name, "exec"), {})


def test_every_bottleneck_has_its_numbers_on_a_page():
    shown = {name for page in PAGES for name in re.findall(r"zoo_of ([\w ]+) -->", page.read_text(encoding="utf-8"))}
    assert {name for names in shown for name in names.split()} == set(options("bottleneck"))


def test_the_site_and_the_overview_lead_to_every_page():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    overview = (ROOT / "docs" / "bottlenecks.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert f"bottlenecks/{page.name}" in navigation
        assert f"(bottlenecks/{page.name})" in overview
