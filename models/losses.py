"""What every model's loss returns, and the means that all losses share."""

from typing import NamedTuple

import torch
from torch import Tensor


class Losses(NamedTuple):
    """Means, nats; summed over a model's ELBOs where it has several.

    Attributes:
        total: what training minimises.
        kl: KL(posterior ‖ prior), all latents; a VQ-VAE, whose KL is constant, has its commitment here.
        nll: negative log-likelihood by modality.
        state: after the last tick, of a model that carries one.
    """

    total: Tensor
    kl: Tensor
    nll: dict[str, Tensor]
    state: tuple[Tensor, ...] = ()


def masked_mean(values: Tensor, mask: Tensor, dim: int | None = None) -> Tensor:
    """Mean over one axis, or all, where the mask is set; 0 where it is set nowhere.

    A masked value may be NaN. Where an axis is given, the mask broadcasts over the others.
    """
    return torch.where(mask, values, 0.0).sum(dim) / mask.sum(dim).clamp(min=1)


def averaged(
    nats: Tensor, present: Tensor, counted: Tensor, reweight: bool, dim: int | None = None
) -> Tensor:
    """Mean of what a modality contributes to the ELBO, over one axis, or all.

    The ELBO of a sample is a sum over what is present, and is averaged over the samples that count. A
    modality that few of them have then counts little: 1 % of labels, a hundredth of all labels. `reweight`
    takes the mean over the samples that have it, as if all had.

    Args:
        nats: anything where not present.
        present, counted: bool; present is part of counted, which may lack axes in front.
    """
    total = torch.where(present, nats, 0.0).sum(dim)
    return total / (present if reweight else counted).sum(dim).clamp(min=1)
