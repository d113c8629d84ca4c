"""Likelihoods of observed modalities: parameters from a decoder, log-densities in nats."""

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import softplus

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


LIKELIHOODS: Final = {"laplace": laplace, "normal": normal}


def nll(likelihood: str, parameters: Tensor, x: Tensor) -> Tensor:
    """Negative log-density of x, summed over its dimensions.

    Args:
        likelihood: a key of `LIKELIHOODS`.
        parameters: `[…, 2 D]`, locations and raw scales.
        x: `[…, D]`.
    """
    location, raw = parameters.chunk(2, -1)
    return LIKELIHOODS[likelihood](x, location, scale(raw)).sum(-1)
