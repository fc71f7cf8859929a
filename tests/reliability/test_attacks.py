"""What a recorded configuration may not name: whatever loads, runs or looks up something, however it is put."""

import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from softvq.config.targets import UntrustedTargetError, check_recorded

LOADERS = (
    *("torch.load", "torch.jit.load", "torch.package.PackageImporter", "torch.hub.load", "torch.export.load"),
    *("torch.hub.load_state_dict_from_url", "torch.utils.cpp_extension.load", "torch.utils.cpp_extension.load_inline"),
    *("joblib.load", "numpy.load", "pandas.read_pickle", "shelve.open", "dill.load", "yaml.unsafe_load"),
    *("lightning.fabric.utilities.cloud_io._load", "lightning.pytorch.core.saving._load_state", "onnx.load"),
    *("omegaconf.OmegaConf.load", "logging.config.fileConfig", "xml.sax.parse", "PIL.Image.open", "ctypes.CDLL"),
)
RUNNERS = (
    *("builtins.exec", "builtins.eval", "runpy.run_path", "runpy.run_module", "importlib.import_module"),
    *("subprocess.Popen", "os.system", "os.posix_spawn", "pty.spawn", "webbrowser.open", "timeit.timeit", "pdb.run"),
    *("multiprocessing.Process", "threading.Thread", "logging.config.listen", "torch.distributed.run.main"),
    *("sympy.sympify", "numexpr.evaluate", "pandas.eval", "wandb.init", "ray.init", "submitit.AutoExecutor"),
)
LOOK_UPS = (
    *("hydra.utils.instantiate", "hydra.utils.call", "hydra.utils.get_method", "functools.partial"),
    *("operator.attrgetter", "operator.methodcaller", "lightning.pytorch.Trainer"),
    *("lightning.pytorch.callbacks.LambdaCallback", "lightning.pytorch.callbacks.ModelCheckpoint"),
    # by what softvq's own modules have imported, and functions that are no parts of a model
    *("softvq.tracking.wandb.os.system", "softvq.data.prepared.shutil.rmtree", "softvq.networks.conv.torch.load"),
    *("softvq.run.load.load_run", "softvq.library.export.main", "softvq.data.files.opened", "softvq.stop.listen"),
    *("torch.optim.torch.load", "torch.nn.init.torch.load", "torch.optim.lr_scheduler.LambdaLR"),
    *("Torch.optim.Adam", " torch.optim.Adam", "torch.optim.Adam ", "torch.optim..Adam", "torch.optim.Adam\n"),
)


@pytest.mark.parametrize("target", [*LOADERS, *RUNNERS, *LOOK_UPS])
def test_it_is_no_part_of_softvq(target: str) -> None:
    nests = [
        {"bottleneck": {"_target_": target}},
        {"optimizer": {"_target_": "torch.optim.Adam", "betas": [{"_target_": target, "_partial_": True}]}},
        {"extra": [[{"deep": {"_args_": [{"_target_": target}]}}]]},
    ]
    for config in nests:
        with pytest.raises(UntrustedTargetError, match="which is no part of softvq and is not called"):
            check_recorded(config, "config.yaml")


@pytest.mark.process
def test_it_is_refused_before_its_module_is_imported(tmp_path: Path) -> None:
    """A module of the current folder would leave a mark when it is imported."""
    (tmp_path / "innocent.py").write_text("open('mark', 'w').write('imported')\nclass Half: pass\n")
    settings = {"bottleneck": {"_target_": "innocent.Half"}}
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create({**settings, "result_settings": settings})))
    (run / "metrics.json").write_text('{"config_hash": "0"}')
    done = subprocess.run(
        [sys.executable, "-m", "softvq", "evaluate", f"run={run}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {run / 'config.yaml'}: bottleneck._target_ is innocent.Half, which is no part")
    assert not (tmp_path / "mark").exists()
