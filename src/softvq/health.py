"""The health panel: numbers that tell a live latent code from a collapsed one, the same for every bottleneck.

A batch is reduced to sums (`statistics`), sums of batches, steps or devices are added, and the panel is computed from
the totals (`panel`). So no number depends on the batch size or on how many devices shared the images.

The numbers, by the names that they have everywhere (metrics.csv, trackers, metrics.json, figures):

    units, K              coordinates of an image's code (M * d); codewords. Sizes, for the numbers beside them.
    code_scale            root of the mean variance of z_e's units over the images.
    active_units          units that vary with the image, judged by the code's own scale (see `active_units`).
    effective_rank        exp of the entropy of the covariance's normalised eigenvalues (Roy & Vetterli, 2007): in how
                          many directions z_e varies, at most d. With M > 1 the covariance is averaged over positions.
    perplexity            exp of the entropy of how often each codeword is the one chosen (the hard assignment).
    dead_codes            codewords that are never the one chosen.
    posterior_perplexity  exp of the entropy of the posterior's mean over all codes.
    posterior_entropy     mean entropy of the posterior over codewords, nats.
    sigma_spread          standard deviation of ln sigma_k over the codewords, mean over all codes; 0: equal variances.
    rate                  bits an image: what the bottleneck says of itself, or for a hard quantizer the entropy of the
                          chosen codewords.
    mutual_information    I(x; k) in bits an image, k drawn from the posterior over codewords: the entropy of the mean
                          posterior minus the mean entropy. M > 1 positions count as independent: an upper bound then.
    mutual_information_bound  for Gaussian posteriors, bits an image: an upper bound of I(x; z), the KL from the
                          factorised Gaussian that has the codes' own means and variances. At most `rate`, which is
                          the same with the prior in that Gaussian's place.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from softvq.bottlenecks.base import Latent

ACTIVE_SHARE = 0.01  # of the scale that a unit's variance is compared with (Burda et al., 2016, with a scale of 1)
ROUNDING = 1e-12  # variance relative to the mean square below which float32 codes are equal but for rounding
PATIENCE = 10  # panels in a row that must show a symptom before it is named while training


def statistics(latent: Latent, codewords: Tensor | None) -> dict[str, Tensor]:
    """Sums over a batch from which `panel` computes its numbers; no gradient, no wait for a device, fixed shapes.

    Of the taps it reads `z_e` (B, M, d) and, where they exist, `index` (B, M), or (B, M, parts) of a code that is cut
    into parts; `posterior` (B, M, K); `rate` (B, M), bits; and `log_var` or `log_std`, natural logs: beside a
    `posterior` the components' (B, M, K), else a Gaussian posterior's (B, M, d).

    Args:
        latent: of a batch.
        codewords: (K, d), or None without a codebook.

    Returns:
        Float64 sums (float32 on Apple's GPUs, which have no float64), by name; the same names and shapes for every
        batch of a bottleneck.
    """
    taps = {name: tap.detach() for name, tap in latent.taps.items()}
    exact = torch.float32 if taps["z_e"].device.type == "mps" else torch.float64
    z = taps["z_e"].to(exact)
    rows = z.flatten(0, 1)  # (B * M, d)
    sums = {
        "images": torch.full_like(z[0, 0, 0], len(z)),
        "z_sum": z.sum(0),
        "z_square_sum": z.square().sum(0),
        "z_outer_sum": rows.T @ rows,
    }
    posterior = taps.get("posterior")
    if posterior is not None:
        posterior = _normalised(posterior.to(exact))  # the released SVHN notebook's weights do not sum to 1
        sums["posterior_sum"] = posterior.sum((0, 1))
        sums["posterior_entropy_sum"] = torch.special.entr(posterior).sum()
    if "index" in taps and codewords is not None:
        index = taps["index"].flatten()
        used = torch.zeros(len(codewords), dtype=exact, device=index.device)
        sums["use"] = used.scatter_add(0, index, torch.ones_like(index, dtype=exact))
    if "rate" in taps:
        sums["rate_sum"] = taps["rate"].sum(dtype=exact)
    log_var = taps["log_var"] if "log_var" in taps else 2 * taps["log_std"] if "log_std" in taps else None
    if log_var is not None:
        log_var = log_var.to(exact)
        if posterior is None:
            sums["variance_sum"] = log_var.exp().sum(0)
            sums["log_var_sum"] = log_var.sum()
        else:
            sums["sigma_spread_sum"] = (log_var / 2).std(-1, correction=0).sum()
    return sums


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
    if "use" in total:
        numbers["K"] = len(total["use"])
        numbers["perplexity"] = _entropy(total["use"]).exp().item()
        numbers["dead_codes"] = int((total["use"] == 0).sum())
    if "posterior_sum" in total:
        used = _entropy(total["posterior_sum"]).item()  # nats a code
        undecided = total["posterior_entropy_sum"].item() / (N * M)
        numbers["K"] = len(total["posterior_sum"])
        numbers["posterior_perplexity"] = math.exp(used)
        numbers["posterior_entropy"] = undecided
        numbers["mutual_information"] = max(0.0, M * (used - undecided) / math.log(2))
    elif "use" in total:
        choices = total["use"].sum().item() / N  # codewords an image: M, or more where a code is cut into parts
        numbers["mutual_information"] = choices * _entropy(total["use"]).item() / math.log(2)
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
    names = {"chosen": "use", "posterior": "posterior_sum"}
    return found | {name: total[of] for name, of in names.items() if of in total}


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


class Health(Metric):
    """The panel over batches, steps and devices.

    Args:
        like: `statistics` of any batch of the bottleneck; their names and shapes count, not their values.
    """

    full_state_update = False

    def __init__(self, like: Mapping[str, Tensor], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.names = tuple(like)
        for name, value in like.items():
            self.add_state(name, torch.zeros_like(value), dist_reduce_fx="sum")

    def update(self, sums: Mapping[str, Tensor]) -> None:
        """Adds a batch's `statistics`."""
        for name in self.names:
            setattr(self, name, getattr(self, name) + sums[name])

    def sums(self) -> dict[str, Tensor]:
        """What has been added up so far."""
        return {name: getattr(self, name) for name in self.names}

    def compute(self) -> dict[str, float | int]:
        return panel(self.sums())


def collapse(
    numbers: Mapping[str, float | int], history: Sequence[Mapping[str, float | int]] | None = None
) -> list[tuple[str, str]]:
    """What of a panel shows a collapsed code: each such number's name, and what it means and what usually helps.

    Args:
        numbers: a panel.
        history: of a training that goes on, the panels before it, the oldest first. A symptom counts once it has
            been there in `PATIENCE` panels in a row: in the first steps every code looks collapsed.
    """
    found = _symptoms(numbers)
    if history is None:
        return found
    before = [dict(_symptoms(past)) for past in history[-(PATIENCE - 1) :]]
    lasting = len(before) == PATIENCE - 1
    return [(name, text) for name, text in found if lasting and all(name in past for past in before)]


class CollapseWatch:
    """Follows the panels of a training, and names each lasting symptom once."""

    def __init__(self) -> None:
        self._before: list[Mapping[str, float | int]] = []
        self._named: set[str] = set()

    def new_symptoms(self, numbers: Mapping[str, float | int]) -> list[tuple[str, str]]:
        """Takes the next panel; returns what `collapse` finds in it, but for what was named before."""
        found = [(name, text) for name, text in collapse(numbers, self._before) if name not in self._named]
        self._named.update(name for name, _ in found)
        self._before = [*self._before, numbers][-(PATIENCE - 1) :]
        return found


def _symptoms(numbers: Mapping[str, float | int]) -> list[tuple[str, str]]:
    gaussian = "mutual_information_bound" in numbers
    found = []
    units, active = numbers["units"], numbers["active_units"]
    if active == 0 or active < 0.05 * units:
        advice = (
            "the posterior of the others has collapsed onto the prior: lower the KL's weight, or let its capacity rise "
            "slowly (bottleneck=capacity_vae)"
            if gaussian
            else "the code is nearly the same for every image: lower optimizer.lr or penalty_weight"
        )
        found.append(("active_units", f"{active:.0f} of {units:.0f} units vary with the image; {advice}"))
    if units > 2 and numbers["effective_rank"] < 1.5 and not any(name == "active_units" for name, _ in found):
        advice = (
            "take more codes an image (network=conv_spatial) or codewords that follow the codes (bottleneck=vq_ema)"
            if "K" in numbers
            else "lower penalty_weight or optimizer.lr"
        )
        found.append(("effective_rank", f"the code varies in {numbers['effective_rank']:.1f} directions; {advice}"))
    if gaussian and numbers["mutual_information_bound"] < 1 and not any(name == "active_units" for name, _ in found):
        text = f"the code tells at most {numbers['mutual_information_bound']:.2f} bits of the image"
        found.append(("mutual_information_bound", f"{text}; lower the KL's weight or raise what it allows"))
    for name in ("posterior_perplexity", "perplexity"):
        if name in numbers:
            K, used = numbers["K"], numbers[name]
            if used < max(1.5, K / 5):
                advice = "lower bottleneck.K or penalty_weight, or revive dead codewords (bottleneck=vq_ema_revival)"
                found.append((name, f"{used:.1f} of {K:.0f} codewords are in use; {advice}"))
            break  # a posterior that spreads over the codewords keeps those alive that are never its maximum
    if numbers.get("posterior_perplexity", 0) >= 1.5 and numbers["mutual_information"] < 0.1:
        text = f"the posterior over codewords tells {numbers['mutual_information']:.2f} bits of the image"
        found.append(("mutual_information", f"{text}; lower the bottleneck's weights or bottleneck.sigma_eps"))
    return found


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


def _entropy(weights: Tensor) -> Tensor:
    """Entropy in nats of non-negative weights over the last axis, normalised here; 0 where all of them are 0.

    Shapes: weights (..., K). Returns (...).
    """
    return torch.special.entr(_normalised(weights)).sum(-1)


def _normalised(weights: Tensor) -> Tensor:
    return weights / weights.sum(-1, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)


def _effective_rank(covariance: Tensor, mean_square: Tensor) -> float:
    """Exponential of the entropy of the normalised eigenvalues; 0 for a code that varies by rounding alone."""
    eigenvalues = torch.linalg.eigvalsh(covariance).clamp(min=0)
    if not eigenvalues.sum() > ROUNDING * mean_square * len(eigenvalues):
        return 0.0
    return _entropy(eigenvalues).exp().item()
