# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # One's own pictures
#
# A folder of pictures is enough: `train/CLASS/*.png` and `test/CLASS/*.png`. Here we draw some: circles, squares and
# crosses at random places.

# %%
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

here = Path(tempfile.mkdtemp())
chance = np.random.default_rng(0)


def draw(kind: str) -> Image.Image:
    picture = Image.new("RGB", (16, 16), tuple(chance.integers(0, 80, 3).tolist()))
    pen, (x, y) = ImageDraw.Draw(picture), chance.integers(2, 7, 2).tolist()
    colour = tuple(chance.integers(150, 256, 3).tolist())
    if kind == "circle":
        pen.ellipse((x, y, x + 7, y + 7), fill=colour)
    elif kind == "square":
        pen.rectangle((x, y, x + 7, y + 7), fill=colour)
    else:
        pen.line((x, y, x + 7, y + 7), fill=colour, width=2)
        pen.line((x, y + 7, x + 7, y), fill=colour, width=2)
    return picture


for part, count in (("train", 100), ("test", 30)):
    for kind in ("circle", "cross", "square"):
        (here / f"shapes/{part}/{kind}").mkdir(parents=True)
        for number in range(count):
            draw(kind).save(here / f"shapes/{part}/{kind}/{number}.png")

# %% [markdown]
# One command trains on them. The network follows the pictures, `conv` for these, unless it is named; a small one here.

# %%
chosen = [
    "data=image_folder", f"data.dir={here / 'shapes'}", "data.name=shapes", f"data.root={here / 'data'}",
    "bottleneck=vae", "network=conv", "network.d=32",
    "network.encoder.channels=[8,16,32,64]", "network.decoder.channels=[64,32,16]",
    "trainer.max_steps=300", "trainer.threads=1", "probes=fast", f"hydra.run.dir={here / 'run'}",
]  # fmt: skip
done = subprocess.run([sys.executable, "-m", "softvq", "train", *chosen], check=True, capture_output=True, text=True)
print(done.stdout)

# %%
metrics = json.loads((here / "run" / "metrics.json").read_text())
assert metrics["data"] == "shapes"
metrics["probes"]

# %% [markdown]
# Test images above what the decoder makes of their codes, one of the pictures in `figures/`:

# %%
Image.open(here / "run" / "figures" / "reconstructions.png")

# %% [markdown]
# The codes, for whatever comes next:

# %%
import softvq

files = sorted((here / "shapes" / "test").rglob("*.png"))
pictures = np.stack([np.asarray(Image.open(file)) for file in files])
codes = softvq.FeatureEncoder(here / "run").transform(pictures)
codes.shape
