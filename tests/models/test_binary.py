import pytest
import torch

from enrapt.models.binary import BinaryHead


@pytest.fixture(scope="module")
def head():
    torch.manual_seed(3)
    return BinaryHead(hidden=6, latent=4)


def test_the_two_probabilities_add_up_to_one(head):
    z, h = torch.randn(5, 4), torch.randn(5, 6)
    both = sum((-head.nll(torch.full((5, 1), y), z, h)).exp() for y in (0.0, 1.0))
    torch.testing.assert_close(both, torch.ones(5))


@torch.no_grad()
def test_the_prediction_is_the_mixture_over_z(head):
    z_mean, z_variance, h = torch.randn(1, 4), torch.rand(1, 4) * 9, torch.randn(1, 6)
    exact = head.predict(z_mean, z_variance, h)
    z = z_mean + z_variance.sqrt() * torch.randn(400_000, 4)
    p = (-head.nll(torch.ones(1, 1), z, h)).exp()
    assert exact.mean.item() == pytest.approx(p.mean().item(), abs=2e-3)
    assert exact.std.item() == pytest.approx(p.std().item(), abs=2e-3)
    low, high = torch.quantile(p, torch.tensor([0.05, 0.95]))
    assert exact.low.item() == pytest.approx(low.item(), abs=5e-3)
    assert exact.high.item() == pytest.approx(high.item(), abs=5e-3)
