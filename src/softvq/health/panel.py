"""The health panel's numbers, from sums over all images."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from softvq.health.shares import entropy

ACTIVE_SHARE = 0.01  # of the scale that a unit's variance is compared with (Burda et al., 2016, with a scale of 1)
ROUNDING = 1e-12  # variance relative to the mean square below which float32 codes are equal but for rounding


def panel(sums: Mapping[str, Tensor]) -> dict[str, float | int]:
    """The panel's numbers from the sums over all images; a number whose taps the bottleneck lacks is left out.

    Raises:
        ValueError: for sums over no image.
    """
    total, N = _total(sums)
    M, d = total["z_sum"].shape
    mean, variance, covariance = _moments(total, N)
    noise = total["variance_sum"] / N if "variance_sum" in total else None
    numbers: dict[str, float | int] = {
        "units": M * d,
        "code_scale": variance.mean().sqrt().item(),
        "active_units": active_units(mean, variance, noise),
        "effective_rank": _effective_rank(covariance, mean.square().mean()),
    }
    if noise is not None:
        spread = (variance + noise).log().sum() - total["log_var_sum"] / N
        numbers["mutual_information_bound"] = max(0.0, spread.item() / 2 / math.log(2))
    use = _use(total)
    if use is not None:
        of_all = use.sum(0)
        numbers["K"] = len(of_all)
        numbers["perplexity"] = entropy(of_all).exp().item()
        numbers["dead_codes"] = int((of_all == 0).sum())
    if "posterior_sum" in total:
        used = entropy(total["posterior_sum"]).item()  # nats a code
        undecided = total["posterior_entropy_sum"].item() / (N * M)
        numbers["K"] = len(total["posterior_sum"])
        numbers["posterior_perplexity"] = math.exp(used)
        numbers["posterior_entropy"] = undecided
        numbers["mutual_information"] = max(0.0, M * (used - undecided) / math.log(2))
    elif use is not None:
        numbers["mutual_information"] = M * entropy(use).sum().item() / math.log(2)
        numbers["rate"] = numbers["mutual_information"]
    if "sigma_spread_sum" in total:
        numbers["sigma_spread"] = total["sigma_spread_sum"].item() / (N * M)
    if "rate_sum" in total:
        numbers["rate"] = total["rate_sum"].item() / N
    return numbers


def distributions(sums: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the panel's numbers sum up, for a figure, from the sums over all images.

    Returns:
        unit_variance (M * d) of z_e over the images; eigenvalues (d,) of its covariance, falling; where they exist
        chosen (K,), how often each codeword was, and posterior (K,), its summed posterior.
    """
    total, N = _total(sums)
    _, variance, covariance = _moments(total, N)
    found = {
        "unit_variance": variance.flatten(),
        "eigenvalues": torch.linalg.eigvalsh(covariance).clamp(min=0).flip(0),
    }
    use = _use(total)
    if use is not None:
        found["chosen"] = use.sum(0)
    if "posterior_sum" in total:
        found["posterior"] = total["posterior_sum"]
    return found


def active_units(mean: Tensor, variance: Tensor, noise: Tensor | None) -> int:
    """How many units of a code vary with the image by more than a hundredth of the code's own scale.

    Burda et al. (2016) count units whose posterior mean has a variance above 0.01; their scale is the prior's, 1. A
    code without a prior has no such scale, so a unit is compared with the unit that varies most. A Gaussian posterior
    has one in itself: there a unit is compared with its own total variance, that of the means plus the mean of the
    posterior's. A unit that follows the prior has a total near 1 and counts as it does with Burda et al.; of a code
    that has collapsed onto the prior no unit is active.

    Shapes: mean and variance of z_e over the images, and a Gaussian posterior's mean variance or None: (M, d).
    """
    scale = variance.max() if noise is None else variance + noise
    return int((variance > torch.clamp(ACTIVE_SHARE * scale, min=ROUNDING * mean.square().mean())).sum())


def _total(sums: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], float]:
    """The sums in float64 on the processor, and the number of images."""
    total = {name: value.detach().double().cpu() for name, value in sums.items()}
    N = total["images"].item()
    if not N > 0:
        raise ValueError("the health panel needs at least one image, got none")
    return total, N


def _moments(total: Mapping[str, Tensor], N: float) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance (M, d) of z_e over N images, and its covariance (d, d), averaged over the positions."""
    mean = total["z_sum"] / N
    variance = (total["z_square_sum"] / N - mean.square()).clamp(min=0)
    return mean, variance, total["z_outer_sum"] / (N * len(mean)) - mean.T @ mean / len(mean)


def _use(total: Mapping[str, Tensor]) -> Tensor | None:
    """How often each codeword was chosen (parts, K), for each part of a code that is cut into parts; else one part."""
    if "part_use" in total:
        return total["part_use"]
    return total["use"][None] if "use" in total else None


def _effective_rank(covariance: Tensor, mean_square: Tensor) -> float:
    """Exponential of the entropy of the normalised eigenvalues; 0 for a code that varies by rounding alone."""
    eigenvalues = torch.linalg.eigvalsh(covariance).clamp(min=0)
    if not eigenvalues.sum() > ROUNDING * mean_square * len(eigenvalues):
        return 0.0
    return entropy(eigenvalues).exp().item()
