"""Scalar quantization with a learned entropy model (Balle et al., 2017; Theis et al., 2017)."""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from softvq.bottlenecks.base import Bottleneck, Latent
from softvq.bottlenecks.codebook import straight_through
from softvq.checks import at_least


class LogisticMixtures(nn.Module):
    """A mixture of logistic distributions for each unit: the entropy model of its quantized values.

    Args:
        d: units.
        components: of each mixture.
    """

    def __init__(self, d: int, components: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(d, components))
        # Spread out, so that the components differ and cover the values that codes have at first.
        self.means = nn.Parameter(torch.linspace(-1, 1, components).repeat(d, 1))
        self.log_scales = nn.Parameter(torch.zeros(d, components))

    def log_mass(self, y: Tensor) -> Tensor:
        r"""ln[F(y + 1/2) - F(y - 1/2)], the natural log of the probability of the unit interval around y.

        For a logistic with a > b the difference of sigmoids is sigmoid(a) sigmoid(-b) (1 - exp(b - a)), whose
        logarithm stays exact in both tails.

        Shapes: y (..., d). Returns (..., d).
        """
        y = y[..., None]
        inverse_scale = (-self.log_scales).exp()
        above, below = ((y - self.means + side) * inverse_scale for side in (0.5, -0.5))
        log_difference = logsigmoid(above) + logsigmoid(-below) + (-torch.expm1(-inverse_scale)).log()
        return (self.logits.log_softmax(-1) + log_difference).logsumexp(-1)

    @torch.no_grad()
    def sample(self, uniform: Tensor, choice: Tensor) -> Tensor:
        """Values (..., d) from uniform numbers (..., d) by the chosen components, (..., d) of integers."""
        means, scales = (p.expand(*choice.shape, -1).gather(-1, choice[..., None])[..., 0] for p in self._parts())
        return means + scales * uniform.clamp(1e-6, 1 - 1e-6).logit()

    def _parts(self) -> tuple[Tensor, Tensor]:
        return self.means.cpu().float(), self.log_scales.exp().cpu().float()


class ScalarQuantizer(Bottleneck):
    r"""Each unit in steps of `step_size`: y = z_e / step_size is rounded; the decoder reads step_size * round(y).

    The penalty is rate_weight * R, R = -sum_i ln[F_i(y_i + 1/2) - F_i(y_i - 1/2)] in nats, summed over the code, mean
    over the batch; F_i is a learned mixture of logistics. Beside SSE / (2 var) a rate_weight of 1 makes the loss a
    variational bound (Balle et al., section 3.3).
    """

    def __init__(self, d: int, step_size: float, components: int, rate_weight: float) -> None:
        super().__init__()
        at_least("network.d", d, 1, whole=True)
        at_least("bottleneck.step_size", step_size, 0)
        if step_size == 0:
            raise ValueError("bottleneck.step_size must be above 0, got 0")
        at_least("bottleneck.components", components, 1, whole=True)
        at_least("bottleneck.rate_weight", rate_weight, 0)
        self.d, self.step_size, self.rate_weight = d, step_size, rate_weight
        self.entropy_model = LogisticMixtures(d, components)

    @property
    def heads(self) -> dict[str, int]:
        return {"z_e": self.d}

    def sample_prior(self, count: int, positions: int, generator: torch.Generator) -> Tensor:
        shares = self.entropy_model.logits.detach().cpu().float().softmax(-1)
        choice = torch.multinomial(shares, count * positions, replacement=True, generator=generator)
        uniform = torch.rand(count, positions, self.d, generator=generator)
        y = self.entropy_model.sample(uniform, choice.T.reshape(count, positions, self.d))
        return self.step_size * y.round()

    def in_steps(self, z_e: Tensor) -> Tensor:
        """y, the code in steps; both (B, M, d)."""
        return z_e / self.step_size

    @abstractmethod
    def quantized(self, y: Tensor, noise: Tensor | None) -> Tensor:
        """What stands for round(y) in training; y (B, M, d)."""

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        z_e = heads["z_e"]
        y = self.quantized(self.in_steps(z_e), noise)
        rate = -self.entropy_model.log_mass(y).sum(-1)  # (B, M), nats
        rate_loss = rate.sum(1).mean()
        z = self.step_size * y
        return Latent(
            z=z,
            penalty=self.rate_weight * rate_loss,
            terms={"rate_loss": rate_loss},
            taps={"z_e": z_e, "z_q": z, "rate": rate / math.log(2)},
        )


class UniformNoise(ScalarQuantizer):
    """Noise uniform in +-1/2 stands for rounding in training.

    Reference: Balle et al. (2017), section 3.2. Differs from it by: mixtures of logistics in place of piecewise linear
    densities.
    """

    def draw_noise(self, batch: int, positions: int, generator: torch.Generator) -> Tensor:
        return torch.rand(batch, positions, self.d, generator=generator) - 0.5

    def quantized(self, y: Tensor, noise: Tensor | None) -> Tensor:
        return y.round() if noise is None else y + noise


class Rounding(ScalarQuantizer):
    """The values are rounded in training, too; the gradient passes as if they were not.

    Codes are measured in the root mean square that they have before training, `scale`. Where an untrained encoder's
    codes are smaller than half a step all of them are rounded to 0, and a decoder of ReLUs whose biases are 0 passes no
    gradient at 0: training would stand still. The decoder reads the code in the same unit.

    Reference: Theis et al. (2017), section 2.1. Differs from it by: mixtures of logistics in place of Gaussian scale
    mixtures; `scale`, which their encoder has to learn.
    """

    scale: Tensor

    def __init__(self, d: int, step_size: float, components: int, rate_weight: float, codes_to_measure: int) -> None:
        super().__init__(d, step_size, components, rate_weight)
        at_least("bottleneck.codes_to_measure", codes_to_measure, 1, whole=True)
        self.codes_to_start = codes_to_measure
        self.register_buffer("scale", torch.ones(()))

    def start(self, z_e: Tensor) -> None:
        self.scale.copy_(z_e.square().mean().sqrt().clamp(min=torch.finfo(z_e.dtype).tiny))

    def in_steps(self, z_e: Tensor) -> Tensor:
        return z_e / (self.scale * self.step_size)

    def quantized(self, y: Tensor, noise: Tensor | None) -> Tensor:
        return straight_through(y, y.round())
