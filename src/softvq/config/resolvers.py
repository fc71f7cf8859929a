"""The functions that the files of `conf/` call as `${name:...}`."""

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from softvq.config.compose import current_conf, options, searched
from softvq.config.folder_name import folder_name
from softvq.config.weights import image_numbers, image_pixels, mean_weight

TABLE_OF_DATA = {
    **dict.fromkeys(("mnist", "fashion_mnist", "digits"), "table_1"),
    **dict.fromkeys(("svhn", "cifar10"), "table_2"),
}

HELP_WIDTH = 100
HELP_COLUMN = 18  # of the choices in conf/hydra/help


def register() -> None:
    """Makes the functions known to OmegaConf; harmless when repeated."""
    functions: dict[str, Callable[..., Any]] = {
        "at_most": at_most,
        "run_name": run_name,
        "table": table,
        "body": body,
        "options": list_options,
        "own_conf": own_conf,
        "program": program,
        "mean_weight": mean_weight,
        "image_numbers": image_numbers,
        "image_pixels": image_pixels,
    }
    for name, function in functions.items():
        OmegaConf.register_new_resolver(name, function, replace=True)


def at_most(most: int, whole: int, parts: int) -> int:
    """`${at_most:MOST,WHOLE,PARTS}`: a part of a whole, and at most so many."""
    return max(1, min(most, -(-whole // parts)))  # rounded up: never more parts than that


def run_name(logs: str, *, _root_: DictConfig) -> str:
    """`${run_name:LOGS}`: the folder of the composed run below `LOGS`."""
    return folder_name(_root_, logs)


def table(data: str, network: str) -> str:
    """`${table:DATA,NETWORK}`: the paper's table whose K, beta and steps some data take; one's own its network's."""
    return TABLE_OF_DATA.get(data, "table_2" if body(network) == "conv" else "table_1")


def body(network: str) -> str:
    """`${body:NETWORK}`: the network that a network's file extends, over any number of files; itself if it is none's.

    What is preset for `conv` holds for `conv_spatial` and for one's own network whose file begins `defaults: [conv]`.
    """
    for folder in (*searched(), *current_conf()):
        file = folder / "network" / f"{network}.yaml"
        if file.is_file():
            extended: Any = OmegaConf.select(OmegaConf.load(file), "defaults", default=[])
            bases = [entry for entry in extended if isinstance(entry, str) and entry != "_self_"]
            return body(bases[0]) if bases else network
    return network


def list_options(group: str) -> str:
    """`${options:GROUP}`: the choices of a group in the second column of `--help`."""
    return textwrap.fill(", ".join(options(group)), HELP_WIDTH, subsequent_indent=" " * HELP_COLUMN)


def own_conf() -> ListConfig:
    """`${own_conf:}`: `conf/` of the current folder as Hydra's search path takes it, where that is not ours."""
    return ListConfig([f"file://{folder}" for folder in current_conf()])


def program(name: str) -> str:
    """`${program:NAME}`: how the running program was called, for `--help`."""
    script = Path(sys.argv[0])
    own = script.name == f"{name}.py" and script.parent.name != "command"
    return f"python {script.name}" if own else f"softvq {name}"
