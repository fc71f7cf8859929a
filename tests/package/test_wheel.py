"""The wheel, installed with nothing but what it depends on, in a folder that holds nothing of the repository."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 300

pytestmark = [pytest.mark.slow, pytest.mark.process, pytest.mark.timeout(2 * PATIENCE_S)]

# What the extras bring beyond the core, by the names of their modules.
OPTIONAL = re.compile(
    r"softvq|_editable_impl_softvq|hydra_plugins|submitit|ray$|tensorboard|wandb_workspaces|optuna|safetensors|onnx|"
    r"bokeh|vector_quantize_pytorch",
    re.IGNORECASE,
)
SMALL = ("network.encoder.hidden=[16]", "network.decoder.hidden=[16]", "trainer.threads=1", "probes.tsne_points=40")


class Installed:
    """An environment that holds the wheel and the installed packages but for those of the extras."""

    def __init__(self, folder: Path) -> None:
        wheels = folder / "dist"
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        (self.wheel,) = wheels.glob("*.whl")
        environment = folder / "venv"
        venv.create(environment, with_pip=True)
        self.bin = environment / "bin"
        command = [self.bin / "python", "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", self.wheel]
        subprocess.run(command, check=True)
        packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
        for entry in Path(sysconfig.get_path("purelib")).iterdir():
            if not OPTIONAL.match(entry.name) and not (packages / entry.name).exists():
                (packages / entry.name).symlink_to(entry)
        self.cwd = folder / "empty"
        self.cwd.mkdir()

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs `softvq ARGUMENTS` in the folder."""
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "SOFTVQ_DATA")}
        return subprocess.run(
            [str(self.bin / "softvq"), *arguments],
            cwd=self.cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )


@pytest.fixture(scope="module")
def softvq(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("wheel"))


def test_its_command_is_there_at_once_and_lists_what_can_be_done(softvq: Installed) -> None:
    done = softvq("--help")
    assert done.returncode == 0
    for command in ("train", "evaluate", "plan", "report", "dashboard"):
        assert re.search(rf"^  {command} ", done.stdout, re.MULTILINE)
    assert softvq("trian").returncode == 2


def test_a_model_is_trained_evaluated_planned_and_reported(softvq: Installed) -> None:
    chosen = ("data=digits", "trainer.max_steps=50", "probes=fast")
    done = softvq("train", *chosen)
    assert done.returncode == 0, done.stderr
    run = softvq.cwd / "logs/runs/digits/soft_vq/seed-0-probes-fast-max_steps-50"
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["status"], metrics["steps"]) == ("finished", 50)

    again = softvq("train", *chosen, "bottleneck.K=128")
    assert (again.returncode, again.stdout.split(":")[0]) == (0, "skipped")

    done = softvq("evaluate", f"run={run}", "probes=fast", "probes.tap=z_q")
    assert done.returncode == 0, done.stderr
    assert list((run / "evaluations").glob("*.json"))

    done = softvq("plan", *chosen, "bottleneck=soft_vq,vq")
    assert done.returncode == 0, done.stderr
    assert "2 cells: 1 finished, 1 to run" in done.stdout

    done = softvq("report")
    assert done.returncode == 0, done.stderr
    assert (softvq.cwd / "logs/report/report.html").stat().st_size > 1000


BOTTLENECK = """\
import torch
from torch import Tensor

from softvq.bottlenecks.base import Bottleneck, Latent


class Half(Bottleneck):
    def __init__(self, d: int) -> None:
        super().__init__()
        self.d = d

    @property
    def heads(self) -> dict[str, int]:
        return {"z_e": self.d}

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        z = heads["z_e"] / 2
        return Latent(z=z, penalty=z.new_zeros(()), terms={}, taps={"z_e": heads["z_e"]})
"""


def test_a_bottleneck_of_ones_own_is_found_beside_its_configuration(softvq: Installed) -> None:
    (softvq.cwd / "half.py").write_text(BOTTLENECK)
    (softvq.cwd / "conf/bottleneck").mkdir(parents=True)
    (softvq.cwd / "conf/bottleneck/half.yaml").write_text("_target_: half.Half\nd: ${network.d}\n")
    done = softvq("train", "bottleneck=half", "data=digits", "trainer.max_steps=5", "probes=fast", *SMALL)
    assert done.returncode == 0, done.stderr
    (run,) = (softvq.cwd / "logs/runs/digits/half").glob("*/metrics.json")
    assert json.loads(run.read_text())["bottleneck"] == "half"
    done = softvq("train", "bottleneck=hlaf")
    assert re.search(r"did you mean half\? There are .*\bhalf, identity", done.stderr)


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (("train", "-m", "hydra/launcher=slurm", "seed=0,1"), "sweep"),
        (("train", "-m", "hydra/launcher=local_ray", "seed=0,1", "trainer.max_steps=1", "probes=fast", *SMALL), "ray"),
        (("train", "logger=tensorboard", "trainer.max_steps=1", "probes=fast", *SMALL), "tensorboard"),
        (("dashboard", "--experiment", "table_1"), "dashboard"),
        (("train", "-m", "hydra/sweeper=search", "bottleneck.K=8,16", "data=digits"), "search"),
        (("train", "bottleneck=fsq", "data=digits", *SMALL), "vq"),
    ],
)
def test_what_an_extra_brings_is_named_with_the_command_that_installs_it(
    arguments: tuple[str, ...], extra: str, softvq: Installed
) -> None:
    done = softvq(*arguments)
    assert done.returncode == 1
    assert f"pip install 'softvq[{extra}]' brings it" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert "Error importing" not in done.stderr  # Hydra looks at every launcher, whichever is chosen


def test_every_extra_of_a_user_is_part_of_all() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    (whole,) = extras["all"]
    of_developers = {"all", "docs", "bench", "dev"}
    assert set(whole.removeprefix("softvq[").removesuffix("]").split(",")) == extras.keys() - of_developers
    core = {re.split(r"[><=\[]", requirement)[0] for requirement in project["dependencies"]}
    for name in (
        "torch",
        "torchvision",
        "lightning",
        "hydra-core",
        "omegaconf",
        "torchmetrics",
        "wandb",
        "scikit-learn",
        "scipy",
    ):
        assert name in core
