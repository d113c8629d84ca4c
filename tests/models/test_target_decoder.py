"""The decoder of a target, from whose prediction z is integrated out."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Laplace, Normal, OneHotCategorical

from enrapt.models.likelihoods import Parameters, logit_normal, parameters, sample
from enrapt.models.modality import Modality
from enrapt.models.target import Prediction, TargetDecoder, predictive

DRAWS = 400_000
SCALED = ("normal", "laplace", "logit_normal")
LIKELIHOODS = (*SCALED, "bernoulli", "categorical")


def decoder_of(likelihood, hidden=6, dim=1):
    """With the scale at its value for the mean of z, where that is a condition for being exact."""
    torch.manual_seed(3)
    decoder = TargetDecoder(Modality("y", dim, "target", likelihood), latent=4, hidden=hidden)
    if not hidden and likelihood in SCALED:
        decoder.of_z.weight.data[dim:] = 0
    return decoder


def given(hidden=6, spread=4.0):
    """Mean and variance of z, and h."""
    g = torch.Generator().manual_seed(4)
    h = torch.randn(1, 6, generator=g) if hidden else None
    return torch.randn(1, 4, generator=g), spread * torch.rand(1, 4, generator=g), h


def outputs_of_draws(decoder, z_mean, z_variance, h):
    """The decoder's outputs for draws of z, `[DRAWS, width]`."""
    z = z_mean + z_variance.sqrt() * torch.randn(DRAWS, 4, generator=torch.Generator().manual_seed(5))
    return decoder(z, h if h is None else h.expand(DRAWS, -1))


def check(prediction: Prediction, y, mean=2e-3, ends=5e-3):
    """Against draws `[DRAWS, D]`."""
    torch.testing.assert_close(prediction.mean[0], y.mean(0), atol=mean, rtol=0)
    torch.testing.assert_close(prediction.std[0], y.std(0), atol=mean, rtol=0)
    low, high = torch.quantile(y, torch.tensor([0.05, 0.95]), 0)
    torch.testing.assert_close(prediction.low[0], low, atol=ends, rtol=0)
    torch.testing.assert_close(prediction.high[0], high, atol=ends, rtol=0)


@pytest.mark.parametrize("hidden", [6, 0])
@torch.no_grad()
def test_the_prediction_of_a_logit_normal_is_the_mixture_over_z(hidden):
    decoder, known = decoder_of("logit_normal", hidden), given(hidden)
    drawn = parameters("logit_normal", outputs_of_draws(decoder, *known))
    check(decoder.predict(*known), sample("logit_normal", drawn))


@pytest.mark.parametrize("hidden", [6, 0])
@torch.no_grad()
def test_the_prediction_of_a_normal_is_the_mixture_over_z(hidden):
    """Whose mean, deviation and interval are exact: the draws have the error."""
    decoder, known = decoder_of("normal", hidden, dim=2), given(hidden)
    drawn = parameters("normal", outputs_of_draws(decoder, *known))
    check(decoder.predict(*known), sample("normal", drawn), mean=6e-3, ends=1.5e-2)


@torch.no_grad()
def test_the_prediction_of_a_laplace_has_the_mean_and_variance_of_the_mixture():
    """Its interval is that of the normal distribution of the same variance, and holds nearly as much."""
    decoder, known = decoder_of("laplace", dim=2), given(spread=1.0)
    y = sample("laplace", parameters("laplace", outputs_of_draws(decoder, *known)))
    found = decoder.predict(*known)
    torch.testing.assert_close(found.mean[0], y.mean(0), atol=1e-2, rtol=0)
    torch.testing.assert_close(found.std[0], y.std(0), atol=1e-2, rtol=0)
    held = ((y >= found.low) & (y <= found.high)).float().mean(0)
    torch.testing.assert_close(held, torch.full((2,), 0.9), atol=0.03, rtol=0)


@pytest.mark.parametrize("hidden", [6, 0])
@torch.no_grad()
def test_the_prediction_of_a_bernoulli_is_the_mixture_over_z(hidden):
    decoder, known = decoder_of("bernoulli", hidden), given(hidden, spread=9.0)
    check(decoder.predict(*known), torch.sigmoid(outputs_of_draws(decoder, *known)))


@torch.no_grad()
def test_the_prediction_of_a_categorical_is_nearly_the_mixture_over_z():
    """By MacKay's approximation: within 0.03 of the probabilities."""
    decoder, known = decoder_of("categorical", dim=3), given(spread=2.0)
    p = torch.softmax(outputs_of_draws(decoder, *known), -1)
    found = decoder.predict(*known)
    torch.testing.assert_close(found.mean[0], p.mean(0), atol=0.03, rtol=0)
    torch.testing.assert_close(found.mean.sum(-1), torch.ones(1))
    assert (found.low >= 0).all()
    assert (found.low <= found.mean).all()
    assert (found.mean <= found.high).all()
    assert (found.high <= 1).all()


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@torch.no_grad()
def test_without_uncertainty_of_z_the_prediction_is_the_likelihoods(likelihood):
    decoder, (z_mean, z_variance, h) = decoder_of(likelihood, dim=3), given()
    location, scale = parameters(likelihood, decoder(z_mean, h))
    found = decoder.predict(z_mean, 0 * z_variance, h)
    match likelihood:
        case "normal":
            expected = Normal(location, scale)
        case "laplace":
            expected = Laplace(location, scale)
        case "bernoulli":
            expected = Bernoulli(logits=location)
        case "categorical":
            expected = OneHotCategorical(logits=location)
        case "logit_normal":
            again = predictive(likelihood, Parameters(location, scale), torch.zeros_like(location))
            assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))
            return
    torch.testing.assert_close(found.mean, expected.mean)
    if likelihood in SCALED:
        torch.testing.assert_close(found.std, expected.stddev)


