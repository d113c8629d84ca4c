"""The decoder of a target on [0, 1]: a logit-normal with an exact predictive distribution.

u = logit(y) is Gaussian given z and h: its location is linear in z plus any function of h, its scale a
function of h alone. With z ~ N(μ, σ²) integrated out, u is Gaussian again with variance s(h)² + Σ w_i² σ_i²:
the interval includes the uncertainty about z, without sampling.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from .likelihoods import NODES, WEIGHTS, logit_normal, logit_scale

HALF_WIDTH: Final = 1.6448536269514722  # of the central 90 % of N(0, 1)


class Prediction(NamedTuple):
    """The target's predictive distribution: mean, standard deviation, central 90 %; each `[…, 1]`."""

    mean: Tensor
    std: Tensor
    low: Tensor
    high: Tensor


class EngagementHead(nn.Module):
    """p(y | z, h): logit-normal, `y` on [0, 1]."""

    def __init__(self, hidden: int, latent: int) -> None:
        super().__init__()
        self.of_z = nn.Linear(latent, 1, bias=False)
        self.of_h = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2))

    def nll(self, y: Tensor, z: Tensor, h: Tensor) -> Tensor:
        """−log p(y | z, h), nats, `[…]`; y `[…, 1]`, z `[…, Z]`, h `[…, H]`."""
        location, raw = self.of_h(h).chunk(2, -1)
        return logit_normal(y, location + self.of_z(z), logit_scale(raw)).squeeze(-1)

    def predict(self, z_mean: Tensor, z_variance: Tensor, h: Tensor) -> Prediction:
        """The distribution of y given h, with z ~ N(z_mean, z_variance) integrated out."""
        location, raw = self.of_h(h).chunk(2, -1)
        return self.integrated(location, raw, z_mean, z_variance)

    def integrated(self, location: Tensor, raw: Tensor, z_mean: Tensor, z_variance: Tensor) -> Prediction:
        """The same from the outputs of `of_h`, `[…, 1]` each."""
        return predictive(*self.logit(location, raw, z_mean, z_variance))

    def logit(
        self, location: Tensor, raw: Tensor, z_mean: Tensor, z_variance: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Location and scale of logit(y) with z integrated out."""
        own = logit_scale(raw)
        # Squares as products: powers are slow in ONNX Runtime.
        scale = torch.sqrt(own * own + z_variance @ (self.of_z.weight * self.of_z.weight).T)
        return location + self.of_z(z_mean), scale


def linear_logit(decoder: nn.Module, z_mean: Tensor, z_variance: Tensor) -> tuple[Tensor, Tensor]:
    """Location and scale of logit(y), `[…, 1]`, with z ~ N(z_mean, z_variance) integrated out of the
    location.

    Args:
        decoder: an `mlp` of one layer, so location and raw scale are linear in z. The raw scale is evaluated
            at the mean of z.
    """
    location, raw = decoder(z_mean).chunk(2, -1)
    own, of_z = logit_scale(raw), decoder.get_parameter("0.weight")[:1]
    return location, torch.sqrt(own * own + z_variance @ (of_z * of_z).T)


def predictive(location: Tensor, scale: Tensor) -> Prediction:
    """The distribution of y on [0, 1] whose logit is N(location, scale²), `[…, 1]` each."""
    # Mean and variance of sigmoid(u) by quadrature.
    weights = WEIGHTS.unsqueeze(-1)
    y = torch.sigmoid(location + scale * NODES)
    mean = y @ weights
    std = torch.sqrt(((y - mean) * (y - mean) @ weights).clamp(min=1e-10))
    reach = HALF_WIDTH * scale
    return Prediction(mean, std, torch.sigmoid(location - reach), torch.sigmoid(location + reach))
