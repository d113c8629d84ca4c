"""Normalisation of modalities by mean and standard deviation, stored with the weights."""

from typing import Final

import torch
from torch import Tensor, nn

from .likelihoods import LOCATION_SCALE
from .modality import Modality

CLIP: Final = 10.0  # standard deviations; encoders' inputs beyond it are clipped


class Normalised(nn.Module):
    """A module that normalises its modalities; mean 0 and standard deviation 1 until `normalise` is
    called."""

    def __init__(self, modalities: tuple[Modality, ...]) -> None:
        super().__init__()
        for m in modalities:
            self.register_buffer(f"center_{m.name}", torch.zeros(m.dim))
            self.register_buffer(f"scale_{m.name}", torch.ones(m.dim))

    def moments(self, name: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, `[D]`."""
        center: Tensor = getattr(self, f"center_{name}")
        scale: Tensor = getattr(self, f"scale_{name}")
        return center, scale

    def normalise(self, name: str, center: Tensor, scale: Tensor) -> None:
        """Set a modality's mean and standard deviation, `[D]`."""
        for buffer, value in zip(self.moments(name), (center, scale), strict=True):
            buffer.copy_(value)

    def normalised(self, name: str, x: Tensor, mask: Tensor) -> Tensor:
        """x `[…, D]` normalised, 0 where masked; mask bool `[…]`."""
        center, scale = self.moments(name)
        return (torch.where(mask.unsqueeze(-1), x, center) - center) / scale

    def encoder_input(self, name: str, x: Tensor, mask: Tensor) -> Tensor:
        """The same for an encoder, which sees no outliers beyond `CLIP`: its outputs stay finite."""
        return self.normalised(name, x, mask).clamp(-CLIP, CLIP)

    def log_volume(self, modality: Modality) -> Tensor:
        """log of the determinant of the normalisation, nats: log p(x) of raw values is that of normalised
        ones minus this. Modalities without location and scale are not normalised."""
        _, scale = self.moments(modality.name)
        return torch.log(scale).sum() if modality.likelihood in LOCATION_SCALE else scale.new_zeros(())

    def in_raw_units(self, modality: Modality, x: Tensor) -> Tensor:
        """A decoder's mean `[…, D]` in raw units; modalities without location and scale are unchanged."""
        if modality.likelihood not in LOCATION_SCALE:
            return x
        center, scale = self.moments(modality.name)
        return x * scale + center
