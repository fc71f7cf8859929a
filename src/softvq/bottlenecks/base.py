"""What every bottleneck takes and gives."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.export import register_dataclass
from torch.func import vmap
from torch.nn.functional import mse_loss

from softvq.bottlenecks.shapes import as_vectors, in_shape_of

REDUCTIONS = ("sum", "mean")
Noise = Tensor | dict[str, Tensor] | None


@dataclass(frozen=True)
class Latent:
    """What a bottleneck makes of a batch of encoder outputs.

    Shapes: B images, M latent vectors an image (1 for a dense code), each of width d.

    Attributes:
        z: (B, M, d), read by the decoder.
        penalty: (), weighted sum of the bottleneck's loss terms, mean over the batch; added to the reconstruction loss.
        terms: unweighted loss terms and diagnostics, each (); logged under their names.
        taps: what the probes can read, by name; always `z_e` (B, M, d), the noiseless encoder output. The health panel
            reads those that softvq.health.statistics names, e.g. `index`, `posterior`, `rate`, `log_var`.
    """

    z: Tensor
    penalty: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
    taps: dict[str, Tensor] = field(default_factory=dict)


register_dataclass(Latent, serialized_type_name="softvq.Latent")  # so that torch.export takes models that return one


@dataclass(frozen=True)
class Objective:
    """What one training step minimises.

    Attributes:
        loss: (), mean over the batch.
        terms: its unweighted parts and whatever else is logged, each ().
        latent: what the health panel is made of.
    """

    loss: Tensor
    terms: dict[str, Tensor]
    latent: Latent


class Coder(Protocol):
    """The parts of an autoencoder that a bottleneck with an objective of its own puts together anew.

    Attributes:
        penalty_weight: one factor for all of the bottleneck's own weights.
    """

    penalty_weight: float

    def encode_pixels(self, x: Tensor) -> dict[str, Tensor]:
        """Pixels (B, H, W, C) -> the heads' outputs, each (B, M, width)."""

    def decode(self, z: Tensor) -> Tensor:
        """Latents (B, M, d) -> pixels (B, H, W, C)."""

    def reconstruction_loss(self, reconstruction: Tensor, x: Tensor) -> Tensor:
        """The loss () of a reconstruction, mean over the batch; both (B, H, W, C)."""


def reconstruction_losses(coder: Coder, reconstruction: Tensor, x: Tensor) -> Tensor:
    """The loss (B,) of each reconstruction by itself; both (B, H, W, C)."""
    return vmap(lambda one, image: coder.reconstruction_loss(one[None], image[None]))(reconstruction, x)


