"""A method's objective beside an independent NumPy evaluation of it in float64: values, state and every gradient.

A NumPy evaluation is written from the paper and registered for the YAMLs that it speaks for:

    @golden("vq")
    def evaluate(now: World, held: World, given: Given) -> dict: ...

`now` and `held` hold the same numbers. What a gradient flows through is read from `now`, what stands behind a
stop-gradient from `held`: the finite differences of the evaluation in `now` are then the method's gradients, with its
stop-gradients and straight-through estimators.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from softvq.bottlenecks.base import Bottleneck

SHAPE = (2, 2, 1)
NUMBERS = 4  # of an image
VARIANCE, PENALTY_WEIGHT, MEAN_SCALE = 0.3, 0.7, 2.0
B, M, CLASSES = 4, 2, 3

Evaluation = Callable[["World", "World", "Given"], dict[str, Any]]
EVALUATIONS: dict[str, Evaluation] = {}


def golden(*names: str) -> Callable[[Evaluation], Evaluation]:
    """Registers the NumPy evaluation of some YAMLs of conf/bottleneck."""

    def register(evaluation: Evaluation) -> Evaluation:
        EVALUATIONS.update(dict.fromkeys(names, evaluation))
        return evaluation

    return register


@dataclass
class Given:
    """What is not differentiated: pixels x (B, 2, 2, 1), noise, labels, the YAML's numbers, whether it trains."""

    x: np.ndarray
    noise: Any
    labels: np.ndarray
    settings: SimpleNamespace
    training: bool
    mean_scale: float = MEAN_SCALE
    penalty_weight: float = PENALTY_WEIGHT


@dataclass
class World:
    """The numbers that a step depends on.

    Attributes:
        offsets: what each head adds to the encoder's output, (B, M, width).
        weights: the method's own parameters and buffers, by name.
        decoder: (M * d, 4).
        mixing: of the encoder, fixed: (4, M * width) by head.
    """

    offsets: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]
    decoder: np.ndarray
    mixing: dict[str, np.ndarray]

    def encode(self, x: np.ndarray) -> dict[str, np.ndarray]:
        flat = x.reshape(len(x), -1)
        return {name: (flat @ self.mixing[name]).reshape(o.shape) + o for name, o in self.offsets.items()}

    def decode(self, z: np.ndarray) -> np.ndarray:
        return np.tanh(z.reshape(len(z), -1) @ self.decoder).reshape(len(z), *SHAPE)


def reconstruction_losses(reconstruction: np.ndarray, x: np.ndarray) -> np.ndarray:
    """SSE / (2 var) of each image."""
    return ((reconstruction - x) ** 2).sum((1, 2, 3)) / (2 * VARIANCE)


class TorchCoder:
    """The same encoder and decoder in torch, with leaves to differentiate."""

    penalty_weight = PENALTY_WEIGHT

    def __init__(self, world: World) -> None:
        self.offsets = {name: torch.tensor(o, requires_grad=True) for name, o in world.offsets.items()}
        self.decoder = torch.tensor(world.decoder, requires_grad=True)
        self.mixing = {name: torch.tensor(m) for name, m in world.mixing.items()}

    def encode_pixels(self, x: Tensor) -> dict[str, Tensor]:
        return {n: (x.flatten(1) @ self.mixing[n]).reshape(o.shape) + o for n, o in self.offsets.items()}

    def decode(self, z: Tensor) -> Tensor:
        return (z.flatten(1) @ self.decoder).tanh().reshape(len(z), *SHAPE)

    def reconstruction_loss(self, reconstruction: Tensor, x: Tensor) -> Tensor:
        return (reconstruction - x).square().sum() / (2 * VARIANCE * len(x))


class TanhEncoder(nn.Module):
    """What `attach` can make of `heads=`: tanh of one linear layer a head, one position."""

    def __init__(self, heads: dict[str, int]) -> None:
        super().__init__()
        self.heads = nn.ParameterDict({name: torch.randn(NUMBERS, width) for name, width in heads.items()})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {name: (x.flatten(1) @ w).tanh()[:, None] for name, w in self.heads.items()}


def attached(bottleneck: Bottleneck) -> Bottleneck:
    bottleneck.attach(SHAPE, CLASSES, TanhEncoder, MEAN_SCALE)
    return bottleneck


def as_numpy(noise: Any) -> Any:
    if isinstance(noise, dict):
        return {name: as_numpy(value) for name, value in noise.items()}
    return None if noise is None else noise.numpy()


def as_double(noise: Any) -> Any:
    if isinstance(noise, dict):
        return {name: as_double(value) for name, value in noise.items()}
    return None if noise is None else noise.double()


def a_world(bottleneck: Bottleneck) -> World:
    d = bottleneck.heads["z_e"]
    return World(
        offsets={name: torch.randn(B, M, width).double().numpy() for name, width in bottleneck.heads.items()},
        weights={name: w.detach().clone().numpy() for name, w in bottleneck.state_dict().items()},
        decoder=torch.randn(M * d, NUMBERS).double().numpy(),
        mixing={n: torch.randn(NUMBERS, M * width).double().numpy() for n, width in bottleneck.heads.items()},
    )


