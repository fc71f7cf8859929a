# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Comparing bottlenecks from run folders
#
# A sweep leaves a folder for each run; `softvq.read_runs` makes one table of them, and pandas does the rest. Here a
# sweep of three bottlenecks and three seeds on scikit-learn's digits, with a small network and short training: it
# takes a minute.

# %%
import subprocess
import sys
import tempfile

logs = tempfile.mkdtemp()
sweep = [
    "data=digits", "bottleneck=identity,vae,soft_vq", "seed=0,1,2",
    "network.d=16", "network.encoder.hidden=[128,64]", "network.decoder.hidden=[64,128]",
    "trainer.max_steps=300", "trainer.threads=1", "probes=fast", f"hydra.sweep.dir={logs}",
]  # fmt: skip
command = [sys.executable, "-m", "softvq", "train", "-m", *sweep]
done = subprocess.run(command, check=True, capture_output=True, text=True)
print(done.stdout.splitlines()[0])

# %%
import softvq

runs = softvq.read_runs(logs)
numbers = ["probes.clustering_accuracy", "probes.clustering_nmi", "probes.classification_accuracy"]
assert len(runs) == 9
runs[["bottleneck", "seed", *numbers]]

# %% [markdown]
# Means over seeds, and how much the seeds differ. Three seeds are few: the report's intervals say how few.

# %%
runs.groupby("bottleneck")[numbers].agg(["mean", "std"]).round(3)

# %% [markdown]
# Distortion against classification: what a bottleneck pays for its code.

# %%
import matplotlib.pyplot as plt

figure, axis = plt.subplots(figsize=(5, 4))
for bottleneck, own in runs.groupby("bottleneck"):
    axis.scatter(own["reconstruction.test_normalized_mse"], own["probes.classification_accuracy"], label=bottleneck)
axis.set(xlabel="test MSE / pixel variance", ylabel="classification accuracy")
axis.legend()
plt.show()
