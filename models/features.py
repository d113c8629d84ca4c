"""The inputs of a recurrence over all modalities: each one's features and whether it is present."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .modality import Modality
from .normalised import Values
from .recent_past import encoder_of_size, seen_size


class Features(nn.Module):
    """φ_m(x) with a presence flag, zeros where masked.

    Args:
        hidden: width of the encoders.
        ticks: time constants of the means of the past that encoders see beside x; see `recent_past`.
        whiten: what those encoders see.

    Attributes:
        sizes: of φ_m(x) with its flag, by modality.
    """

    def __init__(
        self, modalities: tuple[Modality, ...], hidden: int, ticks: Sequence[float] = (), whiten: bool = False
    ) -> None:
        super().__init__()
        self.phi, self.sizes = nn.ModuleDict(), {}
        for m in modalities:
            self.phi[m.name], features = encoder_of_size(m, seen_size(m, ticks), hidden, whiten)
            self.sizes[m.name] = features + 1

    def forward(self, values: Values, mask: Values) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """φ_m(x) with its flag `[…, F + 1]`, and presence, bool `[…]`, by modality in order.

        Args:
            values: normalised, by modality, `[…, D]`; those left out are missing.
        """
        some_value, some_mask = next(iter(values.values())), next(iter(mask.values()))
        features, present = {}, {}
        for name, phi in self.phi.items():
            if name in values:
                seen = mask[name]
                flag = seen.unsqueeze(-1).to(some_value.dtype)
                features[name] = torch.cat([phi(values[name]) * flag, flag], -1)
            else:
                seen = torch.zeros_like(some_mask)
                features[name] = some_value.new_zeros(*some_mask.shape, self.sizes[name])
            present[name] = seen
        return features, present