def check_golden(
    bottleneck: Bottleneck, settings: SimpleNamespace, evaluation: Evaluation, steps: int, training: bool, rtol: float
) -> None:
    """Compares one step's values, state and gradients; `steps` others have gone before it.

    Args:
        bottleneck: in float64 and attached.
        settings: the numbers that it was built with.
        evaluation: in NumPy.
        steps: of training before, which move the state away from its start.
        training: False: as validation evaluates it, in evaluation mode and without noise.
        rtol: of the values.
    """
    for parameter in bottleneck.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    for step in range(steps):
        noise = as_double(bottleneck.draw_noise(B, M, torch.Generator().manual_seed(100 + step)))
        coder, labels = TorchCoder(a_world(bottleneck)), torch.randint(CLASSES, (B,))
        bottleneck.objective(coder, torch.rand(B, *SHAPE).double(), noise, labels)
    bottleneck.train(training)
    noise = as_double(bottleneck.draw_noise(B, M, torch.Generator().manual_seed(0))) if training else None
    x, labels, now = torch.rand(B, *SHAPE).double(), torch.randint(CLASSES, (B,)), a_world(bottleneck)
    held = deepcopy(now)
    given = Given(x.numpy(), as_numpy(noise), labels.numpy(), settings, training)

    def evaluate() -> dict[str, Any]:
        found = evaluation(now, held, given)
        if "loss" not in found:
            rec = reconstruction_losses(now.decode(found["z"]), given.x).mean()
            terms = {"reconstruction_loss": rec, **found["terms"]}
            found = {**found, "loss": rec + PENALTY_WEIGHT * found["penalty"], "terms": terms}
        return found

    expected = evaluate()
    coder = TorchCoder(now)
    objective = bottleneck.objective(coder, x, noise, labels if bottleneck.learns_from_labels else None)
    close = {"rtol": rtol, "atol": 1e-9 if rtol < 1e-6 else 1e-5}
    np.testing.assert_allclose(objective.loss.item(), expected["loss"], err_msg="loss", **close)
    assert objective.terms.keys() == expected["terms"].keys()
    for name, value in expected["terms"].items():
        np.testing.assert_allclose(objective.terms[name].item(), value, err_msg=name, **close)
    np.testing.assert_allclose(objective.latent.z.detach(), expected["z"], err_msg="z", **close)
    for name, value in expected.get("taps", {}).items():
        np.testing.assert_allclose(objective.latent.taps[name].detach(), value, err_msg=name, **close)
    state = {**held.weights, **expected.get("state", {})}
    for name, value in bottleneck.state_dict().items():
        np.testing.assert_allclose(value, state[name], err_msg=name, **close)

    objective.loss.backward()
    trained = {
        **{f"head {name}": (coder.offsets[name], now.offsets[name]) for name in now.offsets},
        **{f"parameter {name}": (p, now.weights[name]) for name, p in bottleneck.named_parameters()},
        "decoder": (coder.decoder, now.decoder),
    }
    loose = {"rtol": 1e-5, "atol": 1e-6} if rtol < 1e-6 else {"rtol": 1e-3, "atol": 1e-4}
    for name, (leaf, numbers) in trained.items():
        differences = finite_differences(lambda: evaluate()["loss"], numbers)
        found = np.zeros_like(numbers) if leaf.grad is None else leaf.grad.numpy()
        np.testing.assert_allclose(found, differences, err_msg=f"gradient to {name}", **loose)


def finite_differences(value: Callable[[], float], numbers: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """The central differences of `value` in each of `numbers`, which are changed in place and put back."""
    found = np.zeros_like(numbers)
    for index in np.ndindex(*numbers.shape):
        before = numbers[index]
        numbers[index] = before + step
        above = value()
        numbers[index] = before - step
        found[index] = (above - value()) / (2 * step)
        numbers[index] = before
    return found


def squared_distances(z: np.ndarray, codewords: np.ndarray) -> np.ndarray:
    """(B, M, K)."""
    return ((z[:, :, None] - codewords) ** 2).sum(-1)


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gaussian(heads: dict[str, np.ndarray], noise: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The sample (B, M, d) of a Gaussian posterior and its KL (B, M) from the standard normal, nats."""
    mean, log_var = heads["z_e"], heads["log_var"]
    kl = ((mean**2 + np.exp(log_var) - log_var - 1) / 2).sum(-1)
    return mean if noise is None else mean + np.exp(log_var / 2) * noise, kl


def followed(weights: dict[str, np.ndarray], z: np.ndarray, share: np.ndarray, given: Given) -> dict[str, np.ndarray]:
    """A codebook of moving averages after a step on codes z (N, d) with shares (N, K): van den Oord et al., A.1."""
    decay, smoothing = given.settings.decay, given.settings.smoothing
    N_k = decay * weights["codebook.counts"] + (1 - decay) * share.sum(0)
    m_k = decay * weights["codebook.sums"] + (1 - decay) * share.T @ z
    N = N_k.sum()
    smoothed = (N_k + smoothing) / (N + len(N_k) * smoothing) * N
    return {"codebook.counts": N_k, "codebook.sums": m_k, "codebook.codewords": m_k / smoothed[:, None]}
