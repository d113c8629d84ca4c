"""The training objective of each model: the negative ELBO of one segment of a batch."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .config import Model
from .data import Batch
from .forward_filter import FilterState, ForwardFilter
from .losses import Losses
from .mdvae import MDVAE
from .mm_vrnn import MMVRNN
from .mvae import MVAE
from .subsets import training_subsets

RANDOM_SUBSETS = 1  # MVAE's k, where there are more than two modalities


State = tuple[Tensor, ...]  # carried from segment to segment, each `[B, ·]`


class Cost(NamedTuple):
    """What is minimised, its parts in nats, and the state after the segment."""

    total: Tensor
    parts: dict[str, Tensor]
    state: State


def initial_state(model: Model, streams: int) -> State:
    """The state at the start of a session."""
    if isinstance(model, MMVRNN):
        return (model.initial_state(streams),)
    return model.initial_state(streams) if isinstance(model, ForwardFilter) else ()


def objective(
    model: Model,
    part: Batch,
    fed: Mapping[str, Tensor],
    state: State,
    rng: np.random.Generator,
    generator: torch.Generator,
    beta: float,
) -> Cost:
    """The cost of a segment.

    MVAE and DMVAE take every tick as a sample and choose subsets of modalities themselves; `fed`, where the
    encoders see what is available, is for the sequence models.

    Args:
        rng: draws subsets.
        generator: draws noise.
    """
    streams, ticks = next(iter(part.available.values())).shape
    if isinstance(model, MMVRNN):
        noise = torch.randn((streams, ticks, model.config.latent), generator=generator)
        losses, h = model.loss(part.x, part.available, fed, state[0], noise, beta)
        return _cost(losses, (h.detach(),))
    if isinstance(model, ForwardFilter):
        draws = model.smoother.noise(streams, ticks, generator)
        costs, carried = model.loss(part.x, part.available, fed, FilterState(*state), draws)
        return Cost(torch.stack(list(costs.values())).sum(), costs, tuple(s.detach() for s in carried))
    if isinstance(model, MDVAE):
        return _cost(model.loss(part.x, part.available, fed, model.noise(streams, ticks, generator), beta))
    x, mask = part.flattened()
    if isinstance(model, MVAE):
        names = tuple(m.name for m in model.modalities)
        subsets = training_subsets(names, RANDOM_SUBSETS, rng)
        noise = torch.randn((len(subsets), streams * ticks, model.config.latent), generator=generator)
        return _cost(model.loss(x, mask, subsets, noise, beta))
    noise = torch.randn((len(model.sources), streams * ticks, model.latent), generator=generator)
    return _cost(model.loss(x, mask, noise, beta))


def _cost(losses: Losses, state: State = ()) -> Cost:
    parts = {"kl": losses.kl} | {f"nll_{name}": nats for name, nats in losses.nll.items()}
    return Cost(losses.total, parts, state)
