"""Hands a trained model on: `softvq export RUN --out DIR` writes what others can load without the run's folder.

DIR/config.json         what the model is built from, and what images it takes
DIR/model.safetensors   its weights, the codebook among them; nothing in this file can be executed
DIR/encoder.onnx        the encoder alone: uint8 images in, codes out; runs without torch
DIR/README.md           the model card, as model hubs show it
"""

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from softvq.durable_files import whole, write_json, write_text
from softvq.extras import needed
from softvq.library.exported import FILES, FORMAT
from softvq.published import IN_PERCENT, IN_WORDS, MSE, shown
from softvq.run.load import FinishedRun, load_run
from softvq.run_folder import refuse_foreign
from softvq.seals import sealed
from softvq.training.autoencoder import Autoencoder

OUTPUTS = ("z_e", "index")  # taps that the ONNX file gives, as far as the bottleneck has them
CONFIG_MARK = rb'\{\s*"format": \d+,\s*"library_name": "softvq"'  # how the files of an export begin
CARD_MARK = rb"---\s*library_name: softvq"
TOLERANCE = 1e-4  # of codes between torch and onnxruntime, relative to the codes' largest number


class CodeExtractor(nn.Module):
    """Images to codes: what is exported of an autoencoder."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """z_e (B, M, d), and with a codebook the chosen codewords (B, M), of uint8 images (B, H, W, C)."""
        taps = self.model.latent(images).taps
        return {name: taps[name] for name in OUTPUTS if name in taps}


def export_run(run: str | Path, out: Path) -> list[Path]:
    """Writes a finished run's model to a folder; returns its files.

    The ONNX file has been run, and gave the codes that torch gives, when this returns.

    Raises:
        ValueError: if there is no finished run, or nothing in it to export, or the folder holds somebody's own files of
            the same names, or the ONNX file's codes differ.
        MissingExtraError: if the packages for it are not installed.
    """
    with needed("softvq export", "export"):
        from safetensors.torch import save
    finished = load_run(run)
    model = finished.model()
    if not list(model.parameters()):
        raise ValueError(f"run={run} has no weights to export: its code is the image itself")
    if model.dtype != torch.float32:
        model = model.float()
    files = [out / name for name in (*FILES, "encoder.onnx", "README.md")]
    config, weights, onnx, card = files
    refuse_foreign({config: CONFIG_MARK, weights: None, onnx: None, card: CARD_MARK})
    for earlier in (onnx, card):  # of another run perhaps, and no other file would show it if this one is interrupted
        earlier.unlink(missing_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    content = save(tensors, metadata={"format": "pt"})
    write_json(config, sealed({**_description(finished), "weights_sha256": hashlib.sha256(content).hexdigest()}))
    with whole(weights) as partial:
        partial.write_bytes(content)  # safetensors' `save_file` lets nobody but its owner read the file
    write_onnx(model, onnx)
    write_text(card, model_card(finished))
    return files


def _description(run: FinishedRun) -> dict[str, Any]:
    config = OmegaConf.to_container(run.config)
    assert isinstance(config, dict)
    kept = (
        "bottleneck",
        "network",
        "reconstruction",
        "penalty_weight",
        "seed",
        "fidelity",
        "choices",
        "result_settings",
    )
    return {
        "format": FORMAT,
        "library_name": "softvq",
        "image_shape": list(run.image_shape),
        "pixel_variance": run.pixel_variance,
        "config": {
            **{str(key): config[key] for key in kept},
            "data": {key: run.config.data[key] for key in ("name", "pixel_offset", "output_activation")},
        },
        "metrics": run.metrics,
    }


def write_onnx(model: Autoencoder, path: Path) -> None:
    """Writes the encoder as ONNX, for batches of any size, and compares what onnxruntime makes of it with torch.

    Raises:
        ValueError: if the codes differ.
    """
    with needed("an ONNX file", "export"):
        import onnxruntime
        import onnxscript  # noqa: F401  # which torch.onnx needs
    extractor = CodeExtractor(model.cpu()).eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (3, *model.image_shape), dtype=torch.uint8, generator=generator)
    with torch.inference_mode():
        expected = extractor(images)
    program = torch.onnx.export(
        extractor,
        (images,),
        dynamo=True,
        input_names=["images"],
        output_names=list(expected),
        dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1)}},
        verbose=False,
    )
    assert program is not None
    with whole(path) as partial:
        program.save(str(partial))
        session = onnxruntime.InferenceSession(str(partial), providers=["CPUExecutionProvider"])
        for batch in (images, images[:1]):
            found = session.run(list(expected), {"images": batch.numpy()})
            for name, codes in zip(expected, found, strict=True):
                wanted = expected[name][: len(batch)].numpy()
                if codes.shape != wanted.shape or not _close(codes, wanted):
                    raise ValueError(f"{path}: its {name} differs from torch's; the run's other files are whole")


def _close(found: np.ndarray, wanted: np.ndarray) -> bool:
    if found.dtype.kind in "iu":  # a codeword may change where two are equally near
        return bool((found == wanted).mean() > 0.9)
    return bool(np.abs(found - wanted).max() <= TOLERANCE * max(1.0, np.abs(wanted).max()))


def _in_words(name: str) -> str:
    """What a number is called, with its unit."""
    if name in IN_PERCENT:
        return f"{IN_WORDS[name]} (%)"
    return {"test_mse": "MSE", MSE: "MSE / pixel variance"}.get(name, name.replace("_", " "))


def model_card(run: FinishedRun) -> str:
    """The model card of a run, with the front matter that model hubs read."""
    metrics, probes = run.metrics, run.metrics["probes"]
    choices = run.config.choices
    shape = " x ".join(str(size) for size in run.image_shape)
    results = "\n".join(
        f"| {_in_words(name)} | {shown(value, name)} |"
        for name, value in {**probes, **(metrics["reconstruction"] or {})}.items()
        if isinstance(value, float) and math.isfinite(value)
    )
    return f"""---
library_name: softvq
tags: [autoencoder, representation-learning, {choices.bottleneck}]
datasets: [{metrics["data"]}]
---

# {choices.bottleneck} on {metrics["data"]}

An autoencoder with the bottleneck `{choices.bottleneck}` (`fidelity={metrics["fidelity"]}`), trained for
{metrics["steps"]:,} steps on {metrics["data"]} with seed {metrics["seed"]} by softvq. It takes images of {shape}
(height, width, channels; uint8) and gives codes z_e (B, M, {run.config.network.d}):
B images, M positions (1 for a dense code).

With the package softvq, in this folder:

```python
import softvq
import torch

model = softvq.load(".")
images = torch.randint(256, (4, *model.image_shape), dtype=torch.uint8)  # your pictures: softvq.read_pictures
with torch.inference_mode():
    z_e = model.encode(images)
    reconstruction, latent = model(images)
```

Without it and without torch, by `encoder.onnx`, whose outputs are `z_e` and, with a codebook, `index`:

```python
import numpy as np
import onnxruntime

encoder = onnxruntime.InferenceSession("encoder.onnx")
images = np.random.default_rng(0).integers(0, 256, (4, {", ".join(map(str, run.image_shape))}), dtype=np.uint8)
(z_e,) = encoder.run(["z_e"], {{"images": images}})
```

## Measured

Under the protocol `probes={metrics["protocol"]["name"]}` at the tap `{metrics["protocol"]["tap"]}`, on the test set:

| | |
|---|---|
{results}

Configuration {metrics["config_hash"]}, data content {metrics["provenance"]["data"]["sha256"][:12]},
commit {metrics["provenance"]["commit"] or "unknown"}.
"""
