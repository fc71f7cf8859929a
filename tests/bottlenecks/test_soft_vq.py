"""Soft VQ against the paper's claims and against slow evaluations of its equations.

The oracles follow Wu & Flierl (2019): eqs. (4), (5) and (7) for the posterior, (6) for its mean, (27) for the loss.
"""

import math

import numpy as np
import pytest
import torch
from golden import golden, softmax
from golden import squared_distances as numpy_distances
from scipy.optimize import linprog
from scipy.stats import multivariate_normal

from softvq.bottlenecks.base import Latent
from softvq.bottlenecks.soft_vq import ReleasedMNISTSoftVQ, ReleasedSVHNSoftVQ, SoftQuantizer, SoftVQ
from softvq.bottlenecks.vq import VectorQuantizer

FORMS = [SoftVQ, ReleasedMNISTSoftVQ, ReleasedSVHNSoftVQ]
CONVEX_FORMS = [SoftVQ, ReleasedMNISTSoftVQ]


@golden("soft_vq")
def evaluate(now, held, given):
    def quantized(world):
        heads = world.encode(given.x)
        noisy = heads["z_e"] if given.noise is None else heads["z_e"] + given.settings.sigma_eps * given.noise
        log_var, d = heads["log_var"], heads["z_e"].shape[-1]
        distances = numpy_distances(noisy, world.weights["codebook"])
        w = softmax(-distances / (2 * np.exp(log_var)) - d / 2 * log_var)
        return heads["z_e"], noisy, log_var, w, w @ world.weights["codebook"]

    z_e, noisy, log_var, w, z_q = quantized(now)
    z_held, noisy_held, _, _, z_q_held = quantized(held)
    codebook_loss = ((noisy_held - z_q) ** 2).sum((1, 2)).mean()
    commitment_loss = ((noisy - z_q_held) ** 2).sum((1, 2)).mean()
    return {
        "z": z_e + (z_q_held - z_held),
        "penalty": given.settings.codebook_weight * codebook_loss + given.settings.commitment_weight * commitment_loss,
        "terms": {"codebook_loss": codebook_loss, "commitment_loss": commitment_loss, "log_var": log_var.mean()},
        "taps": {"z_q": z_q_held, "posterior": w, "index": w.argmax(-1)},
    }


def quantizer(form: type[SoftQuantizer], codebook: torch.Tensor, **changes) -> SoftQuantizer:
    K, d = codebook.shape
    settings = {"sigma_eps": 0.0, "codebook_weight": 1.0, "commitment_weight": 1.0, "reduction": "sum", **changes}
    return form(d=d, K=K, codebook_init=lambda K, d: codebook.clone(), **settings)


def scale_head(form: type[SoftQuantizer], sigma: torch.Tensor) -> dict[str, torch.Tensor]:
    """The head that says sigma: ln sigma^2 in the paper, ln sigma in the notebooks."""
    return {"log_var": 2 * sigma.log()} if form is SoftVQ else {"log_std": sigma.log()}


def quantized(form: type[SoftQuantizer], codebook: torch.Tensor, z: torch.Tensor, sigma: torch.Tensor) -> Latent:
    return quantizer(form, codebook)({"z_e": z, **scale_head(form, sigma)}, None)


def random_case(B=5, M=2, d=3, K=7):
    """Codebook, z_e and positive sigma in float64."""
    codebook, z_e = torch.randn(K, d).double(), 2 * torch.randn(B, M, d).double()
    return codebook, z_e, (0.5 * torch.randn(B, M, K).double()).exp()


# --- oracles


def oracle_weights(form, z, codebook, sigma):
    """The weights as written, densities and not their logarithms; z (..., d), sigma (..., K)."""
    d = codebook.shape[1]
    squares = ((z[..., None, :] - codebook) ** 2).sum(-1)
    exponential = np.exp(-squares / (2 * sigma**2))
    if form is SoftVQ:  # eq. (5), then eq. (7) with p(mu_k) = 1/K
        density = exponential / np.sqrt((2 * np.pi) ** d * sigma ** (2 * d))
        return density / density.sum(-1, keepdims=True)
    if form is ReleasedMNISTSoftVQ:  # exp(.) / sqrt(1 / sigma^2), normalised
        density = exponential / np.sqrt(1 / sigma**2)
        return density / density.sum(-1, keepdims=True)
    return exponential / exponential.sum(-1, keepdims=True) / np.sqrt(1 / sigma**2)  # normalised first


