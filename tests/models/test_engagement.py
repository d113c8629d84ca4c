import math

import pytest
import torch
from torch.distributions import Normal

from enrapt.models.engagement import EngagementHead


@pytest.fixture(scope="module")
def head():
    torch.manual_seed(3)
    return EngagementHead(hidden=6, latent=4)


def test_the_density_integrates_to_one(head):
    y = torch.linspace(0.001, 0.999, 20001)[:, None]
    z, h = torch.randn(4), torch.randn(6)
    density = (-head.nll(y, z.expand(len(y), 4), h.expand(len(y), 6))).exp()
    assert torch.trapezoid(density, y[:, 0]).item() == pytest.approx(1, abs=2e-3)


@torch.no_grad()
def test_the_prediction_is_the_mixture_over_z(head):
    z_mean, z_variance, h = torch.randn(1, 4), torch.rand(1, 4) * 4, torch.randn(1, 6)
    exact = head.predict(z_mean, z_variance, h)
    z = z_mean + z_variance.sqrt() * torch.randn(400_000, 4)
    location, raw = head.of_h(h).chunk(2, -1)
    spread = torch.nn.functional.softplus(raw) + 0.02
    y = torch.sigmoid(Normal(location + head.of_z(z), spread).sample())
    assert exact.mean.item() == pytest.approx(y.mean().item(), abs=2e-3)
    assert exact.std.item() == pytest.approx(y.std().item(), abs=2e-3)
    low, high = torch.quantile(y[:, 0], torch.tensor([0.05, 0.95]))
    assert exact.low.item() == pytest.approx(low.item(), abs=5e-3)
    assert exact.high.item() == pytest.approx(high.item(), abs=5e-3)


@pytest.mark.parametrize("y", [0.0, 1.0])
def test_labels_at_the_edges_have_finite_density(head, y):
    nats = head.nll(torch.tensor([[y]]), torch.zeros(1, 4), torch.zeros(1, 6))
    assert math.isfinite(nats.item())
