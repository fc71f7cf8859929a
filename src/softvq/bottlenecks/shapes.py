"""Bottlenecks on the shapes that other models have: single vectors, sequences of them, and feature maps."""

from collections.abc import Mapping

from torch import Tensor


def as_vectors(widths: Mapping[str, int], heads: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The heads as (B, M, width), M latent vectors an image.

    Args:
        widths: the heads that the bottleneck asks for, and their widths.
        heads: each (B, width), (B, M, width) or (B, width, H, W).

    Raises:
        ValueError: if heads are missing, unknown, or of another shape.
    """
    if missing := sorted(widths.keys() - heads.keys()):
        raise ValueError(f"this bottleneck also needs {', '.join(f'{n} (width {widths[n]})' for n in missing)}")
    if unknown := sorted(heads.keys() - widths.keys()):
        raise ValueError(f"this bottleneck takes no {', '.join(unknown)}; it takes {', '.join(widths)}")
    vectors = {name: _vectors(head) for name, head in heads.items()}
    for name, head in vectors.items():
        if head.shape[-1] != widths[name]:
            raise ValueError(
                f"{name} must have width {widths[name]}, got shape {tuple(heads[name].shape)}; the width is the last "
                "axis of (B, width) and (B, M, width), and the second of (B, width, H, W)"
            )
        if head.shape[:2] != vectors["z_e"].shape[:2]:
            raise ValueError(
                f"{name} has shape {tuple(heads[name].shape)}, which does not go with z_e's {tuple(heads['z_e'].shape)}"
            )
    return vectors


def _vectors(head: Tensor) -> Tensor:
    if head.ndim == 2:
        return head.unsqueeze(1)
    if head.ndim == 4:
        return head.flatten(2).transpose(1, 2)
    if head.ndim != 3:
        raise ValueError(f"latents must be (B, d), (B, M, d) or (B, d, H, W), got shape {tuple(head.shape)}")
    return head


def in_shape_of(z_e: Tensor, tensor: Tensor) -> Tensor:
    """A tensor (B, M, ...) of the latent vectors in the shape that z_e came in; another tensor as it is."""
    positions = 1 if z_e.ndim == 2 else z_e.shape[1] if z_e.ndim == 3 else z_e.shape[2] * z_e.shape[3]
    if z_e.ndim == 3 or tensor.ndim < 2 or tensor.shape[:2] != (z_e.shape[0], positions):
        return tensor
    if z_e.ndim == 2:
        return tensor.squeeze(1)
    grid = z_e.shape[2:]
    return tensor.unflatten(1, grid) if tensor.ndim == 2 else tensor.transpose(1, 2).unflatten(2, grid)