# −log p(y) with z integrated out.


@torch.no_grad()
def mixture_nll(decoder, y, z_mean, z_variance, h):
    """−log of the mean density over draws of z."""
    location, scale = parameters(decoder.likelihood, outputs_of_draws(decoder, z_mean, z_variance, h))
    match decoder.likelihood:
        case "normal":
            nats = -Normal(location, scale).log_prob(y).sum(-1)
        case "laplace":
            nats = -Laplace(location, scale).log_prob(y).sum(-1)
        case "logit_normal":
            nats = logit_normal(y, location, scale).sum(-1)
        case "bernoulli":
            nats = -Bernoulli(logits=location).log_prob(y).sum(-1)
        case _:
            nats = -OneHotCategorical(logits=location).log_prob(y)
    return math.log(len(nats)) - torch.logsumexp(-nats, 0)


@pytest.mark.parametrize(
    ("likelihood", "values", "allowed"),
    [
        ("normal", (-2.0, 0.0, 1.5), 0.02),
        ("logit_normal", (0.02, 0.4, 0.97), 0.02),
        ("bernoulli", (0.0, 1.0), 0.005),
        # That of the Laplace with the same variance: beside a normal, at most log √π = 0.57 at the mean.
        ("laplace", (-2.0, 0.0, 1.5), 0.58),
    ],
)
@pytest.mark.parametrize("hidden", [6, 0])
@torch.no_grad()
def test_the_integrated_likelihood_is_that_of_the_mixture(likelihood, values, allowed, hidden):
    decoder, known = decoder_of(likelihood, hidden), given(hidden, spread=2.0)
    for y in values:
        found = decoder.integrated_nll(torch.full((1, 1), y), *known)
        expected = mixture_nll(decoder, torch.full((1, 1), y), *known)
        assert found.item() == pytest.approx(expected.item(), abs=allowed)


@torch.no_grad()
def test_the_integrated_likelihood_of_categories_is_nearly_that_of_the_mixture():
    decoder, known = decoder_of("categorical", dim=3), given(spread=2.0)
    for y in torch.eye(3):
        found = decoder.integrated_nll(y.unsqueeze(0), *known)
        assert found.item() == pytest.approx(mixture_nll(decoder, y, *known).item(), abs=0.15)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@torch.no_grad()
def test_without_uncertainty_of_z_the_integrated_likelihood_is_the_likelihoods(likelihood):
    decoder, (z_mean, _, h) = decoder_of(likelihood, dim=3), given()
    y = torch.eye(3)[:1] if likelihood == "categorical" else torch.tensor([[0.0, 1.0, 1.0]])
    y = torch.tensor([[0.1, 0.5, 0.8]]) if likelihood in SCALED else y
    nothing = torch.zeros(1, 4)
    location, scale = parameters(likelihood, decoder(z_mean, h))
    by_draws = {
        "normal": lambda: Normal(location, scale).log_prob(y).sum(-1),
        "laplace": lambda: Laplace(location, scale).log_prob(y).sum(-1),
        "logit_normal": lambda: -logit_normal(y, location, scale).sum(-1),
        "bernoulli": lambda: Bernoulli(logits=location).log_prob(y).sum(-1),
        "categorical": lambda: OneHotCategorical(logits=location).log_prob(y),
    }
    torch.testing.assert_close(
        decoder.integrated_nll(y, z_mean, nothing, h), -by_draws[likelihood](), atol=1e-4, rtol=1e-4
    )


@torch.no_grad()
def test_the_density_of_a_logit_normal_integrates_to_one():
    decoder, (z, z_variance, h) = decoder_of("logit_normal"), given()
    y = torch.linspace(0.001, 0.999, 20_001)[:, None]
    for variance in (0 * z_variance, z_variance):
        nats = decoder.integrated_nll(y, z.expand(len(y), 4), variance.expand(len(y), 4), h.expand(len(y), 6))
        inside = torch.trapezoid((-nats).exp(), y[:, 0]).item()
        assert inside == pytest.approx(1, abs=2e-3)


@torch.no_grad()
def test_the_probabilities_of_a_bernoulli_add_up_to_one():
    decoder = decoder_of("bernoulli")
    z, z_variance, h = torch.randn(5, 4), 4 * torch.rand(5, 4), torch.randn(5, 6)
    both = sum((-decoder.integrated_nll(torch.full((5, 1), y), z, z_variance, h)).exp() for y in (0.0, 1.0))
    torch.testing.assert_close(both, torch.ones(5))


@pytest.mark.parametrize("y", [0.0, 1.0])
@torch.no_grad()
def test_labels_at_the_edges_have_finite_density(y):
    nats = decoder_of("logit_normal").integrated_nll(
        torch.tensor([[y]]), torch.zeros(1, 4), torch.ones(1, 4), torch.zeros(1, 6)
    )
    assert math.isfinite(nats.item())


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_gradients_of_the_integrated_likelihood_are_finite(likelihood):
    """Also of a z that is as good as known (no variance is below 1e-4), or of which nothing is known."""
    y = torch.eye(3)[:1]
    for variance in (1e-8, 1.0, 1e4):
        decoder, (z_mean, _, h) = decoder_of(likelihood, dim=3), given()
        z_variance = torch.full((1, 4), variance, requires_grad=True)
        decoder.integrated_nll(y, z_mean.requires_grad_(), z_variance, h).sum().backward()
        for tensor in (z_mean, z_variance, *decoder.parameters()):
            assert torch.isfinite(tensor.grad).all()
