"""Likelihoods of observed modalities: parameters from a decoder, log-densities in nats."""

import math
from typing import Final

import numpy as np
import torch
from torch import Tensor, sigmoid
from torch.nn.functional import log_softmax, one_hot, softmax, softplus

# In units of a modality's standard deviation. Without a floor one easy dimension can dominate the likelihood;
# without a cap one bad step can flatten all others.
FLOOR: Final = 0.02
CAP: Final = 20.0
LOGIT_CAP: Final = 5.0  # of a logit; at 5 most of a logit-normal lies at its two ends
EDGE: Final = 1e-3  # values are kept this far from 0 and 1, whose logits are infinite

# E f(u), u ~ N(m, s²), is about Σ weight · f(m + s · node), by the trapezoidal rule, whose error falls
# exponentially with the distance of the integrand's poles from the real axis (Trefethen & Weideman 2014,
# section 5). For a sigmoid that is π/s: with these nodes the error is below 1e-4 at the widest scale.
_nodes = np.linspace(-5, 5, 26)
_weights = np.exp(-(_nodes**2) / 2)
NODES: Final = torch.tensor(_nodes, dtype=torch.float32)
WEIGHTS: Final = torch.tensor(_weights / _weights.sum(), dtype=torch.float32)


def scale(raw: Tensor) -> Tensor:
    """A scale from an unbounded number: softplus plus a floor, capped."""
    return (softplus(raw) + FLOOR).clamp(max=CAP)


def laplace(x: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    """−log Laplace(x; location, scale), nats, elementwise."""
    return (x - location).abs() / scale + torch.log(2 * scale)


def normal(x: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    """−log N(x; location, scale²), nats, elementwise."""
    return 0.5 * ((x - location) / scale).square() + torch.log(scale) + 0.5 * math.log(2 * math.pi)


def logit_scale(raw: Tensor) -> Tensor:
    """The scale of a logit: softplus plus a floor, capped."""
    return (softplus(raw) + FLOOR).clamp(max=LOGIT_CAP)


def logit_normal(x: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    """−log of the density at x on [0, 1] where logit(x) ~ N(location, scale²), nats, elementwise."""
    x = x.clamp(EDGE, 1 - EDGE)
    return normal(torch.logit(x), location, scale) + torch.log(x) + torch.log1p(-x)


LOCATION_SCALE: Final = {"laplace": laplace, "normal": normal}


def width(likelihood: str, dim: int) -> int:
    """Number of a decoder's outputs for `dim` dimensions: locations and raw scales, or logits."""
    return 2 * dim if likelihood in LOCATION_SCALE or likelihood == "logit_normal" else dim


def nll(likelihood: str, parameters: Tensor, x: Tensor) -> Tensor:
    """Negative log-density of x, summed over its dimensions.

    Args:
        likelihood: `normal`, `laplace`; `logit_normal`, `bernoulli`: x between 0 and 1; `categorical`: x
            one-hot.
        parameters: `[…, width]`: locations and raw scales, or logits.
        x: `[…, D]`.
    """
    if likelihood in LOCATION_SCALE:
        location, raw = parameters.chunk(2, -1)
        return LOCATION_SCALE[likelihood](x, location, scale(raw)).sum(-1)
    if likelihood == "logit_normal":
        location, raw = parameters.chunk(2, -1)
        return logit_normal(x, location, logit_scale(raw)).sum(-1)
    if likelihood == "bernoulli":
        return (softplus(parameters) - x * parameters).sum(-1)
    if likelihood == "categorical":
        return -(x * log_softmax(parameters, -1)).sum(-1)
    raise ValueError(f"no likelihood {likelihood!r}")


def sample(likelihood: str, parameters: Tensor, generator: torch.Generator) -> Tensor:
    """A sample, `[…, D]`; categories are one-hot."""
    if likelihood == "categorical":
        chances = softmax(parameters, -1)
        chosen = torch.multinomial(chances.flatten(0, -2), 1, generator=generator).reshape(chances.shape[:-1])
        return one_hot(chosen, chances.shape[-1]).to(parameters.dtype)
    if likelihood == "bernoulli":
        return torch.bernoulli(sigmoid(parameters), generator=generator)
    location, raw = parameters.chunk(2, -1)
    if likelihood == "laplace":
        u = torch.rand(location.shape, generator=generator, dtype=location.dtype) - 0.5
        return location - scale(raw) * u.sign() * torch.log1p(-2 * u.abs() * (1 - 1e-7))
    noise = torch.randn(location.shape, generator=generator, dtype=location.dtype)
    if likelihood == "logit_normal":
        return sigmoid(location + logit_scale(raw) * noise)
    return location + scale(raw) * noise


def mean(likelihood: str, parameters: Tensor) -> Tensor:
    """The mean of the distribution, `[…, D]`: locations or probabilities."""
    if likelihood in LOCATION_SCALE:
        return parameters.chunk(2, -1)[0]
    if likelihood == "logit_normal":
        location, raw = parameters.unsqueeze(-1).chunk(2, -2)
        return sigmoid(location + logit_scale(raw) * NODES) @ WEIGHTS
    return sigmoid(parameters) if likelihood == "bernoulli" else softmax(parameters, -1)
