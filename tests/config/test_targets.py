"""Which classes a recorded configuration may name: softvq's, and what the user named elsewhere."""

import json
import re
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from softvq.config.compose import CONF_DIR, compose, options
from softvq.config.identity import config_hash
from softvq.config.targets import (
    CALLBACKS,
    INITIALISERS,
    OPTIMIZERS,
    UntrustedTargetError,
    check_recorded,
    check_targets,
    is_known,
    missing_target,
    named_in,
    targets,
)
from softvq.run.load import load_run, trusted_here
from softvq.run_folder import DamagedFileError

# What runs what an argument says, by itself or through names that modules of ours happen to know.
HOSTILE = (
    *("os.system", "posix.system", "subprocess.run", "builtins.eval", "builtins.exec", "eval"),
    "importlib.import_module",
    *("torch.load", "torch.hub.load", "torch.serialization.load", "torch.jit.load", "torch.package.PackageImporter"),
    *("joblib.load", "numpy.load", "pickle.loads", "pickle.load", "dill.loads", "cloudpickle.loads"),
    "yaml.unsafe_load",
    *("sympy.sympify", "pandas.eval", "pandas.read_pickle", "sklearn.utils.fixes.parse_version", "timeit.timeit"),
    *("hydra.utils.instantiate", "hydra.utils.get_method", "hydra.utils.call", "hydra._internal.utils._locate"),
    *("functools.partial", "operator.methodcaller", "ctypes.CDLL", "shutil.rmtree", "pathlib.Path", "webbrowser.open"),
    "softvq.bottlenecks.codebook.torch.load",
    "softvq.bottlenecks.vq.torch.hub.load",
    "softvq.data.prepared.os.system",
    "softvq.data.prepared.shutil.rmtree",
    "softvq.data.image_folder.Path",
    "softvq.durable_files.write_text",
    "softvq.run.evaluate.evaluate_run",
    "softvq.command.main",
    "softvq.extras.needed",
    "softvq.losses.nn.Module",
    "softvq.losses",
    "softvq",
    "torch.optim",
    "torch.optim.Adam.step",
    "torch.optim.lr_scheduler.LambdaLR",
    "torch.nn.init.torch.load",
    "lightning.pytorch.callbacks.LambdaCallback",
    "lightning.pytorch.cli.LightningCLI",
    "",
    "torch.optim.Adam ",
    "torch.optim.Adam\n",
)


@pytest.mark.parametrize("chosen", [("data=svhn", "fidelity=released"), ("data=image_folder", "data.dir=x")])
def test_what_the_shipped_configurations_name_is_known(chosen: tuple[str, ...]) -> None:
    plain = OmegaConf.to_container(compose("train", chosen))
    assert len(list(targets(plain))) >= 7
    check_targets(plain, "config.yaml")


@pytest.mark.parametrize("group", ["bottleneck", "data", "network", "probes", "logger"])
def test_every_choice_names_what_is_known(group: str) -> None:
    for option in options(group):
        check_targets(yaml.safe_load((CONF_DIR / group / f"{option}.yaml").read_text()), "config.yaml")


def test_what_is_known_exists() -> None:
    for target in (*OPTIMIZERS, *INITIALISERS, *named_in([CONF_DIR])):
        if not target.startswith("hydra_plugins."):
            assert missing_target("key", target) is None
    found = [target for target in CALLBACKS if target.startswith("lightning.") and not missing_target("key", target)]
    assert len(found) >= 7


@pytest.mark.parametrize("target", HOSTILE)
def test_what_runs_code_is_refused_before_anything_is_imported(target: str) -> None:
    is_known("softvq.losses.GaussianReconstruction")  # reads the shipped configurations, once a process
    before = set(sys.modules)
    with pytest.raises(UntrustedTargetError):
        check_targets({"bottleneck": {"_target_": target}}, "config.yaml")
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    "config",
    [
        {"bottleneck": {"_target_": "softvq.bottlenecks.identity.Identity", "d": {"_target_": "torch.load", "f": "x"}}},
        {"network": {"encoder": {"hidden": [1, {"_target_": "torch.load", "_partial_": True}]}}},
        {"network": {"encoder": {"hidden": [[[{"deep": {"_target_": "torch.load"}}]]]}}},
        {"trainer": {"callbacks": {"t": {"_target_": "torch.load", "_partial_": True}}}},
        {"optimizer": {"_args_": [{"_target_": "torch.load"}]}},
        {"note": {"_target_": "torch.load"}},
        {"bottleneck": {"_target_": ["torch.load"]}},
        {"bottleneck": {"_target_": {"_target_": "torch.load"}}},
        {"bottleneck": {"_target_": None}},
        {"bottleneck": {"_target_": 5}},
    ],
)
def test_it_is_refused_at_any_depth(config: dict[str, object]) -> None:
    with pytest.raises(UntrustedTargetError, match=r"^runs/config\.yaml: "):
        check_recorded(config, "runs/config.yaml")