def oracle_reduce(x, reduction):
    """(B, M, d) to one number: sum or mean over the code, mean over the batch."""
    per_image = [image.sum() if reduction == "sum" else image.mean() for image in x]
    return sum(per_image) / len(per_image)


def log_domain_oracle(z, codebook, log_var):
    """The paper's posterior in extended precision."""
    z, codebook, log_var = (x.detach().numpy().astype(np.longdouble) for x in (z, codebook, log_var))
    squares = ((z[..., None, :] - codebook) ** 2).sum(-1)
    log_density = -0.5 * squares / np.exp(log_var) - 0.5 * codebook.shape[1] * log_var
    density = np.exp(log_density - log_density.max(-1, keepdims=True))
    return density / density.sum(-1, keepdims=True)


# --- Theorem 1: the posterior mean is the best estimate of the codeword behind z'


class MixtureSample:
    """z' ~ N(mu_k, sigma_k^2 I) with k uniform, and what estimators make of it."""

    def __init__(self, N=20_000, K=10, d=4):
        random = np.random.default_rng(0)
        self.codebook = random.normal(size=(K, d))
        self.sigma = np.geomspace(0.2, 2.0, K)[random.permutation(K)]
        self.k = random.integers(K, size=N)
        self.true = self.codebook[self.k]
        self.z = self.true + self.sigma[self.k, None] * random.normal(size=(N, d))
        self.random = random
        latent = quantized(
            SoftVQ,
            torch.from_numpy(self.codebook),
            torch.from_numpy(self.z)[:, None],
            torch.from_numpy(self.sigma).expand(N, 1, K),
        )
        self.estimate = latent.z[:, 0].detach().numpy()
        self.posterior = latent.taps["posterior"][:, 0].detach().numpy()

    def density(self, sigma):
        """p(z' | mu_k) (N, K) by SciPy, each component with its own sigma."""
        return np.stack(
            [
                multivariate_normal(mean, s**2 * np.eye(len(mean))).pdf(self.z)
                for mean, s in zip(self.codebook, sigma, strict=True)
            ],
            axis=1,
        )

    def rivals(self):
        N, K = len(self.z), len(self.codebook)
        density = self.density(self.sigma)
        squares = ((self.z[:, None] - self.codebook) ** 2).sum(-1)
        one_sigma = np.full(K, math.sqrt((self.sigma**2).mean()))
        return {
            "nearest codeword": np.eye(K)[squares.argmin(1)],
            "most probable codeword": np.eye(K)[density.argmax(1)],
            "the released density": oracle_weights(ReleasedMNISTSoftVQ, self.z, self.codebook, self.sigma),
            "the released density, normalised first": oracle_weights(
                ReleasedSVHNSoftVQ, self.z, self.codebook, self.sigma
            ),
            "random convex combinations": self.random.dirichlet(np.ones(K), size=N),
            "one sigma for all": self.density(one_sigma),
            "the prior": np.ones((N, K)),
            "a flatter posterior": density**0.7,
            "a sharper posterior": density**1.4,
        }


@pytest.fixture(scope="module")
def mixture():
    return MixtureSample()


@pytest.fixture(scope="module")
def rivals(mixture):
    return mixture.rivals()


@pytest.mark.parametrize(
    "rival",
    [
        "nearest codeword",
        "most probable codeword",
        "the released density",
        "random convex combinations",
        "one sigma for all",
        "the prior",
        "a flatter posterior",
        "a sharper posterior",
    ],
)
def test_posterior_mean_estimates_the_codeword_better_than_other_convex_combinations(mixture, rivals, rival):
    weights = rivals[rival] / rivals[rival].sum(1, keepdims=True)
    excess = ((weights @ mixture.codebook - mixture.true) ** 2).sum(1) - ((mixture.estimate - mixture.true) ** 2).sum(1)
    assert excess.mean() > 5 * excess.std(ddof=1) / math.sqrt(len(excess))


