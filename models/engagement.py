"""The target's decoder: a logit-normal on [0, 1] whose predictive distribution is exact.

u = logit(y) is Gaussian given z and h: its location is linear in z and any function of h, its scale a
function of h alone. So, with z ~ N(μ, σ²), u's distribution with z integrated out is Gaussian again, with
variance s(h)² + Σ w_i² σ_i²: what the model does not know of z is in the interval, without sampling.
"""

import math
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

EDGE: Final = 1e-3  # labels are kept this far from 0 and 1, whose logits are infinite
FLOOR: Final = 0.02
CAP: Final = 5.0
HALF_WIDTH: Final = 1.6448536269514722  # of the central 90 % of N(0, 1)

_nodes, _weights = np.polynomial.hermite_e.hermegauss(9)


class Prediction(NamedTuple):
    """Engagement's predictive distribution: mean, standard deviation, central 90 %; each `[…, 1]`."""

    mean: Tensor
    std: Tensor
    low: Tensor
    high: Tensor


class EngagementHead(nn.Module):
    """p(y | z, h): logit-normal, `y` on [0, 1]."""

    nodes: Tensor
    weights: Tensor

    def __init__(self, hidden: int, latent: int) -> None:
        super().__init__()
        self.of_z = nn.Linear(latent, 1, bias=False)
        self.of_h = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2))
        self.register_buffer("nodes", torch.tensor(_nodes, dtype=torch.float32), persistent=False)
        weights = torch.tensor(_weights / math.sqrt(2 * math.pi), dtype=torch.float32)
        self.register_buffer("weights", weights.unsqueeze(-1), persistent=False)

    def log_prob(self, y: Tensor, z: Tensor, h: Tensor) -> Tensor:
        """Log-density at y `[…, 1]` given z `[…, Z]` and h `[…, H]`; nats, `[…]`."""
        location, raw = self.of_h(h).chunk(2, -1)
        y = y.clamp(EDGE, 1 - EDGE)
        scale = _scale(raw)
        error = (torch.logit(y) - location - self.of_z(z)) / scale
        density = 0.5 * error.square() + torch.log(scale) + 0.5 * math.log(2 * math.pi)
        nats: Tensor = density + torch.log(y) + torch.log1p(-y)
        return -nats.squeeze(-1)

    def predict(self, z_mean: Tensor, z_variance: Tensor, h: Tensor) -> Prediction:
        """The distribution of y given h, with z ~ N(z_mean, z_variance) integrated out."""
        location, raw = self.of_h(h).chunk(2, -1)
        return self.integrated(location, raw, z_mean, z_variance)

    def integrated(self, location: Tensor, raw: Tensor, z_mean: Tensor, z_variance: Tensor) -> Prediction:
        """The same from what `of_h` gave, `[…, 1]` each."""
        location, own = location + self.of_z(z_mean), _scale(raw)
        # Squares as products: as powers they are slow in ONNX Runtime.
        scale = torch.sqrt(own * own + z_variance @ (self.of_z.weight * self.of_z.weight).T)
        # Mean and variance of sigmoid(u) by Gauss–Hermite quadrature, 9 nodes.
        y = torch.sigmoid(location + scale * self.nodes)
        mean = y @ self.weights
        std = torch.sqrt(((y - mean) * (y - mean) @ self.weights).clamp(min=1e-10))
        reach = HALF_WIDTH * scale
        return Prediction(mean, std, torch.sigmoid(location - reach), torch.sigmoid(location + reach))


def _scale(raw: Tensor) -> Tensor:
    return (softplus(raw) + FLOOR).clamp(max=CAP)
