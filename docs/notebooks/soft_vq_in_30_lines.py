# ---
# jupyter:
#   jupytext:
#     text_representation: {extension: .py, format_name: percent}
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Soft VQ in 30 lines
#
# The bottleneck of Wu & Flierl (2019) in a model of one's own, without trainer or configuration: an encoder that also
# emits ln sigma_k^2 of each codeword, the soft quantizer between, a decoder, and scikit-learn's small digits.

# %%
import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from softvq import SoftVQ
from softvq.bottlenecks.codebook import uniform_unit_scaling

torch.manual_seed(0)
digits = load_digits()
x = torch.tensor(digits.images.reshape(-1, 64) / 16, dtype=torch.float32)
d, K = 16, 32

encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU())
to_z_e, to_log_var = nn.Linear(128, d), nn.Linear(128, K)
quantizer = SoftVQ(
    d=d, K=K, sigma_eps=0.01, codebook_weight=1.0, commitment_weight=2.5, reduction="mean",
    codebook_init=uniform_unit_scaling,
)  # fmt: skip
decoder = nn.Sequential(nn.Linear(d, 128), nn.ReLU(), nn.Linear(128, 64), nn.Sigmoid())
parts = nn.ModuleList([encoder, to_z_e, to_log_var, quantizer, decoder])
optimizer = torch.optim.Adam(parts.parameters(), 2e-3)

losses = []
for _ in range(1000):
    batch = x[torch.randint(len(x), (64,))]
    h = encoder(batch)
    latent = quantizer(to_z_e(h), log_var=to_log_var(h))
    loss = (decoder(latent.z) - batch).square().mean() / x.var() + latent.penalty
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
print(f"loss {np.mean(losses[:50]):.3f} -> {np.mean(losses[-50:]):.3f}")

# %% [markdown]
# The posterior of each codeword is a tap of the latent; so is the codeword that is the most probable one.

# %%
parts.eval()
with torch.inference_mode():
    h = encoder(x)
    latent = quantizer(to_z_e(h), log_var=to_log_var(h))
used = torch.bincount(latent.taps["index"], minlength=K)
print(f"{(used > 0).sum()} of {K} codewords are the most probable one for some image")
assert torch.allclose(latent.taps["posterior"].sum(-1), torch.ones(len(x)), atol=1e-5)

# %% [markdown]
# The decoded codewords: a convex combination of them is all that the decoder ever sees.

# %%
import matplotlib.pyplot as plt

with torch.inference_mode():
    pictures = decoder(quantizer.codebook[used.argsort(descending=True)[:16]]).reshape(-1, 8, 8)
figure, axes = plt.subplots(2, 8, figsize=(8, 2.2))
for axis, picture in zip(axes.flat, pictures, strict=True):
    axis.imshow(picture, "gray", vmin=0, vmax=1)
    axis.axis("off")
plt.show()
