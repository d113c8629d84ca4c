"""Normalisation of modalities by mean and standard deviation, and their likelihoods in normalised units."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from ..contracts.schemas import SCHEMAS
from .batch import Batch
from .likelihoods import LOCATION_SCALE, SCALED, Parameters, nll, parameters, positive, with_label_spread
from .modality import Modality
from .target import Prediction

# Least standard deviation of a dimension: one that is almost constant must not be amplified. Of a schema
# in its units, 0.01 of a blendshape or radian; of other data as a share of what is usual for the modality.
SCALE_FLOOR: Final = 0.01
CLIP: Final = 10.0  # standard deviations; encoders' inputs beyond it are clipped
Values = Mapping[str, Tensor]  # by modality, `[…, D]`, or masks `[…]`


class Normalised(nn.Module):
    """A module that normalises its modalities, whose moments are stored with its weights."""

    def __init__(self, modalities: tuple[Modality, ...]) -> None:
        super().__init__()
        self.modalities = modalities
        self.by_name = {m.name: m for m in modalities}
        self.raw_scale = nn.ParameterDict()  # learned, of decoders that give locations only
        for m in modalities:
            self.register_buffer(f"center_{m.name}", torch.zeros(m.dim))
            self.register_buffer(f"scale_{m.name}", torch.ones(m.dim))

    def moments(self, name: str) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation by which a modality is normalised, `[D]`."""
        return getattr(self, f"center_{name}"), getattr(self, f"scale_{name}")

    def normalise(self, name: str, center: Tensor, scale: Tensor) -> None:
        """Set a modality's mean and standard deviation, `[D]`; before, they are 0 and 1."""
        for buffer, value in zip(self.moments(name), (center, scale), strict=True):
            buffer.copy_(value)

    def fit_normalisation(self, batch: Batch) -> None:
        """Set mean and standard deviation of the location-scale modalities that have none yet, from data;
        others are not normalised."""
        for m in self.modalities:
            if m.likelihood not in LOCATION_SCALE or m.name not in batch.x or self.is_normalised(m.name):
                continue
            values = batch.x[m.name][batch.available[m.name]].flatten(1)
            if len(values) > 1:
                std = values.std(0)
                usual = 1.0 if m.schema in SCHEMAS or not std.any() else std[std > 0].median().item()
                self.normalise(m.name, values.mean(0), std.clamp(min=SCALE_FLOOR * usual))

    def is_normalised(self, name: str) -> bool:
        """Whether a modality's moments have been set."""
        center, scale = self.moments(name)
        return bool(center.any()) or bool((scale != 1).any())

    def normalised(self, name: str, x: Tensor, mask: Tensor) -> Tensor:
        """x `[…, D]` normalised, 0 where masked; mask bool `[…]`."""
        center, scale = self.moments(name)
        return (torch.where(mask.unsqueeze(-1), x, center) - center) / scale

    def encoder_input(self, name: str, x: Tensor, mask: Tensor) -> Tensor:
        """The same for an encoder, which sees no outliers beyond `CLIP`: its outputs stay finite."""
        return self.normalised(name, x, mask).clamp(-CLIP, CLIP)

    def encoder_inputs(self, x: Values, mask: Values) -> dict[str, Tensor]:
        """Those of all modalities given."""
        return {name: self.encoder_input(name, value, mask[name]) for name, value in x.items()}

    def log_volume(self, m: Modality) -> Tensor:
        """log of the determinant of the normalisation, nats: log p(x) of raw values is that of normalised
        ones minus this. Modalities without location and scale are not normalised."""
        _, scale = self.moments(m.name)
        return torch.log(scale).sum() if m.likelihood in LOCATION_SCALE else scale.new_zeros(())

    def in_raw_units(self, m: Modality, x: Tensor) -> Tensor:
        """A decoder's value `[…, D]` in raw units; modalities without location and scale are unchanged."""
        if m.likelihood not in LOCATION_SCALE:
            return x
        center, scale = self.moments(m.name)
        return x * scale + center

    def predicted(self, m: Modality, prediction: Prediction) -> Prediction:
        """A target's prediction in raw units."""
        if m.likelihood not in LOCATION_SCALE:
            return prediction
        _, scale = self.moments(m.name)
        mean, low, high = (
            self.in_raw_units(m, v) for v in (prediction.mean, prediction.low, prediction.high)
        )
        return Prediction(mean, prediction.std * scale, low, high)

    def shaped(self, m: Modality, value: Tensor) -> Tensor:
        """`[…, D]` as `[…, *shape]`."""
        return value if len(m.shape) == 1 else value.unflatten(-1, m.shape)

    def distribution(self, m: Modality, outputs: Tensor) -> Parameters:
        """A likelihood's parameters from a decoder's outputs, in normalised units."""
        if m.likelihood not in SCALED or (m.scale is None and m.name not in self.raw_scale):
            return parameters(m.likelihood, outputs)
        location = outputs[..., : m.dim]
        if m.scale is None:
            return Parameters(location, positive(m.likelihood, self.raw_scale[m.name]))
        _, usual = self.moments(m.name)
        return Parameters(location, m.scale / usual)

    def nats(
        self, m: Modality, x: Tensor, mask: Tensor, outputs: Tensor, spread: Tensor | None = None
    ) -> Tensor:
        """−log p(x_m), nats, of the normalised x, from the decoder's outputs; 0 where masked.

        Args:
            spread: standard deviation of x as a label, raw units; see `with_label_spread`.
        """
        found, value = self.distribution(m, outputs), self.normalised(m.name, x, mask)
        if spread is not None:
            found = with_label_spread(m.likelihood, found, value, spread / self.moments(m.name)[1])
        return nll(m.likelihood, found, value) * mask
