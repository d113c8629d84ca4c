"""What a forward filter minimises: its distance from the smoother that it is distilled from."""

from typing import TYPE_CHECKING

import torch

from .batch import NO_SPREAD
from .dynamic_latent import ahead
from .experts import kl_divergence
from .latents import Latent
from .losses import Losses, masked_mean
from .normalised import Values

if TYPE_CHECKING:
    from .forward_filter import ForwardFilter
    from .model import State


def distance(
    model: "ForwardFilter",
    x: Values,
    available: Values,
    fed: Values,
    latents: dict[str, Latent],
    state: "State",
    spread: Values = NO_SPREAD,
) -> Losses:
    """KL(smoother ‖ filter) of all latents and of the predictions of the next tick, nats per tick up to a
    sequence's last available one, and λ times −log p of each target where it is known.

    Args:
        model: the filter.
        x: raw values `[B, T, D]` by modality.
        available: where there is a value, bool `[B, T]` by modality.
        fed: where the filter sees it; a subset of `available`.
        latents: of the smoother, sampled.
        state: of the filter, of the ticks before; () at the start.
        spread: of targets' labels; see `Batch`.
    """
    ticks = ahead(torch.stack(list(available.values())).any(0))  # [B, T]
    inferred = model.inferred(model.encoded(x, fed), None, state)
    kl = next(model.buffers()).new_zeros(())
    for name, found in inferred.latents.items():
        mean, lam = latents[name].mean, latents[name].precision
        if name == "w":  # the same at every tick
            mean, lam = mean.unsqueeze(1), lam.unsqueeze(1)
        kl = kl + masked_mean(kl_divergence(mean, lam, found.mean, found.precision), ticks)
        if name != "w":
            kl = kl + masked_mean(kl_divergence(mean, lam, found.prior_mean, found.prior_precision), ticks)
    total, costs = kl, {}
    for m in model.targets:
        if m.name in available:
            y = model.normalised(m.name, x[m.name], available[m.name])
            own = spread[m.name] / model.moments(m.name)[1] if m.name in spread else None
            z_mean, z_variance = model.common(inferred.latents)
            nats = model.target_decoder(m).integrated_nll(y, z_mean, z_variance, spread=own)
            costs[m.name] = masked_mean(nats, available[m.name])
            total = total + m.weight * costs[m.name]
    return Losses(total, kl, costs, tuple(s.detach() for s in inferred.state))
