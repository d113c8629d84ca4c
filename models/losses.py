"""What training tells of a batch."""

from typing import NamedTuple

from torch import Tensor


class Losses(NamedTuple):
    """Means over what is observed, nats; summed over a model's ELBOs where it has several.

    Attributes:
        total: what is minimised.
        kl: KL(posterior ‖ prior).
        nll: negative log-likelihood by modality.
    """

    total: Tensor
    kl: Tensor
    nll: dict[str, Tensor]
