"""The deep variational information bottleneck, which learns from labels (Alemi et al., 2017)."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from softvq.bottlenecks.base import Coder, Latent, Noise, Objective
from softvq.bottlenecks.vae import WeightedKL, kl_to_standard_normal


class DVIB(WeightedKL):
    r"""A code that is to tell the label and little else: CE(y, classifier(z)) + kl_weight * KL(q(z | x) || N(0, I)).

    z ~ q(z | x) = N(mu, sigma^2) with sigma = softplus(s - 5). A linear classifier reads z, the mean over positions
    where there are several. Without noise z = mu.

    There is no reconstruction in the method. The decoder learns to reconstruct from z behind a stop-gradient, so that
    one can see what of the image the code has kept; nothing of that reaches encoder or classifier.

    It sees labels, so its results stand apart from those of the unsupervised methods.

    Reference: Alemi et al. (2017), eq. (17), and section 4.1 for the softplus.
    """

    learns_from_labels = True
    classifier: nn.Module

    @property
    def heads(self) -> dict[str, int]:
        return {"z_e": self.d, "scale": self.d}

    def attach(
        self, image_shape: tuple[int, int, int], classes: int, encoder: Callable[..., nn.Module], mean_scale: float
    ) -> None:
        super().attach(image_shape, classes, encoder, mean_scale)
        if classes < 2:
            raise ValueError(f"bottleneck=dvib learns from labels, but the data have {classes} classes; choose another")
        self.classifier = nn.Linear(self.d, classes)

    def forward(self, heads: dict[str, Tensor], noise: Tensor | None) -> Latent:
        mean, std = heads["z_e"], softplus(heads["scale"] - 5)
        log_var = 2 * std.log()
        return self.latent(mean, std, log_var, kl_to_standard_normal(mean, log_var), noise)

    def objective(self, coder: Coder, x: Tensor, noise: Noise, labels: Tensor | None) -> Objective:
        latent = self(coder.encode_pixels(x), noise)
        reconstruction_loss = coder.reconstruction_loss(coder.decode(latent.z.detach()), x)
        terms = {"reconstruction_loss": reconstruction_loss, **latent.terms}
        loss = reconstruction_loss + coder.penalty_weight * latent.penalty
        if labels is not None:
            terms["classification_loss"] = cross_entropy(self.classifier(latent.z.mean(1)), labels.long())
            loss = loss + terms["classification_loss"]
        return Objective(loss, terms, latent)
