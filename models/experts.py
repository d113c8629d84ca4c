"""Products of Gaussian experts, in precision space (Hinton 2002; Wu & Goodman 2018).

A product of Gaussians N(μ_i, 1/λ_i) is, up to a constant, the Gaussian whose precision is Σ λ_i and whose
mean is Σ λ_i μ_i / Σ λ_i. Precision is 1/σ², so N(0, 1) · N(0, 1) has the scale √½ = 0.7071.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

FLOOR = 1e-4
CAP = 1e4


def precision(raw: Tensor) -> Tensor:
    """A precision from an unbounded number: softplus plus a floor, capped for stability."""
    return (softplus(raw) + FLOOR).clamp(max=CAP)


def product(
    prior_mean: Tensor, prior_precision: Tensor, means: Tensor, precisions: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """The product of a prior expert and the experts that are present.

    Args:
        prior_mean, prior_precision: `[…, Z]`.
        means, precisions: `[…, M, Z]`.
        mask: `[…, M]`, 1 where the expert is present; all 0 gives the prior exactly.

    Returns:
        mean and precision, `[…, Z]`.
    """
    weights = precisions * mask.unsqueeze(-1)
    total = prior_precision + weights.sum(-2)
    # As a shift of the prior's mean, so that without experts it is that mean bit for bit.
    shift = (weights * (means - prior_mean.unsqueeze(-2))).sum(-2)
    return prior_mean + shift / total, total


def kl_divergence(mean: Tensor, precision: Tensor, prior_mean: Tensor, prior_precision: Tensor) -> Tensor:
    """KL(N(mean, 1/precision) ‖ N(prior_mean, 1/prior_precision)), nats, summed over the last axis."""
    ratio = prior_precision / precision
    distance = (mean - prior_mean).square() * prior_precision
    return 0.5 * (ratio + distance - 1 - torch.log(ratio)).sum(-1)


def log_normal(z: Tensor, mean: Tensor, precision: Tensor) -> Tensor:
    """log N(z; mean, 1/precision), nats, summed over the last axis."""
    return 0.5 * (torch.log(precision / (2 * math.pi)) - precision * (z - mean).square()).sum(-1)