class Bottleneck(nn.Module, ABC):
    """The operation between encoder and decoder; models differ in this alone.

    Most bottlenecks define `heads`, `forward` and, if they are stochastic, `draw_noise`. The other methods are for
    those whose objective is more than reconstruction + penalty. What changes from step to step without a gradient (a
    moving average, a count of steps for a schedule) lives in buffers that `forward` changes in place while
    `self.training` is true: so it is saved, resumed, captured and stacked like the weights.

    Attributes:
        learns_from_labels: whether `objective` wants the images' labels, which unsupervised methods never see.
        codes_to_start: codes of training images that `start` wants; 0 without a start from data.
        mean_scale: what a term that is a mean over numbers weighs beside the reconstruction loss: half the image's
            numbers beside SSE / (2 var), 1 beside MSE / var. With it a weight can be written as papers have it whose
            losses are means. `attach` sets it.
        grid: (rows, columns) of a codebook whose codewords lie on a grid, row by row; else None.
    """

    learns_from_labels = False
    codes_to_start = 0
    mean_scale = 1.0
    grid: tuple[int, int] | None = None

    def __call__(self, heads: dict[str, Tensor] | Tensor, noise: Any = None, **more_heads: Tensor) -> Latent:
        """The latent of the heads' outputs; of z_e alone where that is all that the bottleneck asks for.

        Within an autoencoder `heads` are (B, M, width) by name, and `noise` is what `draw_noise` returned. In a model
        of one's own, z_e may come as a tensor, and the other heads as keywords, all in one of the shapes (B, width),
        (B, M, width) or, as feature maps, (B, width, H, W); what comes back has the same shape. Noise is then drawn
        here while the module is in training mode.

        Raises:
            ValueError: if heads are missing, unknown, or of a wrong shape.
        """
        if isinstance(heads, dict):
            return super().__call__(heads, noise)
        vectors = as_vectors(self.heads, {"z_e": heads, **more_heads})
        if noise is None and self.training:
            generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
            batch, positions = vectors["z_e"].shape[:2]
            noise = _like(heads, self.draw_noise(batch, positions, generator))
        latent = super().__call__(vectors, noise)
        taps = {name: in_shape_of(heads, tap) for name, tap in latent.taps.items()}
        return replace(latent, z=in_shape_of(heads, latent.z), taps=taps)

    @property
    @abstractmethod
    def heads(self) -> dict[str, int]:
        """Encoder outputs that the bottleneck asks for: name -> width per latent vector; always `z_e`: d."""

    @property
    def codewords(self) -> Tensor | None:
        """The codebook (K, d) whose rows a tap `index` counts; None without one."""
        return None

    @property
    def learning_rates(self) -> dict[str, float]:
        """Learning rates of parts that do not take `optimizer.lr`: name of a submodule -> rate."""
        return {}

    def attach(
        self, image_shape: tuple[int, int, int], classes: int, encoder: Callable[..., nn.Module], mean_scale: float
    ) -> None:
        """Learns, once, of what it is built into: for parts whose size follows from the data.

        Args:
            image_shape: (H, W, C).
            classes: of the data's labels; 0 without labels.
            encoder: makes another network like the encoder from `heads=`, for bottlenecks that need a critic.
            mean_scale: see the attribute.
        """
        self.mean_scale = mean_scale

    def restrict(self, encoder: nn.Module) -> None:
        """Changes the encoder, once, before training: for methods that limit what it can compute."""

    def start(self, z_e: Tensor) -> None:
        """Begins from the codes of training images by the untrained encoder, once, before training.

        Args:
            z_e: (`codes_to_start`, d), or fewer where the training set has fewer.
        """

    def draw_noise(self, batch: int, positions: int, generator: torch.Generator) -> Noise:
        """The noise of one training step, or None for a deterministic bottleneck.

        Noise is drawn outside `forward` so that a step is a function of its inputs: the same noise can be replayed
        after a resume, sliced over devices, or fed into a captured graph. Several kinds of noise are a dictionary.

        Returns:
            (batch, ...) in float32, or a dictionary of such tensors.
        """
        return None

    def sample_prior(self, count: int, positions: int, generator: torch.Generator) -> Tensor | None:
        """Latents that the decoder turns into new images; None for a method without a prior.

        Returns:
            (count, positions, d), in float32 on the CPU, as noise is drawn.
        """
        return None

    @abstractmethod
    def forward(self, heads: dict[str, Tensor], noise: Any) -> Latent:
        """Maps head outputs, each (B, M, width), to the latent.

        `noise` is what `draw_noise` returned, on the heads' device and in their precision; None switches it off.
        """

    def objective(self, coder: Coder, x: Tensor, noise: Noise, labels: Tensor | None) -> Objective:
        """What a step minimises: reconstruction + penalty, unless a method overrides it.

        Shapes: x pixels (B, H, W, C); labels (B,), None where the data have none. Labels are
        there for methods that declare `learns_from_labels`, which are reported apart.
        """
        latent = self(coder.encode_pixels(x), noise)
        reconstruction_loss = coder.reconstruction_loss(coder.decode(latent.z), x)
        loss = reconstruction_loss + coder.penalty_weight * latent.penalty
        return Objective(loss, {"reconstruction_loss": reconstruction_loss, **latent.terms}, latent)


def _like(z_e: Tensor, noise: Noise) -> Noise:
    """Noise on the device and in the precision of z_e."""
    if isinstance(noise, dict):
        return {name: tensor.to(z_e) for name, tensor in noise.items()}
    return None if noise is None else noise.to(z_e)


def reduction_over_code(reduction: str) -> Callable[[Tensor], Tensor]:
    """The reduction over a code's M x d numbers: `sum` (the paper's norms) or `mean` (the released notebooks).

    Returns:
        A function from (B, M, d) to (): reduced over M and d, then the mean over the batch.

    Raises:
        ValueError: for another word.
    """
    if _checked(reduction) == "sum":
        return lambda x: x.sum() / x.shape[0]
    return lambda x: x.mean()


def squared_error_over_code(reduction: str) -> Callable[[Tensor, Tensor], Tensor]:
    """`reduction_over_code` of two codes' squared difference, in one operation.

    Returns:
        A function from two (B, M, d) to ().

    Raises:
        ValueError: for another word.
    """
    if _checked(reduction) == "sum":
        return lambda x, y: mse_loss(x, y, reduction="sum") / x.shape[0]
    return mse_loss


def _checked(reduction: str) -> str:
    if reduction not in REDUCTIONS:
        raise ValueError(f"bottleneck.reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
    return reduction
