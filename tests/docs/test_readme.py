"""The README: its bottleneck works on every network and fidelity; its table names every bottleneck that there is."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cells import ROOT, SMALL_CONV, SMALL_MLP
from zoo import in_file

from softvq.config.compose import compose, options

README = (ROOT / "README.md").read_text()
FILE = re.compile(r"```(?:python|yaml)\n(# (?P<path>\S+)\n.*?)```", re.DOTALL)
QUICK = (
    *("trainer.max_steps=3", "trainer.threads=1"),
    *("probes=fast", "probes.tsne_points=20", "probes.clustering.n_init=1"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The README's two files beside small colour images."""
    folder = tmp_path_factory.mktemp("readme")
    files = {match["path"]: match[1] for match in FILE.finditer(README)}
    assert sorted(files) == ["conf/bottleneck/sphere.yaml", "sphere.py"]
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    random = np.random.default_rng(0)
    for part, number in (("train", 64), ("test", 30)):
        np.save(folder / f"{part}_images.npy", random.integers(256, size=(number, 16, 16, 3), dtype=np.uint8))
        np.save(folder / f"{part}_labels.npy", np.arange(number) % 3)
    return folder


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(
    "chosen",
    [
        ("network=mlp", *SMALL_MLP),
        ("network=conv", *SMALL_CONV),
        ("network=conv_spatial", *SMALL_CONV),
        ("network=conv", "fidelity=released", *SMALL_CONV),
        ("network=conv", "probes.tap=direction", *SMALL_CONV),
    ],
    ids=lambda chosen: "-".join(chosen[:2]),
)
def test_the_bottleneck_of_the_readme_works(chosen: tuple[str, ...], folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    data = ("data=arrays", "data.dir=.", "data.name=small")
    chosen = ("bottleneck=sphere", *data, *QUICK, *chosen, f"hydra.run.dir={run}")
    command = [sys.executable, "-m", "softvq", "train", *chosen]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["bottleneck"], metrics["steps"]) == ("sphere", 3)


@pytest.mark.parametrize("network", ["conv", "conv_spatial"])
def test_the_release_builds_its_network_around_the_readmes_bottleneck_too(network: str, folder: Path) -> None:
    chosen = ("fidelity=released", "data=svhn", f"network={network}")
    ours = compose("train", [*chosen, "bottleneck=sphere"], [folder / "conf"])
    assert ours.network == compose("train", [*chosen, "bottleneck=identity"]).network


def test_the_table_names_every_bottleneck_and_its_file() -> None:
    section = README.split("## Bottlenecks\n")[1].split("\n## ")[0]
    named: dict[str, str] = {}
    for line in section.splitlines()[3:]:
        if line.startswith("| `"):
            names, file = line.split("|")[1], re.search(r"\(([\w/.]+)\)", line)
            named |= dict.fromkeys(re.findall(r"`(\w+)`", names), file[1] if file else "")
    assert sorted(named) == options("bottleneck")
    for name, file in named.items():
        module = in_file(name, "_target_").rpartition(".")[0]
        assert file == f"src/{module.replace('.', '/')}.py"


def test_every_link_of_the_public_files_leads_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/fidelity.md", "docs/extending.md"):
        links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text())
        for link in links:
            assert (ROOT / page).parent.joinpath(link).exists(), f"{page}: {link}"


def test_the_table_of_differences_has_a_row_for_each() -> None:
    rows = re.findall(r"^\| (\d+) \|", (ROOT / "docs/fidelity.md").read_text(), re.MULTILINE)
    assert rows == [str(number) for number in range(1, 32)]
