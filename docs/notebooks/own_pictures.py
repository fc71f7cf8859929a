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
        (here / "shapes" / part / kind).mkdir(parents=True)
        for number in range(count):
            draw(kind).save(here / "shapes" / part / kind / f"{number}.png")

# %% [markdown]
# One command trains on them. The network follows the pictures, `conv` for these, unless it is named; a small one here.

# %%
done = subprocess.run(
    [
        sys.executable, "-m", "softvq", "train", "data=image_folder", f"data.dir={here / 'shapes'}", "data.name=shapes",
        "network=conv",
        "bottleneck=vae", "trainer.max_steps=60", "probes=fast", "trainer.progress=false",
        "network.encoder.channels=[8,16,32,64]", "network.decoder.channels=[64,32,16]", "network.d=32",
        f"data.root={here / 'data'}", f"hydra.run.dir={here / 'run'}",
    ],
    check=True, capture_output=True, text=True,
)  # fmt: skip
print(done.stdout[-1200:])

# %%
metrics = json.loads((here / "run" / "metrics.json").read_text())
assert metrics["data"] == "shapes"
metrics["probes"]

# %% [markdown]
# The codes, for whatever comes next:

# %%
import softvq

pictures = np.stack([np.asarray(Image.open(path)) for path in sorted((here / "shapes" / "test").rglob("*.png"))])
codes = softvq.FeatureEncoder(here / "run").transform(pictures)
codes.shape
