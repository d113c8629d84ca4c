import pytest
import torch
from torch.distributions import Bernoulli, Laplace, Normal, OneHotCategorical

from enrapt.models.likelihoods import CAP, FLOOR, mean, nll, scale, width


@pytest.mark.parametrize(("name", "library"), [("normal", Normal), ("laplace", Laplace)])
def test_the_density_is_the_librarys(name, library):
    parameters, x = torch.randn(6, 10), torch.randn(6, 5)
    location, raw = parameters.chunk(2, -1)
    expected = -library(location, scale(raw)).log_prob(x).sum(-1)
    torch.testing.assert_close(nll(name, parameters, x), expected)


def test_scales_stay_between_floor_and_cap():
    assert scale(torch.tensor(-1e4)).item() == pytest.approx(FLOOR)
    assert scale(torch.tensor(1e4)).item() == CAP


def test_shares_and_classes_have_the_librarys_density_and_mean():
    logits = torch.randn(6, 5)
    for name, library in (("bernoulli", Bernoulli), ("categorical", OneHotCategorical)):
        distribution = library(logits=logits)
        x = distribution.sample()
        expected = -distribution.log_prob(x).reshape(6, -1).sum(-1)
        torch.testing.assert_close(nll(name, logits, x), expected)
        torch.testing.assert_close(mean(name, logits), distribution.mean)
        assert width(name, 5) == 5
    assert width("normal", 5) == 10


def test_a_likelihood_for_targets_is_refused():
    with pytest.raises(ValueError, match="logit_normal"):
        nll("logit_normal", torch.zeros(2), torch.zeros(1))
