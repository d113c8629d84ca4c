import pytest
import torch
from torch.distributions import Laplace, Normal

from enrapt.models.likelihoods import CAP, FLOOR, nll, scale


@pytest.mark.parametrize(("name", "library"), [("normal", Normal), ("laplace", Laplace)])
def test_the_density_is_the_librarys(name, library):
    parameters, x = torch.randn(6, 10), torch.randn(6, 5)
    location, raw = parameters.chunk(2, -1)
    expected = -library(location, scale(raw)).log_prob(x).sum(-1)
    torch.testing.assert_close(nll(name, parameters, x), expected)


def test_scales_stay_between_floor_and_cap():
    assert scale(torch.tensor(-1e4)).item() == pytest.approx(FLOOR)
    assert scale(torch.tensor(1e4)).item() == CAP
