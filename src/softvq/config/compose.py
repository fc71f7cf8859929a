"""Composing a configuration as the command line does."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

PACKAGE = Path(__file__).parents[1]
# A wheel carries the configurations inside the package; a checkout has them at its top.
CONF_DIR = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parents[1] / "conf"
NOT_CHOICES = {"base"}  # a file that others of its group extend


def compose(
    config_name: str, overrides: Sequence[str], own: Sequence[Path] = (), return_hydra_config: bool = False
) -> DictConfig:
    """Composes a configuration as the command line would, whatever Hydra application is running.

    Args:
        config_name: of the program: `train` or `evaluate`.
        overrides: as typed.
        own: folders of configurations beside the package's own, see `own_folders`.
        return_hydra_config: with the part under `hydra`.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.config_search_path import SearchPathQuery
    from hydra.core.global_hydra import GlobalHydra

    running = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()  # Hydra allows one at a time
    try:
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            search_path = GlobalHydra.instance().config_loader().get_search_path()
            for folder in own:
                search_path.prepend("own", f"file://{folder}", SearchPathQuery(provider="schema"))
            return hydra_compose(config_name, overrides=list(overrides), return_hydra_config=return_hydra_config)
    finally:
        GlobalHydra.instance().hydra = running


def current_conf() -> list[Path]:
    """`conf/` of the current folder, where that is not the package's own."""
    own = Path("conf").resolve()
    return [own] if own.is_dir() and own != CONF_DIR else []


def searched() -> list[Path]:
    """The folders in which the composition under way looks for its files, in order."""
    from hydra.core.global_hydra import GlobalHydra

    paths = [element.path for element in GlobalHydra.instance().config_loader().get_search_path().get_path()]
    return [Path(path.removeprefix("file://")) for path in paths if path and "://" not in path.removeprefix("file://")]


def own_folders(hydra: DictConfig) -> list[Path]:
    """The user's own folders of configurations: `./conf`, `--config-dir` and `hydra.searchpath`.

    Args:
        hydra: the part under `hydra` of what the running program composed.
    """
    sources = [source.path for source in hydra.runtime.config_sources if source.schema == "file"]
    return [Path(source) for source in sources if Path(source) != CONF_DIR]


def refuse_shadowed(hydra: DictConfig) -> None:
    """Refuses a file of one's own that would not be read because a shipped file of its group has the same name.

    Args:
        hydra: the part under `hydra` of what the running program composed.

    Raises:
        ValueError: naming the file and the way out.
    """
    for group, choice in hydra.runtime.choices.items():
        shipped = CONF_DIR / group / f"{choice}.yaml"
        for folder in own_folders(hydra):
            own = folder / group / f"{choice}.yaml"
            if own.is_file() and shipped.is_file() and own.read_bytes() != shipped.read_bytes():
                raise ValueError(
                    f"{group}={choice}: {own} is not read, as softvq has a choice of that name; give yours another"
                )


def options(group: str, own: Sequence[Path] = ()) -> list[str]:
    """The choices of a group, by the names of its files."""
    files = [path for folder in (CONF_DIR, *own) for path in (folder / group).glob("*.yaml")]
    return sorted({path.stem for path in files} - NOT_CHOICES)


def groups() -> list[str]:
    """The groups whose choices are made by name."""
    return sorted(path.name for path in CONF_DIR.iterdir() if path.is_dir() and path.name not in ("hydra", "preset"))


def built_network(config: DictConfig, chosen: str) -> str:
    """The choice of `network` that a configuration builds: released presets put `conv_spatial` in place of `conv`."""
    for path in sorted((CONF_DIR / "network").glob(f"{chosen}*.yaml")):
        if OmegaConf.select(OmegaConf.load(path), "encoder._target_") == config.network.encoder._target_:
            return path.stem
    return chosen


def without_hydra(composed: DictConfig) -> DictConfig:
    """A copy of a composed configuration without its part under `hydra`."""
    return OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])


def settings_of(config: DictConfig) -> dict[str, Any]:
    """Every setting outside `hydra` by its dotted key, interpolations as they are written, mappings left out."""
    found: dict[str, Any] = {}

    def walk(node: Any, key: str) -> None:
        if isinstance(node, Mapping) and (node or not key):
            for name, value in node.items():
                walk(value, f"{key}.{name}" if key else str(name))
        else:
            found[key] = node

    walk(OmegaConf.to_container(without_hydra(config)), "")
    return found


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
