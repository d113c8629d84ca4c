"""The decoder of a binary target: Bernoulli, with a logit that is Gaussian if z is.

The logit is linear in z plus any function of h, as in `engagement`. With z ~ N(μ, σ²) it is Gaussian with
variance Σ w_i² σ_i², and integrating z out of the probability is a one-dimensional integral.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from .engagement import HALF_WIDTH, Prediction
from .likelihoods import NODES, WEIGHTS


class BinaryHead(nn.Module):
    """p(y = 1 | z, h)."""

    def __init__(self, hidden: int, latent: int) -> None:
        super().__init__()
        self.of_z = nn.Linear(latent, 1, bias=False)
        self.of_h = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def nll(self, y: Tensor, z: Tensor, h: Tensor) -> Tensor:
        """−log p(y | z, h), nats, `[…]`; y `[…, 1]`, z `[…, Z]`, h `[…, H]`."""
        logit: Tensor = self.of_h(h) + self.of_z(z)
        return (softplus(logit) - y * logit).squeeze(-1)

    def predict(self, z_mean: Tensor, z_variance: Tensor, h: Tensor) -> Prediction:
        """`mean` is p(y = 1) with z integrated out. `std` and the central 90 % are those of p(y = 1 | z) over
        z; they do not include the variance of y itself."""
        location = self.of_h(h) + self.of_z(z_mean)
        scale = torch.sqrt(z_variance @ self.of_z.weight.square().T)
        p = torch.sigmoid(location + scale * NODES)
        mean = p @ WEIGHTS.unsqueeze(-1)
        std = torch.sqrt(((p - mean).square() @ WEIGHTS.unsqueeze(-1)).clamp(min=1e-10))
        reach = HALF_WIDTH * scale
        return Prediction(mean, std, torch.sigmoid(location - reach), torch.sigmoid(location + reach))