def test_posterior_mean_estimates_the_codeword_better_than_the_released_svhn_form(mixture, rivals):
    released = rivals["the released density, normalised first"] @ mixture.codebook
    excess = ((released - mixture.true) ** 2).sum(1) - ((mixture.estimate - mixture.true) ** 2).sum(1)
    assert excess.mean() > 5 * excess.std(ddof=1) / math.sqrt(len(excess))


def test_error_of_the_posterior_mean_is_orthogonal_to_what_was_observed(mixture):
    # What E[mu | z'] leaves over correlates with no function of z': nothing is left to improve linearly.
    observed = np.concatenate([mixture.z, mixture.estimate, mixture.posterior, np.ones((len(mixture.z), 1))], axis=1)
    products = (mixture.true - mixture.estimate)[:, :, None] * observed[:, None, :]
    standard_errors = products.std(0, ddof=1) / math.sqrt(len(products))
    assert np.abs(products.mean(0) / standard_errors).max() < 4.5


def test_codewords_occur_as_often_as_the_posterior_says(mixture):
    for k, probability in enumerate(mixture.posterior.T):
        drawn = mixture.k == k
        for low, high in ((0.02, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 0.98)):
            inside = (probability > low) & (probability <= high)
            error = math.sqrt((probability[inside] * (1 - probability[inside])).sum())
            assert abs((drawn[inside] - probability[inside]).sum()) <= 4.5 * error


# --- what the weights are


def test_posterior_between_two_codewords_is_the_logistic_of_a_quarter():
    # ||z' - mu||^2 is 1/16 and 9/16; half the difference is 1/4.
    latent = quantized(SoftVQ, torch.tensor([[0.0], [1.0]]), torch.tensor([[[0.25]]]), torch.ones(1, 1, 2))
    assert latent.taps["posterior"][0, 0, 0].item() == pytest.approx(1 / (1 + math.exp(-1 / 4)), rel=1e-6)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        # Both means at z', sigma 1 and 2, d = 3: densities 1 / sigma^3 = 1 and 1/8.
        (SoftVQ, [8 / 9, 1 / 9]),
        # 1 / sqrt(1 / sigma^2) = sigma = 1 and 2.
        (ReleasedMNISTSoftVQ, [1 / 3, 2 / 3]),
        # Exponentials 1 and 1 are normalised to 1/2, then multiplied by sigma.
        (ReleasedSVHNSoftVQ, [1 / 2, 1]),
    ],
)
def test_wide_components_are_discounted_in_the_paper_and_preferred_in_the_release(form, expected):
    latent = quantized(form, torch.zeros(2, 3), torch.zeros(1, 1, 3), torch.tensor([[[1.0, 2.0]]]))
    np.testing.assert_allclose(latent.taps["posterior"][0, 0].detach(), expected, rtol=1e-6)


@pytest.mark.parametrize("form", CONVEX_FORMS)
def test_equidistant_codewords_give_a_uniform_posterior(form):
    d = 5
    codebook = torch.cat([torch.eye(d), -torch.eye(d)])
    latent = quantized(form, codebook, torch.zeros(1, 1, d), torch.full((1, 1, 2 * d), 0.3))
    np.testing.assert_allclose(latent.taps["posterior"].detach(), 1 / (2 * d), rtol=1e-6)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize(("B", "M", "d", "K"), [(1, 1, 1, 2), (6, 1, 4, 9), (3, 4, 2, 5), (2, 3, 7, 3)])
