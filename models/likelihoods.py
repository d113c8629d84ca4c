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


def log_prob(likelihood: str, parameters: Tensor, x: Tensor) -> Tensor:
    """Log-density of x, summed over its dimensions.

    Args:
        likelihood: `normal` or `laplace`.
        parameters: `[…, 2 D]`, locations and raw scales.
        x: `[…, D]`.
    """
    location, raw = parameters.chunk(2, -1)
    s = scale(raw)
    error = (x - location) / s
    match likelihood:
        case "normal":
            return -(0.5 * error.square() + torch.log(s) + 0.5 * math.log(2 * math.pi)).sum(-1)
        case "laplace":
            return -(error.abs() + torch.log(2 * s)).sum(-1)
        case _:
            raise ValueError(f"no likelihood {likelihood!r} for an observed modality")
