"""Likelihoods of observed modalities: parameters from a decoder, log-densities in nats."""

import math
from typing import Final

import torch
from torch import Tensor, sigmoid
from torch.nn.functional import log_softmax, softmax, softplus

# In units of a modality's standard deviation. Without a floor one easy dimension can buy any likelihood;
# without a cap one bad step can make every other dimension worthless.
FLOOR: Final = 0.02
CAP: Final = 20.0


def scale(raw: Tensor) -> Tensor:
    """A scale from an unbounded number: softplus plus a floor, capped."""
    return (softplus(raw) + FLOOR).clamp(max=CAP)


def laplace(x: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    """−log Laplace(x; location, scale), nats, elementwise."""
    return (x - location).abs() / scale + torch.log(2 * scale)


def normal(x: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    """−log N(x; location, scale²), nats, elementwise."""
    return 0.5 * ((x - location) / scale).square() + torch.log(scale) + 0.5 * math.log(2 * math.pi)


LOCATION_SCALE: Final = {"laplace": laplace, "normal": normal}


def width(likelihood: str, dim: int) -> int:
    """How many numbers a decoder gives for `dim` dimensions: locations and raw scales, or logits."""
    return 2 * dim if likelihood in LOCATION_SCALE else dim


def nll(likelihood: str, parameters: Tensor, x: Tensor) -> Tensor:
    """Negative log-density of x, summed over its dimensions.

    Args:
        likelihood: `normal`, `laplace`; `bernoulli`, x between 0 and 1; `categorical`, x one-hot.
        parameters: `[…, width]`: locations and raw scales, or logits.
        x: `[…, D]`.
    """
    if likelihood in LOCATION_SCALE:
        location, raw = parameters.chunk(2, -1)
        return LOCATION_SCALE[likelihood](x, location, scale(raw)).sum(-1)
    if likelihood == "bernoulli":
        return (softplus(parameters) - x * parameters).sum(-1)
    if likelihood == "categorical":
        return -(x * log_softmax(parameters, -1)).sum(-1)
    raise ValueError(f"no likelihood {likelihood!r} for an observed modality")


def mean(likelihood: str, parameters: Tensor) -> Tensor:
    """The mean of the distribution, `[…, D]`: locations or probabilities."""
    if likelihood in LOCATION_SCALE:
        return parameters.chunk(2, -1)[0]
    return sigmoid(parameters) if likelihood == "bernoulli" else softmax(parameters, -1)