@pytest.mark.parametrize("form", FORMS)
def test_soft_vq_equals_its_equations_in_numpy(form, B, M, d, K, reduction):
    codebook, z_e, sigma = random_case(B, M, d, K)
    noise = torch.randn(B, M, d).double()
    bottleneck = quantizer(
        form, codebook, sigma_eps=0.3, codebook_weight=1.7, commitment_weight=0.6, reduction=reduction
    )
    scale = scale_head(form, sigma)
    latent = bottleneck({"z_e": z_e, **scale}, noise)

    mu, noisy, s = codebook.numpy(), z_e.numpy() + 0.3 * noise.numpy(), sigma.numpy()
    w = oracle_weights(form, noisy, mu, s)
    z_q = (w[..., None] * mu).sum(-2)  # eq. (6)
    term = oracle_reduce((noisy - z_q) ** 2, reduction)
    expected = {
        "codebook_loss": term,
        "commitment_loss": term,
        next(iter(scale)): next(iter(scale.values())).mean(),
    }
    tight = {"rtol": 1e-10, "atol": 1e-12}
    np.testing.assert_allclose(latent.z.detach(), z_q, **tight)
    np.testing.assert_allclose(latent.penalty.item(), 1.7 * term + 0.6 * term, **tight)
    assert latent.terms.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(latent.terms[name].item(), value, err_msg=name, **tight)
    taps = {"z_e": z_e.numpy(), "z_q": z_q, "posterior": w, "index": w.argmax(-1), **scale}
    assert latent.taps.keys() == taps.keys()
    for name, value in taps.items():
        np.testing.assert_allclose(latent.taps[name].detach(), value, err_msg=name, **tight)


# --- soft VQ beside VQ


@pytest.mark.parametrize("form", CONVEX_FORMS)
def test_soft_vq_becomes_vq_as_equal_variances_vanish(form):
    codebook, z_e, _ = random_case(B=32, M=2, d=8, K=16)
    hard = VectorQuantizer(
        d=8, K=16, codebook_weight=1.0, commitment_weight=1.0, reduction="sum", codebook_init=lambda K, d: codebook
    )({"z_e": z_e}, None)
    softs = [
        quantized(form, codebook, z_e, torch.full((32, 2, 16), s, dtype=torch.float64))
        for s in (3.0, 1.0, 0.3, 0.1, 0.001)
    ]
    gaps = [(soft.z - hard.z).square().mean().item() for soft in softs]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0.5
    torch.testing.assert_close(softs[-1].z, hard.z, rtol=0, atol=1e-12)
    torch.testing.assert_close(softs[-1].penalty, hard.penalty, rtol=0, atol=1e-10)
    assert torch.equal(softs[-1].taps["index"], hard.taps["index"])


def test_released_svhn_output_shrinks_to_zero_with_the_variances():
    # Its weights sum to sigma, not to 1: sigma times the nearest codeword is left.
    codebook, z_e, _ = random_case(B=32, M=2, d=8, K=16)
    nearest = codebook[(z_e[..., None, :] - codebook).norm(dim=-1).argmin(-1)]
    for sigma in (0.01, 0.001):
        soft = quantized(ReleasedSVHNSoftVQ, codebook, z_e, torch.full((32, 2, 16), sigma, dtype=torch.float64))
        torch.testing.assert_close(soft.z, sigma * nearest, rtol=1e-9, atol=1e-12)


def in_convex_hull(point: np.ndarray, codebook: np.ndarray) -> bool:
    """Whether a linear program finds weights >= 0 of sum 1 that give the point."""
    K = len(codebook)
    found = linprog(np.zeros(K), A_eq=np.vstack([codebook.T, np.ones(K)]), b_eq=np.append(point, 1.0), bounds=(0, None))
    assert found.status in (0, 2)  # found, or infeasible
    return found.status == 0


@pytest.mark.parametrize("form", CONVEX_FORMS)
def test_output_lies_in_the_convex_hull_of_the_codebook(form):
    codebook, z_e, _ = random_case(B=20, M=2, d=3, K=8)
    z_e = 5 * z_e  # mostly outside
    for spread in (0.1, 1, 4):
        sigma = (spread * torch.randn(20, 2, 8).double()).exp()
        for output in quantized(form, codebook, z_e, sigma).z.detach().flatten(0, 1).numpy():
            assert in_convex_hull(output, codebook.numpy())
    assert not any(in_convex_hull(z, codebook.numpy()) for z in 20 * z_e[:, 0].numpy())  # the program can say no


