"""What a batch adds to the health panel."""

import torch
from torch import Tensor

from softvq.bottlenecks.base import Latent
from softvq.health.shares import normalised


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
        posterior = normalised(posterior.to(exact))  # the released SVHN notebook's weights do not sum to 1
        sums["posterior_sum"] = posterior.sum((0, 1))
        sums["posterior_entropy_sum"] = torch.special.entr(posterior).sum()
    if "index" in taps and codewords is not None:
        cut = taps["index"].ndim == 3
        index = taps["index"].flatten(0, 1).T if cut else taps["index"].flatten()  # (parts, B * M) or (B * M,)
        used = torch.zeros(*index.shape[:-1], len(codewords), dtype=exact, device=index.device)
        sums["part_use" if cut else "use"] = used.scatter_add(-1, index, torch.ones_like(index, dtype=exact))
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
