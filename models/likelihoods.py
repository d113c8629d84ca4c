"""Likelihoods of observed modalities: parameters from a decoder, log-densities in nats."""

import math
from typing import Final, NamedTuple

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
NODES: Final = torch.tensor(_nodes)
WEIGHTS: Final = torch.tensor(_weights / _weights.sum())

LOCATION_SCALE: Final = ("normal", "laplace")  # of real numbers, which are normalised
SCALED: Final = (*LOCATION_SCALE, "logit_normal")


class Parameters(NamedTuple):
    """Of a likelihood: its location and scale, or its logits and None; `[…, D]`."""

    location: Tensor
    scale: Tensor | None


def scale(raw: Tensor) -> Tensor:
    """A scale from an unbounded number: softplus plus a floor, capped."""
    return (softplus(raw) + FLOOR).clamp(max=CAP)


def logit_scale(raw: Tensor) -> Tensor:
    """The scale of a logit: softplus plus a floor, capped."""
    return (softplus(raw) + FLOOR).clamp(max=LOGIT_CAP)


def width(likelihood: str, dim: int) -> int:
    """Number of a decoder's outputs for `dim` dimensions: locations and raw scales, or logits."""
    return 2 * dim if likelihood in SCALED else dim


def parameters(likelihood: str, outputs: Tensor) -> Parameters:
    """Of a likelihood, from a decoder's outputs `[…, width]`."""
    if likelihood not in SCALED:
        return Parameters(outputs, None)
    location, raw = outputs.chunk(2, -1)
    return Parameters(location, positive(likelihood, raw))


def positive(likelihood: str, raw: Tensor) -> Tensor:
    """A likelihood's scale from an unbounded number."""
    return logit_scale(raw) if likelihood == "logit_normal" else scale(raw)


def laplace(x: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    """−log Laplace(x; location, scale), nats, elementwise."""
    return (x - location).abs() / scale + torch.log(2 * scale)


def normal(x: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    """−log N(x; location, scale²), nats, elementwise."""
    return 0.5 * ((x - location) / scale).square() + torch.log(scale) + 0.5 * math.log(2 * math.pi)


def logit_normal(x: Tensor, location: Tensor, scale: Tensor) -> Tensor:
    """−log of the density at x on [0, 1] where logit(x) ~ N(location, scale²), nats, elementwise."""
    x = x.clamp(EDGE, 1 - EDGE)
    return normal(torch.logit(x), location, scale) + torch.log(x) + torch.log1p(-x)


def with_label_spread(likelihood: str, parameters: Parameters, x: Tensor, spread: Tensor) -> Parameters:
    """A likelihood of labels that are themselves uncertain: their variance is added to its own.

    Of a logit-normal it is that of the label's logit, (spread / (x (1 − x)))², to first order; nearer to 0 or
    1 than its spread, a label is taken at that distance. The variance of a Laplace is 2 scale². A Bernoulli
    or categorical has no variance of its own, and stays as it is.

    Args:
        spread: standard deviation of x, in its unit, `[…, D]`.
    """
    location, own = parameters
    if own is None:
        return parameters
    if likelihood == "logit_normal":
        edge = spread.clamp(EDGE, 0.5)
        inside = x.maximum(edge).minimum(1 - edge)
        spread = spread / (inside * (1 - inside))
    variance = spread.square() / (2 if likelihood == "laplace" else 1)
    return Parameters(location, torch.sqrt(own.square() + variance))


def nll(likelihood: str, parameters: Parameters, x: Tensor) -> Tensor:
    """Negative log-density of x, summed over its dimensions.

    Args:
        likelihood: `normal`, `laplace`; `logit_normal`, `bernoulli`: x between 0 and 1; `categorical`: x
            one-hot.
        x: `[…, D]`.
    """
    location, scale = parameters
    match likelihood:
        case "bernoulli":
            return (softplus(location) - x * location).sum(-1)
        case "categorical":
            return -(x * log_softmax(location, -1)).sum(-1)
        case "laplace" | "normal" | "logit_normal":
            assert scale is not None
            density = {"laplace": laplace, "normal": normal, "logit_normal": logit_normal}[likelihood]
            return density(x, location, scale).sum(-1)
    raise ValueError(f"no likelihood {likelihood!r}")


def sample(likelihood: str, parameters: Parameters, generator: torch.Generator | None = None) -> Tensor:
    """A sample, `[…, D]`; categories are one-hot."""
    location, scale = parameters
    if scale is None and likelihood == "categorical":
        chances = softmax(location, -1)
        u = uniform(location[..., :1], generator)
        chosen = (chances.cumsum(-1) < u).sum(-1).clamp(max=location.shape[-1] - 1)
        return one_hot(chosen, location.shape[-1]).to(location.dtype)
    if scale is None:
        return (uniform(location, generator) < sigmoid(location)).to(location.dtype)
    if likelihood == "laplace":
        u = uniform(location, generator) - 0.5
        return location - scale * u.sign() * torch.log1p(-2 * u.abs() * (1 - 1e-7))
    value = location + scale * standard_normal(location.shape, location, generator)
    return sigmoid(value) if likelihood == "logit_normal" else value


def uniform(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draws from U(0, 1), of another tensor's shape, type and device."""
    device = generator.device if generator else like.device
    return torch.rand(like.shape, generator=generator, dtype=like.dtype, device=device).to(like.device)


def integers(count: int, shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draws from 0, …, count − 1, on another tensor's device."""
    device = generator.device if generator else like.device
    return torch.randint(count, shape, generator=generator, device=device).to(like.device)


def standard_normal(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draws from N(0, 1), of another tensor's type and device.

    A generator of the CPU gives the same draws on every device.
    """
    device = generator.device if generator else like.device
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=device).to(like.device)


def mean(likelihood: str, parameters: Parameters) -> Tensor:
    """The mean of the distribution, `[…, D]`: locations or probabilities."""
    location, scale = parameters
    match likelihood:
        case "normal" | "laplace":
            return location
        case "logit_normal":
            assert scale is not None
            return expected_sigmoid(location, scale)
        case "bernoulli":
            return sigmoid(location)
    return softmax(location, -1)


def expected_sigmoid(location: Tensor, scale: Tensor) -> Tensor:
    """E sigmoid(u), u ~ N(location, scale²), elementwise."""
    nodes, weights = NODES.to(location), WEIGHTS.to(location)
    return sigmoid(location.unsqueeze(-1) + scale.unsqueeze(-1) * nodes) @ weights
