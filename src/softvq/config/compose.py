"""Composing a configuration as the command line does, and the names of run folders that follow from it."""

import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

CONF_DIR = Path(__file__).parents[3] / "conf"

# Overrides that say where or how a run happens, not what it computes: they leave its folder's name alone.
WHERE_NOT_WHAT = re.compile(
    r"^[+~]*(hydra[./]|logger\b|resume\b|data\.(root|dir|name|verify|eval_batch_size)\b|probes\.(save_latents|tsne_points)\b|"
    r"trainer\.(accelerator|cuda_graph|devices|seeds_per_process|members|threads|progress|log_every_n_steps|"
    r"checkpoint_\w+)\b)"
)
NAMED_IN_FOLDER = re.compile(r"^(experiment|bottleneck|data|seed|experiment_name)=")


def run_name(experiment: str, data: str, choices: Mapping[str, Any], overrides: Sequence[str], seed: int) -> str:
    """The folder of a run below `logs/`: EXPERIMENT/DATA/BOTTLENECK/seed-N, and a short hash of other overrides.

    The same choices give the same name, in a single run and in a sweep, whatever the order of the overrides.
    """
    others = sorted(o for o in overrides if not WHERE_NOT_WHAT.match(o) and not NAMED_IN_FOLDER.match(o))
    suffix = "-" + hashlib.sha256("\n".join(others).encode()).hexdigest()[:8] if others else ""
    parts = (experiment, data, choices["bottleneck"], f"seed-{seed}{suffix}")
    return "/".join(re.sub(r"[^A-Za-z0-9._-]+", "-", str(part)) for part in parts)


TABLE_OF_DATA = {
    **dict.fromkeys(("mnist", "fashion_mnist", "digits"), "table_1"),
    **dict.fromkeys(("svhn", "cifar10"), "table_2"),
}


def table(data: str, network: str) -> str:
    """The table of the paper whose settings (K, beta, steps) a data set takes; one's own takes its network's."""
    return TABLE_OF_DATA.get(data, "table_2" if network.startswith("conv") else "table_1")


def register_resolvers() -> None:
    """Makes `${run_name:...}` and `${table:...}` known to OmegaConf; harmless when repeated."""
    OmegaConf.register_new_resolver("run_name", run_name, replace=True)
    OmegaConf.register_new_resolver("table", table, replace=True)


register_resolvers()


def compose(config_dir: str | Path, config_name: str, overrides: Sequence[str]) -> DictConfig:
    """Composes a configuration as the command line would, whatever Hydra application is running."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()  # there can be but one
    try:
        with initialize_config_dir(str(Path(config_dir).resolve()), version_base="1.3"):
            return hydra_compose(config_name, overrides=list(overrides))
    finally:
        GlobalHydra.instance().hydra = running


def built_network(config: DictConfig, chosen: str) -> str:
    """The choice of `network` that a configuration builds: released presets put `conv_spatial` in place of `conv`."""
    for path in sorted((CONF_DIR / "network").glob(f"{chosen}*.yaml")):
        if OmegaConf.select(OmegaConf.load(path), "encoder._target_") == config.network.encoder._target_:
            return path.stem
    return chosen


def leaf_keys(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Every dotted key of a nested mapping, inner nodes included."""
    keys = []
    for name, value in config.items():
        keys.append(f"{prefix}{name}")
        if isinstance(value, Mapping):
            keys += leaf_keys(value, f"{prefix}{name}.")
    return keys


def nearest(word: str, words: Sequence[str]) -> str:
    """`; did you mean X?` for a near miss, else nothing."""
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""