def test_released_svhn_output_leaves_the_convex_hull():
    codebook, z_e, sigma = random_case(B=20, M=1, d=3, K=8)
    latent = quantized(ReleasedSVHNSoftVQ, codebook, z_e, sigma)
    outside = [not in_convex_hull(z, codebook.numpy()) for z in latent.z[:, 0].detach().numpy()]
    assert any(outside)
    # Its weights sum to the mean of sigma under the normalised exponentials.
    squares = ((z_e[..., None, :] - codebook) ** 2).sum(-1)
    normalised = torch.softmax(-squares / (2 * sigma**2), dim=-1)
    torch.testing.assert_close(latent.taps["posterior"].sum(-1), (normalised * sigma).sum(-1))
    assert (latent.taps["posterior"].sum(-1) - 1).abs().max() > 0.2


@pytest.mark.parametrize("form", CONVEX_FORMS)
def test_weights_are_probabilities(form):
    codebook, z_e, sigma = random_case(B=20)
    w = quantized(form, codebook, z_e, sigma).taps["posterior"]
    assert (w >= 0).all()
    torch.testing.assert_close(w.sum(-1), torch.ones(20, 2).double())


# --- the log domain

# Length of the codewords; ln sigma_k^2 from, to. A float32 code of length 1 resolves a sigma of about 1e-7.
REPRESENTABLE = {
    "unit": (1.0, -1.0, 1.0),
    "far codewords": (1e4, -1.0, 1.0),
    "far codewords, wide components": (1e4, 16.0, 18.0),
    "tiny variances": (1.0, -30.0, -25.0),
    "huge variances": (1.0, 50.0, 60.0),
    "beyond float32": (1.0, 100.0, 150.0),
    "tiny beside huge": (1.0, -28.0, 60.0),
    "tight, far from zero": (100.0, -14.0, -6.0),
}
EXTREME = {**REPRESENTABLE, "the inverse beyond float32": (1.0, -150.0, -100.0), "all at once": (1e4, -150.0, 150.0)}


def extreme_case(name: str, d: int, dtype: torch.dtype, K=24, B=16):
    """z' on codewords, near them by their sigma, between two of them, and far from all."""
    length, low, high = EXTREME[name]
    codebook = length * torch.randn(K, d).double() / math.sqrt(d)
    log_var = low + (high - low) * torch.rand(4 * B, 1, K).double()
    k = torch.randint(K, (B,))
    sigma = (0.5 * log_var[torch.arange(B) + B, 0, k]).exp().clamp(max=1e6)
    z = torch.cat(
        [
            codebook[k],
            codebook[k] + sigma[:, None] * torch.randn(B, d),
            (codebook[k] + codebook[(k + 1) % K]) / 2,
            100 * length * torch.randn(B, d),
        ]
    )[:, None]
    return codebook.to(dtype), z.to(dtype), log_var.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [64, 256])
