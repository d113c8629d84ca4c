"""What a step of training minimises, for each model: the negative ELBO of a batch's segment."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .config import Model
from .data import Batch
from .mdvae import MDVAE
from .mm_vrnn import MMVRNN
from .mvae import MVAE
from .subsets import training_subsets

RANDOM_SUBSETS = 1  # MVAE's k, where there are more than two modalities


class Cost(NamedTuple):
    """What is minimised, its parts in nats, and the state to carry on, of models that have one."""

    total: Tensor
    parts: dict[str, Tensor]
    state: Tensor | None


def initial_state(model: Model, streams: int) -> Tensor | None:
    """What `objective` starts from: `[B, H]`, or None where nothing is carried on."""
    return model.initial_state(streams) if isinstance(model, MMVRNN) else None


def objective(
    model: Model,
    part: Batch,
    fed: Mapping[str, Tensor],
    state: Tensor | None,
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
        assert state is not None
        noise = torch.randn((streams, ticks, model.config.latent), generator=generator)
        losses, state = model.loss(part.x, part.available, fed, state, noise, beta)
        return Cost(losses.total, {"kl": losses.kl} | _named(losses.nll), state.detach())
    if isinstance(model, MDVAE):
        sequence = model.loss(part.x, part.available, fed, model.noise(streams, ticks, generator), beta)
        kl = torch.stack(list(sequence.kl.values())).sum()
        return Cost(sequence.total, {"kl": kl} | _named(sequence.nll), None)
    x = {k: v.flatten(0, 1) for k, v in part.x.items()}
    mask = {k: v.flatten() for k, v in part.available.items()}
    if isinstance(model, MVAE):
        names = tuple(m.name for m in model.modalities)
        subsets = training_subsets(names, RANDOM_SUBSETS, rng)
        noise = torch.randn((len(subsets), streams * ticks, model.config.latent), generator=generator)
        losses = model.loss(x, mask, subsets, noise, beta)
    else:
        noise = torch.randn((len(model.sources), streams * ticks, model.latent), generator=generator)
        losses = model.loss(x, mask, noise, beta)
    return Cost(losses.total, {"kl": losses.kl} | _named(losses.nll), None)


def _named(nll: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"nll_{name}": nats for name, nats in nll.items()}
