"""Loads what `softvq export` wrote."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from softvq.bounded_files import UnreadableFileError, first_line, read_bytes, read_json
from softvq.config.targets import UntrustedTargetError, check_recorded
from softvq.extras import needed
from softvq.machine import memory
from softvq.run.build import build_model
from softvq.run.load import classes_in, trusted_here
from softvq.seals import BROKEN, is_whole
from softvq.training.autoencoder import Autoencoder
from softvq.training.checkpoint_content import other_weights

FORMAT = 1  # of `config.json`
FILES = ("config.json", "model.safetensors")  # what a model is loaded from


def load_exported(folder: Path, trust: Sequence[str] = ()) -> tuple[Autoencoder, dict[str, Any], dict[str, Any]]:
    """The model that `softvq export` wrote, in evaluation mode, with its run's settings and results.

    Args:
        folder: with its files.
        trust: classes of one's own that it may name, beside those in `conf/` of the current folder.

    Raises:
        ValueError: if the folder's files are not what an export writes, or do not belong together.
    """
    description_file, weights_file = (folder / name for name in FILES)
    with needed("an exported model", "export"):
        from safetensors.torch import load
    try:
        description = read_json(description_file)
        if not isinstance(description, dict) or description.get("format") != FORMAT:
            raise UnreadableFileError(description_file, "it describes no exported model")
        if not is_whole(description):
            raise UnreadableFileError(description_file, BROKEN)
        content = read_bytes(weights_file, memory())
        if description.get("weights_sha256") not in (None, hashlib.sha256(content).hexdigest()):
            raise UnreadableFileError(weights_file, f"it is not the file that {description_file.name} describes")
        check_recorded(description["config"], str(description_file), {*trust, *trusted_here(folder)})
        weights = load(content)
        with torch.device("meta"):  # takes no memory, however large a model is described
            if fault := other_weights(weights, _exported(description)):
                raise UnreadableFileError(weights_file, fault)
        model = _exported(description)
        model.load_state_dict(weights)
        return model.eval(), description["config"], description["metrics"]
    except (UnreadableFileError, UntrustedTargetError):
        raise
    except Exception as error:  # of whatever a file that was changed asks for
        raise UnreadableFileError(folder, f"its files are no exported model's: {first_line(error)}") from error


def _exported(description: Mapping[str, Any]) -> Autoencoder:
    config = OmegaConf.create(description["config"])
    assert isinstance(config, DictConfig)
    height, width, channels = description["image_shape"]
    classes = classes_in(description["metrics"])
    return build_model(config, (height, width, channels), description["pixel_variance"], classes)
