# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # One's own pictures
#
# A folder of pictures is enough, with a folder in it for each class. Here we draw some: circles, squares and crosses at
# random places, in three sizes, as photographs have several.

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
    size = (16, 16), (40, 30), (30, 40)
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
    return picture.resize(size[chance.integers(3)])


for kind in ("circle", "cross", "square"):
    (here / f"shapes/{kind}").mkdir(parents=True)
    for number in range(130):
        draw(kind).save(here / f"shapes/{kind}/{number}.png")

# %% [markdown]
# One command trains on them: it makes all pictures one size, and sets a quarter of each class aside as the test set.
# The network follows the pictures, `conv` for these, unless it is named; a small one here. A weight of 1 would pull so
# small a model's code onto the prior, which the end of the run would say (`COLLAPSED`).

# %%
chosen = [
    "data=image_folder", f"data.dir={here / 'shapes'}", "data.name=shapes", f"data.root={here / 'data'}",
    "data.image_size=16", "data.test_fraction=0.25",
    "bottleneck=vae", "bottleneck.kl_weight=0.1", "network=conv", "network.d=32",
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
# The codes, for whatever comes next. `read_pictures` makes of any picture what the model was trained on. Here: which
# pictures have codes that are most like those of the first circle, cross and square?

# %%
import matplotlib.pyplot as plt

import softvq

model = softvq.load(here / "run")
files = sorted((here / "shapes").rglob("*.png"))
pictures = softvq.read_pictures(files, model.image_shape)
codes = softvq.FeatureEncoder(here / "run").transform(pictures)
figure, axes = plt.subplots(3, 6, figsize=(7, 3.6))
for row, number in zip(axes, (0, 130, 260), strict=True):
    alike = np.square(codes - codes[number]).sum(1).argsort()[:6]  # itself first
    for axis, place in zip(row, alike, strict=True):
        axis.imshow(pictures[place])
        axis.axis("off")
plt.show()
