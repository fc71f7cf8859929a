"""Quantizers of the package vector-quantize-pytorch (the extra `vq`) as bottlenecks."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import embedding, rms_norm

from softvq.bottlenecks.base import Bottleneck, Latent
from softvq.bottlenecks.codebook import squared_distances, straight_through
from softvq.checks import at_least
from softvq.extras import needed

KNOWN = ("FSQ", "LFQ", "SimVQ", "ResidualVQ", "VectorQuantize")


class LibraryQuantizer(Bottleneck):
    """One of the package's quantizers, which quantizes z_e, brings its own gradient, and says its own loss.

    The penalty is loss_weight * the quantizer's loss, in the units of a loss that is a mean (`mean_scale`); in
    evaluation mode the package has none.

    Only quantizers that draw nothing at random and learn by gradients alone are within the interface's promises:
    `learnable_codebook: true, ema_update: false` for VectorQuantize and ResidualVQ. Those two look whether z_e requires
    a gradient, which no tensor under vmap says truly: let them leave the gradient alone (`route_gradients_to_input:
    false`), and take a subclass that brings it.

    Args:
        d: width of a code.
        quantizer: the class's name in the package.
        loss_weight: of the quantizer's loss.
        options: the class's arguments, but for `dim`, which is d.
    """

    def __init__(self, d: int, quantizer: str, loss_weight: float, options: Mapping[str, Any]) -> None:
        super().__init__()
        at_least("network.d", d, 1, whole=True)
        at_least("bottleneck.loss_weight", loss_weight, 0)
        if quantizer not in KNOWN:
            raise ValueError(f"bottleneck.quantizer must be one of {', '.join(KNOWN)}, got {quantizer!r}")
        with needed(f"bottleneck.quantizer={quantizer}", "vq"):
            import vector_quantize_pytorch
        try:
            with torch.device(
                "cpu"
            ):  # the package computes with numbers, which the device `meta` of a plan's check lacks
                made = getattr(vector_quantize_pytorch, quantizer)(dim=d, **options)
        except (AssertionError, TypeError) as error:
            reason = str(error) or "they do not fit together"
            raise ValueError(f"bottleneck.options are not {quantizer}'s: {reason}") from error
        self.d, self.loss_weight = d, loss_weight
        self.quantizer: Any = (
            _without_flags(made).to(torch.get_default_device()).train()
        )  # the package's copies may come in evaluation mode

    @property
    def heads(self) -> dict[str, int]:
        return {"z_e": self.d}

    @property
    def codewords(self) -> Tensor:
        """(K, d); of a residual quantizer those of all stages, one stage after the other."""
        if hasattr(self.quantizer, "codebooks"):
            return self.quantizer.codebooks.flatten(0, 1)
        codes = getattr(self.quantizer, "implicit_codebook", None)
        codes = self.quantizer.codebook if codes is None else codes
        return self.quantizer.project_out(codes) if hasattr(self.quantizer, "project_out") else codes

    def forward(self, heads: dict[str, Tensor], noise: None) -> Latent:
        z_e = heads["z_e"]
        z, index, *losses = self._quantized(self.scaled(z_e))
        z = self.routed(z_e, z.to(z_e.dtype))
        loss = losses[0].sum().to(z_e.dtype) if losses and self.training else z_e.new_zeros(())
        taps = {"z_e": z_e, "z_q": z}
        if index.ndim == 3:  # (B, M, stages), each counted in a codebook of its own
            stages, K = index.shape[-1], self.quantizer.codebook_size
            index = index + K * torch.arange(stages, device=index.device)
            taps["rate"] = torch.full_like(z_e[..., 0], stages * math.log2(K))  # of a code of fixed length
        return Latent(
            z=z,
            penalty=self.mean_scale * self.loss_weight * loss,
            terms={"quantizer_loss": loss} if losses else {},
            taps={**taps, "index": index.long()},
        )

    def scaled(self, z_e: Tensor) -> Tensor:
        """What the quantizer reads (B, M, d); here z_e as it is."""
        return z_e

    def routed(self, z_e: Tensor, z: Tensor) -> Tensor:
        """The quantized z (B, M, d) with the gradient to z_e that it is to have; here the package's own."""
        return z

    def _quantized(self, z_e: Tensor) -> tuple[Tensor, ...]:
        """What the package returns, which does not compute everything in 16 bits."""
        if z_e.dtype.itemsize > 2:
            return self.quantizer(z_e)
        tensors = {**dict(self.quantizer.named_parameters()), **dict(self.quantizer.named_buffers())}
        single = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
        with torch.autocast(z_e.device.type, enabled=False):
            return functional_call(self.quantizer, single, (z_e.float(),))


class StraightThroughLibraryQuantizer(LibraryQuantizer):
    """A quantizer of the package; the decoder's gradient is copied to z_e."""

    def routed(self, z_e: Tensor, z: Tensor) -> Tensor:
        return straight_through(z_e, z)


class SimVQQuantizer(StraightThroughLibraryQuantizer):
    """SimVQ of the package; in evaluation mode the nearest codeword is found here.

    The package finds it by functions that fix the size of a batch when a model is exported, and that ONNX lacks.
    """

    def _quantized(self, z_e: Tensor) -> tuple[Tensor, ...]:
        if self.training:
            return super()._quantized(z_e)
        index = squared_distances(z_e.detach(), self.codewords).argmin(-1)
        return embedding(index, self.codewords), index, z_e.new_zeros(())


class NormalizedLibraryQuantizer(LibraryQuantizer):
    """A quantizer of the package that reads z_e / rms(z_e): for one that bounds its input and has no loss to hold it.

    In the first steps all codes move the same way, as the decoder learns to paint the mean image. Within twenty of
    them z_e is so large that a tanh is at its end for every image, and its gradient is gone for good. The authors'
    networks end in a normalisation, which keeps the scale; those of this package do not.
    """

    def scaled(self, z_e: Tensor) -> Tensor:
        return rms_norm(z_e, z_e.shape[-1:])


class RotatedLibraryQuantizer(LibraryQuantizer):
    """A quantizer of the package; the decoder's gradient is turned and scaled as z_e is to its codeword.

    Reference: Fifty et al. (2025), section 4.2.
    """

    def routed(self, z_e: Tensor, z: Tensor) -> Tensor:
        from vector_quantize_pytorch.vector_quantize_pytorch import rotate_to

        return rotate_to(z_e, z)


class _Zero(Tensor):
    """A zero that stays one when it is told to require a gradient, which no function under vmap may be told."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    def requires_grad_(self, requires_grad: bool = True) -> "_Zero":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Zero":
        return torch.zeros(()).as_subclass(_Zero)


def _without_flags(quantizer: nn.Module) -> nn.Module:
    """The quantizer with plain values in place of two buffers that never change with these options.

    A step that asks a tensor whether the codebook has begun, or has a zero require a gradient, can be neither captured
    nor run over stacked weights.
    """
    for module in quantizer.modules():
        if "initted" in module._buffers:
            del module.initted
            module.initted = True  # type: ignore[assignment]
        if type(module).__name__ == "VectorQuantize":
            del module.zero
            module.zero = torch.zeros(()).as_subclass(_Zero)
    return quantizer
