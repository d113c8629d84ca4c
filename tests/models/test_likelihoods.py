import math

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Laplace,
    Normal,
    OneHotCategorical,
    SigmoidTransform,
    TransformedDistribution,
)

from enrapt.models.likelihoods import (
    CAP,
    FLOOR,
    Parameters,
    logit_scale,
    mean,
    nll,
    parameters,
    sample,
    scale,
    width,
)


class LogitNormal(TransformedDistribution):
    def __init__(self, location, scale):
        super().__init__(Normal(location, scale), SigmoidTransform())


@pytest.mark.parametrize(("name", "library"), [("normal", Normal), ("laplace", Laplace)])
def test_the_density_is_the_librarys(name, library):
    outputs, x = torch.randn(6, 10), torch.randn(6, 5)
    location, raw = outputs.chunk(2, -1)
    expected = -library(location, scale(raw)).log_prob(x).sum(-1)
    torch.testing.assert_close(nll(name, parameters(name, outputs), x), expected)
    torch.testing.assert_close(mean(name, parameters(name, outputs)), location)


def test_scales_stay_between_floor_and_cap():
    assert scale(torch.tensor(-1e4)).item() == pytest.approx(FLOOR)
    assert scale(torch.tensor(1e4)).item() == CAP


def test_binary_and_categorical_have_the_librarys_density_and_mean():
    logits = torch.randn(6, 5)
    for name, library in (("bernoulli", Bernoulli), ("categorical", OneHotCategorical)):
        distribution = library(logits=logits)
        x = distribution.sample()
        expected = -distribution.log_prob(x).reshape(6, -1).sum(-1)
        torch.testing.assert_close(nll(name, parameters(name, logits), x), expected)
        torch.testing.assert_close(mean(name, parameters(name, logits)), distribution.mean)
        assert width(name, 5) == 5
    assert width("normal", 5) == 10


def test_logit_normal_has_the_librarys_density_and_mean():
    outputs = torch.randn(6, 10)
    known = parameters("logit_normal", outputs)
    location, raw = outputs.chunk(2, -1)
    library = LogitNormal(location, logit_scale(raw))
    x = torch.rand(6, 5) * 0.98 + 0.01
    torch.testing.assert_close(nll("logit_normal", known, x), -library.log_prob(x).sum(-1))
    drawn = library.sample((200_000,)).mean(0)
    torch.testing.assert_close(mean("logit_normal", known), drawn, atol=3e-3, rtol=0)
    edges = nll("logit_normal", known, (x > 0.5).float())
    assert torch.isfinite(edges).all()


@pytest.mark.parametrize("spread", [0.02, 0.5, 2.0, 5.0])
def test_the_mean_of_a_logit_normal_is_the_integral(spread):
    """Also where the scale is at its cap."""
    locations = torch.linspace(-12, 12, 25)
    raw = torch.full_like(locations, math.log(math.expm1(max(spread - FLOOR, 1e-9))))
    found = mean("logit_normal", parameters("logit_normal", torch.stack([locations, raw], -1)))[:, 0]
    u = torch.linspace(-9, 9, 200_001, dtype=torch.float64)
    density = torch.exp(-(u**2) / 2) / math.sqrt(2 * math.pi)
    y = torch.sigmoid(locations[:, None].double() + spread * u)
    torch.testing.assert_close(found.double(), torch.trapezoid(y * density, u), atol=1e-4, rtol=0)


def test_an_unknown_likelihood_is_rejected():
    with pytest.raises(ValueError, match="poisson"):
        nll("poisson", Parameters(torch.zeros(1), torch.ones(1)), torch.zeros(1))


LIBRARY = {
    "normal": Normal,
    "laplace": Laplace,
    "logit_normal": LogitNormal,
    "bernoulli": lambda location, scale: Bernoulli(logits=location),
    "categorical": lambda location, scale: OneHotCategorical(logits=location),
}


@pytest.mark.parametrize("name", LIBRARY)
def test_draws_have_the_librarys_mean_and_variance_and_come_from_the_generator(name):
    location = torch.tensor([0.5, -1.0, 2.0]).expand(200_000, 3)
    known = Parameters(
        location, None if name in ("bernoulli", "categorical") else torch.full_like(location, 0.7)
    )
    drawn = sample(name, known, torch.Generator().manual_seed(1))
    assert torch.equal(sample(name, known, torch.Generator().manual_seed(1)), drawn)
    library = LIBRARY[name](location[0], torch.full((3,), 0.7))
    expected = library.sample((200_000,)) if name == "logit_normal" else None
    torch.testing.assert_close(
        drawn.mean(0), library.mean if expected is None else expected.mean(0), atol=0.01, rtol=0
    )
    torch.testing.assert_close(
        drawn.var(0), library.variance if expected is None else expected.var(0), atol=0.02, rtol=0
    )
    if name in ("bernoulli", "categorical"):
        assert ((drawn == 0) | (drawn == 1)).all()
    if name == "categorical":
        assert (drawn.sum(-1) == 1).all()
