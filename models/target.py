"""The decoder of a target: linear in z, so that z is integrated out of its prediction.

Its location, or logits, are linear in z plus any function of h, of which a model without a recurrence has
none. With z ~ N(μ, σ²) the location is Gaussian, with variance Σ w_i² σ_i²: the prediction includes the
uncertainty about z, without sampling. The scale is a function of h alone, or without h is taken at the mean
of z.

The scale of the prediction is then multiplied by `widening`, which is 1 until it is fitted on people whom the
model was not trained on; see `calibration`.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from .likelihoods import NODES, WEIGHTS, Parameters, nll, parameters, width, with_label_spread
from .modality import Modality

HALF_WIDTH: Final = 1.6448536269514722  # of the central 90 % of N(0, 1)


class Prediction(NamedTuple):
    """A target's predictive distribution: mean, standard deviation, central 90 %; each `[…, D]`."""

    mean: Tensor
    std: Tensor
    low: Tensor
    high: Tensor


class TargetDecoder(nn.Module):
    """p(y | z, h).

    Args:
        hidden: size of h; 0 for a model without.

    Attributes:
        widening: factor on the scale of the prediction, `[]`; it changes neither p(y | z, h) nor training.
    """

    widening: Tensor

    def __init__(self, target: Modality, latent: int, hidden: int = 0) -> None:
        super().__init__()
        self.likelihood, self.dim = target.likelihood, target.dim
        outputs = width(target.likelihood, target.dim)
        self.of_z = nn.Linear(latent, target.dim if hidden else outputs, bias=not hidden)
        self.of_h = (
            nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
            if hidden
            else None
        )
        self.register_buffer("widening", torch.ones(()))

    def forward(self, z: Tensor, h: Tensor | None = None) -> Tensor:
        """The likelihood's location, or logits, and raw scale, `[…, width]`."""
        outputs: Tensor = self.of_z(z)
        if self.of_h is None or h is None:
            return outputs
        of_h = self.of_h(h)
        if of_h.shape[-1] == self.dim:
            return torch.as_tensor(of_h + outputs)
        location, raw = of_h.split(self.dim, -1)
        return torch.cat([location + outputs, raw], -1)

    def predict(self, z_mean: Tensor, z_variance: Tensor, h: Tensor | None = None) -> Prediction:
        """The distribution of y given h, with z ~ N(z_mean, z_variance) integrated out."""
        known = parameters(self.likelihood, self(z_mean, h))
        return predictive(self.likelihood, known, self.variance(z_variance), self.widening)

    def variance(self, z_variance: Tensor) -> Tensor:
        """Variance of the location, `[…, D]`, of z with that variance."""
        weight = self.of_z.weight[: self.dim]
        # Squares as products: powers are slow in ONNX Runtime.
        return z_variance @ (weight * weight).T

    def integrated_nll(
        self,
        y: Tensor,
        z_mean: Tensor,
        z_variance: Tensor,
        h: Tensor | None = None,
        spread: Tensor | None = None,
    ) -> Tensor:
        """−log p(y | h), nats, `[…]`, with z ~ N(z_mean, z_variance) integrated out, before widening; of a
        Laplace, that of the one with the same variance.

        Args:
            spread: standard deviation of y as a label; see `with_label_spread`.
        """
        location, own = known = parameters(self.likelihood, self(z_mean, h))
        variance = self.variance(z_variance)
        if own is not None:
            variance = variance / 2 if self.likelihood == "laplace" else variance
            integrated = Parameters(location, torch.sqrt(own * own + variance))
            if spread is not None:
                integrated = with_label_spread(self.likelihood, integrated, y, spread)
            return nll(self.likelihood, integrated, y)
        p = predictive(self.likelihood, known, variance).mean.clamp(1e-6, 1 - 1e-6)
        nats = -y * torch.log(p)
        if self.likelihood == "bernoulli":
            nats = nats - (1 - y) * torch.log1p(-p)
        return nats.sum(-1)


def predictive(
    likelihood: str, parameters: Parameters, variance: Tensor, widening: Tensor | float = 1.0
) -> Prediction:
    """The distribution of y, whose likelihood's location or logit is Gaussian.

    For `bernoulli` and `categorical`, `mean` is the probability; `std` and the interval are those of the
    probability over the logit's distribution, and do not include the variance of y itself. For `laplace` the
    interval is that of the normal distribution of the same variance. For `categorical` the mean is MacKay's
    (1992) approximation.

    Args:
        parameters: at the mean of the location.
        variance: of the location, `[…, D]`.
        widening: factor on the scale of y, or of its logit, all variances included.
    """
    location, own = parameters
    if own is not None:
        variance = variance + own * own * (2 if likelihood == "laplace" else 1)
    scale = widening * torch.sqrt(variance)
    reach = HALF_WIDTH * scale
    if likelihood in ("normal", "laplace"):
        return Prediction(location, scale, location - reach, location + reach)
    if likelihood == "categorical":
        p = torch.softmax(location / torch.sqrt(1 + torch.pi / 8 * scale * scale), -1)
        std = p * (1 - p) * scale
        return Prediction(p, std, (p - HALF_WIDTH * std).clamp(min=0), (p + HALF_WIDTH * std).clamp(max=1))
    # Mean and variance of sigmoid(u) by quadrature, over an axis of nodes.
    weights = WEIGHTS.to(location)
    y = torch.sigmoid(location.unsqueeze(-1) + scale.unsqueeze(-1) * NODES.to(location))
    mean = y @ weights
    deviation = y - mean.unsqueeze(-1)
    std = torch.sqrt((deviation * deviation @ weights).clamp(min=1e-10))
    return Prediction(mean, std, torch.sigmoid(location - reach), torch.sigmoid(location + reach))
