"""What the benchmarks make of their measurements, and what a run must not load before its first step."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sweeps import ROOT

BENCHMARKS = ROOT / "benchmarks"
LATER = {"wandb", "torchvision", "sklearn", "matplotlib", "ray", "submitit", "tensorboard", "joblib"}


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


def packages(modules: list[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


@pytest.mark.slow
@pytest.mark.process
def test_what_a_first_step_does_not_need_is_not_loaded_for_it(tmp_path: Path) -> None:
    for split in ("train", "test"):
        np.save(
            tmp_path / f"{split}_images.npy",
            np.zeros((20, 8, 8), np.uint8) + np.arange(20, dtype=np.uint8)[:, None, None],
        )
        np.save(tmp_path / f"{split}_labels.npy", np.arange(20) % 2)
    loaded = tmp_path / "modules.json"
    ended = subprocess.run(
        [
            sys.executable,
            str(ROOT / "train.py"),
            "data=arrays",
            f"data.dir={tmp_path}",
            f"data.root={tmp_path}",
            f"hydra.run.dir={tmp_path / 'run'}",
            "trainer.threads=1",
            "trainer.accelerator=cpu",
            "+trainer.callbacks.watch._target_=first_step.FirstStep",
        ],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(BENCHMARKS), os.environ.get("PYTHONPATH")])),
            "SOFTVQ_WATCH": str(loaded),
        },
        capture_output=True,
        text=True,
    )
    assert loaded.exists(), ended.stderr
    # Lightning itself loads some of them.
    script = "import sys, json, torch, lightning; print(json.dumps(list(sys.modules)))"
    least = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    ours = packages(json.loads(loaded.read_text()))
    assert {"torch", "lightning", "softvq"} <= ours
    assert not (ours - packages(json.loads(least))) & LATER


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_a_power_law_has_its_exponent(power: float) -> None:
    from growth import exponent

    values = [1, 2, 4, 8, 16]
    assert exponent(values, [3.0 * value**power for value in values]) == pytest.approx(power)


def test_a_constant_part_does_not_hide_what_is_quadratic() -> None:
    from growth import SURPRISE, exponent

    values = [16, 64, 256, 1024]
    found = exponent(values, [1000 + value**2 / 10 for value in values])
    assert found is not None
    assert found > SURPRISE


@pytest.mark.parametrize(("median", "at_most", "met"), [(1.1, True, True), (1.2, True, False), (1.2, False, True)])
def test_a_target_is_a_limit_from_above_or_below(median: float, at_most: bool, met: bool) -> None:
    from table import Row, exactly

    assert Row("step", exactly(median), None, 1.15, at_most).met is met


def test_only_what_is_between_the_markers_is_written() -> None:
    from document import BEGIN, END, between_markers

    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    written = between_markers(page, "new")
    assert written.startswith(f"before\n{BEGIN}\n")
    assert written.endswith(f"{END}\nafter\n")
    assert "new" in written
    assert "old" not in written
    assert between_markers(written, "new") == written


def test_a_page_without_markers_is_refused() -> None:
    from document import BEGIN, between_markers

    with pytest.raises(ValueError, match="once each"):
        between_markers(f"{BEGIN}\n", "new")


@pytest.mark.filterwarnings("ignore:.*srun.*", "ignore:.*GPU available.*", "ignore:.*LeafSpec.*")
def test_seeds_at_once_are_told_as_runs_an_hour() -> None:
    from document import seeds_part
    from seeds import measure

    sizes = ["network.encoder.hidden=[8]", "network.decoder.hidden=[8]"]
    seeds = measure("cpu", seeds=[2], steps=12, warm=2, repeats=1, overrides=sizes)
    alone, both = seeds["ms_per_step"]["alone"]["median"], seeds["ms_per_step"]["2"]["median"]
    assert f"| 2 at once | {both:.2f} | {2 * alone / both:.2f} (" in seeds_part(seeds)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells")
def test_memory_of_a_mapped_file_is_what_was_read_of_it(tmp_path: Path) -> None:
    from run import proportional_mb

    size = 8 * 2**20
    np.save(tmp_path / "images.npy", np.zeros(size, np.uint8))
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert images.sum() == 0  # reads every page
    mapped, everything = proportional_mb(os.getpid(), tmp_path)
    assert mapped == pytest.approx(8, abs=0.1)
    assert everything > mapped
