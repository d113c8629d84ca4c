"""What a step of training minimises, for each model: the negative ELBO of a batch's segment."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .config import Model
from .data import Batch
from .forward_filter import FilterState, ForwardFilter
from .mdvae import MDVAE
from .mm_vrnn import MMVRNN
from .mvae import MVAE
from .subsets import training_subsets

RANDOM_SUBSETS = 1  # MVAE's k, where there are more than two modalities


State = tuple[Tensor, ...]  # carried from segment to segment, each `[B, ·]`


class Cost(NamedTuple):
    """What is minimised, its parts in nats, and the state to carry on."""

    total: Tensor
    parts: dict[str, Tensor]
    state: State


def initial_state(model: Model, streams: int) -> State:
    """What `objective` starts from."""
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
    """The cost of a segment; rng draws subsets, the generator what is sampled.

    MVAE and DMVAE take every tick as a sample and hide modalities by their own subsets; `fed`, where the
    encoders see what is available, is for the sequence models.
    """
    streams, ticks = next(iter(part.available.values())).shape
    if isinstance(model, MMVRNN):
        noise = torch.randn((streams, ticks, model.config.latent), generator=generator)
        losses, h = model.loss(part.x, part.available, fed, state[0], noise, beta)
        return Cost(losses.total, {"kl": losses.kl} | _named(losses.nll), (h.detach(),))
    if isinstance(model, ForwardFilter):
        draws = model.smoother.noise(streams, ticks, generator)
        costs, carried = model.loss(part.x, part.available, fed, FilterState(*state), draws)
        return Cost(torch.stack(list(costs.values())).sum(), costs, tuple(s.detach() for s in carried))
    if isinstance(model, MDVAE):
        sequence = model.loss(part.x, part.available, fed, model.noise(streams, ticks, generator), beta)
        kl = torch.stack(list(sequence.kl.values())).sum()
        return Cost(sequence.total, {"kl": kl} | _named(sequence.nll), ())
    x, mask = part.flattened()
    if isinstance(model, MVAE):
        names = tuple(m.name for m in model.modalities)
        subsets = training_subsets(names, RANDOM_SUBSETS, rng)
        noise = torch.randn((len(subsets), streams * ticks, model.config.latent), generator=generator)
        losses = model.loss(x, mask, subsets, noise, beta)
    else:
        noise = torch.randn((len(model.sources), streams * ticks, model.latent), generator=generator)
        losses = model.loss(x, mask, noise, beta)
    return Cost(losses.total, {"kl": losses.kl} | _named(losses.nll), ())


def _named(nll: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"nll_{name}": nats for name, nats in nll.items()}
