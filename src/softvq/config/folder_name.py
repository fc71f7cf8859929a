"""The name of a run's folder: what was chosen, and what else differs from the defaults of those choices."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from softvq.config.compose import compose, own_folders, settings_of
from softvq.config.overrides import key_of

# Settings that say where or how a run happens, not what it computes: they leave its folder's name alone.
WHERE_NOT_WHAT = re.compile(
    r"(hydra[./]|logger\b|figures\b|resume$|data\.(root|verify|eval_batch_size)$|probes\.(save_latents|tsne_points)$|"
    r"trainer\.(accelerator|cuda_graph|devices|seeds_per_process|threads|progress|log_every_n_steps|"
    r"checkpoint_\w+)$)"
)
PLACES = ("experiment", "data", "bottleneck")  # groups whose choices are folders above the run's
NAMED_ABOVE = ("seed", "experiment_name", "data.name")  # settings that stand in the path or the name already
SHORT = ("network", "bottleneck", "data", "trainer", "optimizer")  # groups left out of a key that no other group has
LONGEST = 60  # characters of a suffix; a hash stands for the rest


def folder_name(composed: DictConfig, logs: str) -> str:
    """The folder of a run below `logs`: EXPERIMENT/DATA/BOTTLENECK/seed-N-KEY-VALUE...

    A setting stands in the name if its value is not the one that the choices made would give it, so that the name
    depends neither on the order of the overrides nor on how a value was typed. Where a name would be long, its short
    settings stay and a hash stands for the rest. Runs from before names were made like this had a hash of the overrides
    in their place, or were cut off in the order of the configuration; such a run's name is kept where it exists.

    Args:
        composed: the configuration with its part under `hydra`.
        logs: the folder of all runs; only looked at.
    """
    typed = list(composed.hydra.overrides.task)
    choices = dict(composed.hydra.runtime.choices)
    above = (composed.experiment_name, composed.data.name, choices["bottleneck"])
    start = "/".join(_plain(str(part)) for part in above) + f"/seed-{_plain(str(composed.seed))}"
    parts = _parts(composed, choices, typed)
    name = start + _suffix(parts, sorted(parts, key=len))
    if not Path(logs, name).exists():
        for old in (start + _suffix(parts, parts), start + _old_suffix(typed)):
            if old != name and _holds_run(Path(logs, old), composed):
                return old
    return name


def _suffix(parts: Sequence[str], shown_first: Sequence[str]) -> str:
    """What follows the seed in a name; where it would be long, as much of `shown_first` as fits and a hash of all."""
    plain = [_plain(part) for part in parts]
    suffix = "-".join(plain)
    if plain != list(parts) or len(suffix) > LONGEST:
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
        shown = "-".join(map(_plain, shown_first))
        suffix = f"{shown[: LONGEST - 9].rstrip('.-_')}-{digest}"
    return f"-{suffix}" if suffix else ""


def _parts(composed: DictConfig, choices: Mapping[str, Any], typed: Sequence[str]) -> list[str]:
    """What is chosen beside the folders above, then the changed settings, in the order of the configuration."""
    chosen = {key: override for override in typed if (key := key_of(override)) in choices}
    if len(chosen) == len(typed) and all(group in PLACES for group in chosen):
        return []  # nothing else was typed
    own = tuple(own_folders(composed.hydra))
    above = _default(tuple(chosen[group] for group in PLACES if group in chosen), own)
    others = [group for group in chosen if group not in PLACES and not WHERE_NOT_WHAT.match(group)]
    default = _default(tuple(chosen[group] for group in sorted([*others, *(chosen.keys() & set(PLACES))])), own)
    parts = [
        f"{group.rsplit('/', 1)[-1]}-{choices[group]}"
        for group, usual in above.hydra.runtime.choices.items()
        if group in others and choices[group] != usual
    ]
    if choices["experiment"] and composed.experiment_name != above.experiment_name:
        parts.append(f"experiment-{choices['experiment']}")
    return [*parts, *_changes(composed, default)]


@cache
def _default(overrides: tuple[str, ...], own: tuple[Path, ...]) -> DictConfig:
    """What choices alone compose."""
    return compose("train", overrides, own, return_hydra_config=True)


def _changes(composed: DictConfig, default: DictConfig) -> list[str]:
    """`KEY-VALUE` for each setting that differs from the default; what only follows another setting does not count."""
    usual, now = settings_of(default), settings_of(composed)
    found = []
    for key in [*usual, *sorted(now.keys() - usual.keys())]:
        if WHERE_NOT_WHAT.match(key) or key in NAMED_ABOVE or {} in (usual.get(key), now.get(key)):
            continue
        if key not in now:
            found.append(f"{_short(key, usual)}-removed")
        elif key not in usual or not _same(now[key], usual[key]):
            value = _value(composed, key)
            if key == "data.dir":
                if composed.data.name == default.data.name:  # no label of its own says which data these are
                    found.append(f"dir-{Path(str(value)).expanduser().resolve().name}")
            elif key not in usual or not _same(value, _value(default, key)):
                found.append(f"{_short(key, usual)}-{_text(value)}")
    return found


def _value(config: DictConfig, key: str) -> Any:
    try:
        return OmegaConf.select(config, key)
    except OmegaConfBaseException:
        return None  # it depends on a value that the data's files will tell


def _same(a: Any, b: Any) -> bool:
    """Whether two values are one setting: 1 and 1.0 are, 1 and true are not."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return bool(a == b)


def _short(key: str, keys: Mapping[str, Any]) -> str:
    """A key without its group, where the groups before it have no such key."""
    group, _, rest = key.partition(".")
    if group not in SHORT or rest in keys:
        return key
    before = SHORT[: SHORT.index(group)]
    return key if any(f"{other}.{rest}" in keys for other in before) else rest


def _text(value: Any) -> str:
    """A value as it stands in a name, the same however it was typed."""
    if isinstance(value, bool) or value is None:
        return str(value).lower().replace("none", "null")
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "-".join(_text(item) for item in value)
    return str(value)


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)


def chosen_settings(typed: Sequence[str], choices: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys of the settings among the overrides that say what is computed; choices of groups are none.

    Args:
        typed: the overrides of one cell.
        choices: group -> choice.
    """
    keys = (key_of(override) for override in typed if not override.startswith("~"))
    named = ("seed", "data.name", "data.dir", "experiment_name")
    return tuple(dict.fromkeys(k for k in keys if k not in choices and k not in named and not WHERE_NOT_WHAT.match(k)))


def _old_suffix(typed: Sequence[str]) -> str:
    """The hash that once stood for the overrides as they were typed."""
    ignored = re.compile(
        r"^[+~]*(hydra[./]|logger\b|resume\b|data\.(root|dir|name|verify|eval_batch_size)\b|"
        r"probes\.(save_latents|tsne_points)\b|trainer\.(accelerator|cuda_graph|devices|seeds_per_process|members|"
        r"threads|progress|log_every_n_steps|checkpoint_\w+)\b|(experiment|bottleneck|data|seed|experiment_name)=)"
    )
    others = sorted(override for override in typed if not ignored.match(override))
    return "-" + hashlib.sha256("\n".join(others).encode()).hexdigest()[:8] if others else ""


def _holds_run(folder: Path, composed: DictConfig) -> bool:
    """Whether an old folder holds a run, and of these data: the folder of one's own had no part in the old names."""
    config = folder / "config.yaml"
    if not composed.data.get("dir"):
        return config.exists()
    data = Path(str(composed.data.dir)).expanduser().resolve()
    return config.is_file() and f"dir: {data}\n" in config.read_text(encoding="utf-8", errors="replace")
