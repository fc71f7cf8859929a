"""No bottleneck: the baseline autoencoder."""

from torch import Tensor

from softvq.bottlenecks.base import Bottleneck, Latent
from softvq.checks import at_least


class Identity(Bottleneck):
    """Feeds the encoder output directly to the decoder.

    Reference: Wu & Flierl (2019), "Model Implementation": the baseline autoencoder.
    """

    def __init__(self, d: int) -> None:
        super().__init__()
        at_least("network.d", d, 1, whole=True)
        self.d = d

    @property
    def heads(self) -> dict[str, int]:
        return {"z_e": self.d}

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        z_e = heads["z_e"]
        return Latent(z=z_e, penalty=z_e.new_zeros(()), taps={"z_e": z_e})
