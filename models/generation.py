"""An MM-VRNN as a generative model: any modality from any other, new sequences, log p(x)."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .importance import log_normal
from .likelihoods import mean, sample
from .mm_vrnn import MMVRNN


@torch.no_grad()
def reconstruct(
    model: MMVRNN,
    x: Mapping[str, Tensor],
    mask: Mapping[str, Tensor],
    state: Tensor,
    noise: Tensor | None = None,
) -> dict[str, Tensor]:
    """Every observed modality, in raw units, and the target, `[B, T, D]`, given what is present up to each
    tick: the means of p(x_t^m | z_t, h_{t-1}) at the posterior's mean of z_t or, with `noise` `[B, T, Z]`, at
        a sample.

    Mask a modality to predict it from the others; mask all for the unconditional prediction.
    """
    latents = model.infer(x, mask, state, noise)
    means = {}
    for m in model.decoded:
        value = mean(m.likelihood, model.decode(m.name, latents.z, latents.h))
        means[m.name] = model.in_raw_units(m, value)
    nothing = torch.zeros_like(latents.z)
    means[model.target.name] = model.head.predict(latents.z, nothing, latents.h).mean
    return means


@torch.no_grad()
def generate(model: MMVRNN, batch: int, ticks: int, generator: torch.Generator) -> dict[str, Tensor]:
    """New sequences, `[B, T, D]` by modality in raw units, by ancestral sampling: each tick draws z from the
    prior and x from the decoders, and both enter the recurrence. The target is its mean; contexts are
    missing.
    """
    state = model.initial_state(batch)
    columns: dict[str, list[Tensor]] = {m.name: [] for m in (*model.decoded, model.target)}
    here = torch.ones(batch, 1, dtype=torch.bool)
    some = model.decoded[0]
    nothing = {some.name: torch.zeros(batch, 1, some.dim)}, {some.name: torch.zeros_like(here)}
    for _ in range(ticks):
        noise = torch.randn(batch, 1, model.config.latent, generator=generator)
        prior = model.infer(*nothing, state)
        # Not `prior.z`: with nothing present only a product of experts is the prior.
        z = prior.prior_mean + noise * torch.rsqrt(prior.prior_precision)
        drawn = {}
        for m in model.decoded:
            value = sample(m.likelihood, model.decode(m.name, z, prior.h), generator)
            drawn[m.name] = model.in_raw_units(m, value)
            columns[m.name].append(drawn[m.name])
        y = model.head.predict(z, torch.zeros_like(z), prior.h).mean
        columns[model.target.name].append(y)
        # `infer` would sample a posterior given x; the recurrence takes the z that x was drawn from.
        gates = sum(
            (model.gates_x[m.name](model.encode(m.name, drawn[m.name], here)) for m in model.decoded),
            torch.zeros(batch, 1, 3 * model.config.hidden),
        )
        gates_h = model.from_h(state)[:, -3 * model.config.hidden :]
        state = model.advance(gates[:, 0], z[:, 0], gates_h, state)
    return {name: torch.cat(column, 1) for name, column in columns.items()}


@torch.no_grad()
def log_likelihood(
    model: MMVRNN,
    x: Mapping[str, Tensor],
    mask: Mapping[str, Tensor],
    samples: int,
    generator: torch.Generator,
) -> Tensor:
    """log p of all present values, `[B]`, nats in raw units, by importance sampling (Burda et al.
    2016, equation 8) with whole sequences of z drawn from the posterior.

    With the target y in `x` this is log p(x, y); subtract log p(y) for log p(x | y). In expectation it is a
    lower bound, looser for longer sequences and fewer samples.
    """
    batch, ticks = next(iter(mask.values())).shape
    total = torch.full((batch,), -torch.inf)
    for _ in range(samples):
        noise = torch.randn(batch, ticks, model.config.latent, generator=generator)
        latents = model.infer(x, mask, model.initial_state(batch), noise)
        weight = log_normal(latents.z, latents.prior_mean, latents.prior_precision)
        weight = weight - log_normal(latents.z, latents.mean, latents.precision)  # [B, T]
        for m in model.decoded:
            if m.name in x:
                weight = weight - model.surprise(m.name, x[m.name], mask[m.name], latents.z, latents.h)
                weight = weight - model.log_volume(m) * mask[m.name]
        y = model.target.name
        if y in x:
            seen = mask[y]
            value = torch.where(seen.unsqueeze(-1), x[y], 0.5)
            weight = weight - model.head.nll(value, latents.z, latents.h) * seen
        total = torch.logaddexp(total, weight.sum(1))
    return total - math.log(samples)