def test_the_message_names_key_value_and_way_out() -> None:
    with pytest.raises(UntrustedTargetError) as error:
        check_recorded({"bottleneck": {"_target_": "half.Half"}}, "runs/config.yaml")
    assert str(error.value) == (
        "runs/config.yaml: bottleneck._target_ is half.Half, which is no part of softvq and is not called; "
        "if you trust it, add trust=[half.Half], or name it in conf/ of the current folder"
    )


def test_what_the_user_named_elsewhere_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "bottleneck").mkdir()
    (tmp_path / "bottleneck" / "half.yaml").write_text("_target_: half.Half\nd: ${network.d}\n")
    (tmp_path / "bottleneck" / "odd.yaml").write_bytes(b"\xff_target_: 'odd.Odd'\n")
    assert named_in([tmp_path]) == {"half.Half", "odd.Odd"}
    check_recorded({"bottleneck": {"_target_": "half.Half"}}, "config.yaml", named_in([tmp_path]))


def test_a_runs_own_folder_vouches_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who changes to a run's folder to look at it has that run's `conf/` in front of them, not their own."""
    for place in ("mine", "run"):
        (tmp_path / place / "conf" / "bottleneck").mkdir(parents=True)
        (tmp_path / place / "conf" / "bottleneck" / "half.yaml").write_text("_target_: half.Half\n")
    (tmp_path / "run" / "below").mkdir()
    (tmp_path / "run" / "below" / "conf").symlink_to("../conf")
    (tmp_path / "link").symlink_to("run")
    monkeypatch.chdir(tmp_path / "mine")
    assert trusted_here(tmp_path / "run") == {"half.Half"}
    for place in ("run", "run/below", "link"):
        monkeypatch.chdir(tmp_path / place)
        for run in (tmp_path / "run", tmp_path / "link"):
            assert trusted_here(run) == set()


@pytest.mark.parametrize("value", ["${oc.env:HOME}", "a${bottleneck.K}", "${run_name:logs}", "${oc.decode:'1'}"])
def test_a_recorded_value_is_no_reference(value: str) -> None:
    with pytest.raises(UntrustedTargetError, match="a run writes values, never references"):
        check_recorded({"data": {"tags": ["x", value]}}, "config.yaml")


@pytest.mark.slow
@given(st.text(max_size=40) | st.from_regex(r"[a-z_]+(\.[a-zA-Z_]+){0,4}", fullmatch=True))
def test_nothing_is_known_but_softvqs_own_pytorchs_and_lightnings(target: str) -> None:
    assert not is_known(target) or target.split(".")[0] in ("softvq", "torch", "lightning", "pytorch_lightning")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("torch.optim.Adm", "optimizer._target_=torch.optim.Adm: torch.optim has no Adm; did you mean Adam?"),
        ("nothing_of_that_name.Half", "there is no module nothing_of_that_name; it must be installed, or lie in the"),
        ("torch.optim.lr_scheduler.math.pi", "there is no module torch.optim.lr_scheduler.math"),
        ("math.pi", "pi is no class or function"),
    ],
)
def test_what_does_not_exist_is_named(target: str, message: str) -> None:
    found = missing_target("optimizer._target_", target)
    assert found is not None
    assert message in found


@pytest.mark.parametrize("target", ["torch.load", "joblib.load", "torch.hub.load", "half.Half"])
def test_a_run_of_somebody_elses_is_not_built_from_what_its_configuration_names(target: str, tmp_path: Path) -> None:
    settings = {"bottleneck": {"_target_": target, "f": "payload"}, "seed": 0, "data": {}, "probes": {}, "trainer": {}}
    config = OmegaConf.create({**settings, "choices": {}, "result_settings": settings})
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(config))
    (tmp_path / "metrics.json").write_text(json.dumps({"config_hash": config_hash(settings)}))
    with pytest.raises(UntrustedTargetError, match=re.escape(f"bottleneck._target_ is {target}, which is no part of")):
        load_run(tmp_path)
    with pytest.raises(DamagedFileError, match="status"):  # trusted, it is read on: this one has no results
        load_run(tmp_path, trust=[target])
