"""Reconstruction losses; only their ratio to a bottleneck's penalty gives the penalty's weights a meaning."""

from torch import Tensor, nn
from torch.nn.functional import mse_loss

from softvq.checks import at_least


def above_zero(variance: float) -> float:
    """The training pixels' variance, by which squared errors are divided.

    Raises:
        ValueError: if it is zero.
    """
    if not variance > 0:
        raise ValueError(f"the variance of the training pixels must be above 0, got {variance}; are all images alike?")
    return variance


class GaussianReconstruction(nn.Module):
    """-log p(x | z) of a Gaussian with the training pixels' variance, without its constant.

    The squared error is divided by 2 * variance, summed over an image, mean over the batch.

    Reference: Wu & Flierl (2019), the first term of eq. (27).
    """

    def __init__(self, variance: float) -> None:
        super().__init__()
        self.variance = above_zero(variance)

    def mean_scale(self, numbers: int) -> float:
        """What a term that is a mean over numbers weighs beside this, as it would beside MSE / variance."""
        return numbers / 2

    def forward(self, reconstruction: Tensor, x: Tensor) -> Tensor:
        return mse_loss(reconstruction, x, reduction="sum") / (2 * self.variance * len(x))


class NormalizedMSE(nn.Module):
    """weight * squared error / variance of the training pixels, mean over every pixel: the released notebooks' form."""

    def __init__(self, variance: float, weight: float) -> None:
        super().__init__()
        at_least("reconstruction.weight", weight, 0)
        self.variance, self.weight = above_zero(variance), weight

    def mean_scale(self, numbers: int) -> float:
        """What a term that is a mean over numbers weighs beside this, as it would beside MSE / variance."""
        return self.weight

    def forward(self, reconstruction: Tensor, x: Tensor) -> Tensor:
        return self.weight * mse_loss(reconstruction, x) / self.variance