@pytest.mark.parametrize("name", REPRESENTABLE)
def test_posterior_equals_extended_precision_for_any_distance_and_variance(name, d, dtype):
    codebook, z, log_var = extreme_case(name, d, dtype)
    latent = quantizer(SoftVQ, codebook)({"z_e": z, "log_var": log_var}, None)
    expected = log_domain_oracle(z, codebook, log_var).astype(np.float64)
    np.testing.assert_allclose(latent.taps["posterior"].detach(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("d", [64, 256])
@pytest.mark.parametrize("name", EXTREME)
@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients_stay_finite_for_any_distance_and_variance(form, name, d):
    codebook, z, log_var = extreme_case(name, d, torch.float32)
    if form is ReleasedSVHNSoftVQ:
        log_var = log_var.clamp(max=40)  # its output is proportional to sigma
    bottleneck = quantizer(form, codebook)
    scale = (log_var if form is SoftVQ else log_var / 2).requires_grad_()
    heads = {"z_e": z.requires_grad_(), form.scale_head: scale}
    latent = bottleneck(heads, None)
    for number in (latent.z, latent.penalty, *latent.terms.values(), *latent.taps.values()):
        assert torch.isfinite(number).all()
    (latent.z.sum() + latent.penalty).backward()
    for parameter in (bottleneck.codebook, z, scale):
        assert torch.isfinite(parameter.grad).all()


def test_a_tight_component_keeps_its_share_far_from_zero():
    # Codewords at distance 200 from each other, sigma 0.001 and 1, d = 64. On the line from the tight one, the
    # densities are equal where r^2 / (2 * 1e-6) - (200 - r)^2 / 2 = 64 ln 1000; the share of the tight component
    # falls from 1 to 0 within a thousandth around that r.
    d = 64
    codebook = torch.zeros(2, d).double()
    codebook[:, 0] = torch.tensor([100.0, -100.0])
    log_var = torch.tensor([[[math.log(1e-6), 0.0]]]).double()
    balance = np.roots([1 / 2e-6 - 1 / 2, 200, -(200**2) / 2 - d * math.log(1000)]).max()
    for factor in (0.999, 1.0, 1.001):
        z = codebook[:1, None].clone()
        z[..., 0] -= balance * factor
        single = [x.float() for x in (codebook, z, log_var)]
        found = quantizer(SoftVQ, single[0])({"z_e": single[1], "log_var": single[2]}, None).taps["posterior"]
        np.testing.assert_allclose(found.detach(), log_domain_oracle(single[1], single[0], single[2]), atol=1e-6)


# --- gradients


def numeric_gradient(f, x: np.ndarray, step=1e-5) -> np.ndarray:
    """Central differences of a scalar function."""
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        change = np.zeros_like(x)
        change[i] = step
        gradient[i] = (f(x + change) - f(x - change)) / (2 * step)
    return gradient


class Routes:
    """Gradients of one part of the loss with respect to z_e, the scale head and the codebook; None: no route."""

    def __init__(self, form, sigma_eps=0.4):
        self.codebook, self.z_e, sigma = random_case(B=3, M=2, d=3, K=4)
        self.scale = scale_head(form, sigma)[form.scale_head]
        self.noise = torch.randn(3, 2, 3).double()
        self.form, self.sigma_eps = form, sigma_eps
        self.noisy = (self.z_e + sigma_eps * self.noise).numpy()

    def of(self, part):
        bottleneck = quantizer(self.form, self.codebook, sigma_eps=self.sigma_eps)
        z_e, scale = self.z_e.clone().requires_grad_(), self.scale.clone().requires_grad_()
        latent = bottleneck({"z_e": z_e, self.form.scale_head: scale}, self.noise)
        return torch.autograd.grad(part(latent), (z_e, scale, bottleneck.codebook), allow_unused=True)

    def z_q(self, noisy, scale, codebook):
        sigma = np.exp(scale / 2) if self.form is SoftVQ else np.exp(scale)
        return oracle_weights(self.form, noisy, codebook, sigma) @ codebook


@pytest.mark.parametrize("form", FORMS)
def test_codebook_term_trains_codewords_scale_head_and_encoder_through_the_weights(form):
    routes = Routes(form)
    z_e, scale, codebook = routes.z_e.numpy(), routes.scale.numpy(), routes.codebook.numpy()

    def loss(z_e, scale, codebook):  # sg(z') stands still, the z' inside the weights moves
        moved = z_e + 0.4 * routes.noise.numpy()
        return ((routes.noisy - routes.z_q(moved, scale, codebook)) ** 2).sum() / len(z_e)

    expected = (
        numeric_gradient(lambda x: loss(x, scale, codebook), z_e),
        numeric_gradient(lambda x: loss(z_e, x, codebook), scale),
        numeric_gradient(lambda x: loss(z_e, scale, x), codebook),
    )
    for found, wanted in zip(routes.of(lambda latent: latent.terms["codebook_loss"]), expected, strict=True):
        assert np.abs(wanted).max() > 1e-2
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_commitment_term_trains_the_encoder_alone(form):
    routes = Routes(form)
    z_e, scale, codebook = routes.of(lambda latent: latent.terms["commitment_loss"])
    pull = 2 * (routes.noisy - routes.z_q(routes.noisy, routes.scale.numpy(), routes.codebook.numpy())) / len(z_e)
    np.testing.assert_allclose(z_e, pull, rtol=1e-9)
    assert scale is None
    assert codebook is None


@pytest.mark.parametrize("form", FORMS)
def test_decoder_gradient_reaches_the_encoder_by_the_copy_alone(form):
    routes = Routes(form)
    from_decoder = torch.randn(3, 2, 3).double()
    z_e, scale, codebook = routes.of(lambda latent: (latent.z * from_decoder).sum())
    assert torch.equal(z_e, from_decoder)
    assert scale is None
    assert codebook is None


@pytest.mark.parametrize("form", FORMS)
def test_penalty_gradient_is_the_weighted_sum_of_its_terms(form):
    routes = Routes(form)
    codebook_part = routes.of(lambda latent: latent.terms["codebook_loss"])
    commitment_part = routes.of(lambda latent: latent.terms["commitment_loss"])
    bottleneck = quantizer(form, routes.codebook, sigma_eps=0.4, codebook_weight=3.0, commitment_weight=7.5)
    z_e, scale = routes.z_e.clone().requires_grad_(), routes.scale.clone().requires_grad_()
    bottleneck({"z_e": z_e, form.scale_head: scale}, routes.noise).penalty.backward()
    torch.testing.assert_close(z_e.grad, 3.0 * codebook_part[0] + 7.5 * commitment_part[0])
    torch.testing.assert_close(scale.grad, 3.0 * codebook_part[1])
    torch.testing.assert_close(bottleneck.codebook.grad, 3.0 * codebook_part[2])


# --- noise


def test_noise_moves_the_estimate_and_leaves_the_code_alone():
    codebook, z_e, sigma = random_case()
    noise = torch.randn(5, 2, 3).double()
    heads = {"z_e": z_e, **scale_head(SoftVQ, sigma)}
    noisy = quantizer(SoftVQ, codebook, sigma_eps=0.2)(heads, noise)
    shifted = quantizer(SoftVQ, codebook)({**heads, "z_e": z_e + 0.2 * noise}, None)
    torch.testing.assert_close(noisy.z, shifted.z)
    torch.testing.assert_close(noisy.penalty, shifted.penalty)
    assert torch.equal(noisy.taps["z_e"], z_e)


def test_noise_none_is_noise_zero():
    codebook, z_e, sigma = random_case()
    heads = {"z_e": z_e, **scale_head(SoftVQ, sigma)}
    bottleneck = quantizer(SoftVQ, codebook, sigma_eps=0.2)
    assert torch.equal(bottleneck(heads, None).z, bottleneck(heads, torch.zeros(5, 2, 3).double()).z)


def test_drawn_noise_is_white_with_unit_variance():
    noise = quantizer(SoftVQ, torch.randn(4, 6), sigma_eps=0.2).draw_noise(2000, 3, torch.Generator().manual_seed(0))
    assert noise.shape == (2000, 3, 6)
    assert abs(noise.mean().item()) < 4.5 / math.sqrt(noise.numel())
    assert abs(noise.var().item() - 1) < 4.5 * math.sqrt(2 / noise.numel())
    correlations = torch.corrcoef(noise.flatten(1).T) - torch.eye(18)
    assert correlations.abs().max() < 4.5 / math.sqrt(2000)


def test_without_noise_nothing_is_drawn():
    assert quantizer(SoftVQ, torch.randn(4, 6)).draw_noise(2, 3, torch.Generator()) is None


# --- settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma_eps": -0.1}, "bottleneck.sigma_eps must be at least 0, got -0.1"),
        ({"sigma_eps": math.nan}, "bottleneck.sigma_eps must be at least 0, got nan"),
        ({"codebook_weight": -1.0}, "bottleneck.codebook_weight must be at least 0, got -1.0"),
        ({"commitment_weight": -2.0}, "bottleneck.commitment_weight must be at least 0, got -2.0"),
        ({"reduction": "max"}, "bottleneck.reduction must be one of sum, mean, got 'max'"),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_settings_out_of_range_are_refused_by_key_and_value(form, changes, message):
    with pytest.raises(ValueError, match=message):
        quantizer(form, torch.randn(4, 3), **changes)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 3), "bottleneck.K must be at least 2, got 1"), ((4, 0), "network.d must be at least 1, got 0")],
)
def test_too_few_codewords_or_units_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        quantizer(SoftVQ, torch.zeros(shape))


def test_a_code_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"width 5 .* d = 3; set network\.d"):
        quantizer(SoftVQ, torch.randn(4, 3))({"z_e": torch.zeros(2, 1, 5), "log_var": torch.zeros(2, 1, 4)}, None)
