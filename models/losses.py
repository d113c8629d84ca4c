"""What every model's loss returns, and the mean that all losses share."""

from typing import NamedTuple

import torch
from torch import Tensor


class Losses(NamedTuple):
    """Means over what is available, nats; summed over a model's ELBOs where it has several.

    Attributes:
        total: what training minimises.
        kl: KL(posterior ‖ prior), all latents; a VQ-VAE, whose KL is constant, has its commitment here.
        nll: negative log-likelihood by modality.
    """

    total: Tensor
    kl: Tensor
    nll: dict[str, Tensor]


def masked_mean(values: Tensor, mask: Tensor, dim: int | None = None) -> Tensor:
    """Mean over one axis, or all, where the mask is set; 0 where it is set nowhere.

    A masked value may be NaN. Where an axis is given, the mask broadcasts over the others.
    """
    return torch.where(mask, values, 0.0).sum(dim) / mask.sum(dim).clamp(min=1)
