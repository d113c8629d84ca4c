"""One step that also tells what every observed modality should look like.

Costs more than `step`: the decoders are used a second time, at z as it is after seeing this tick.
"""

import torch
from torch import Tensor

from ..models.likelihoods import LOCATION_SCALE, mean
from ..models.mm_vrnn import MMVRNN
from .step import StepGraph


class FullGraph(StepGraph):
    """`(x_1, …, x_M, mask, state_h, noise) → (engagement…, z_mean, z_std, surprise, next_state_h,
    reconstruction_1, …)`.

    As `StepGraph`, with `noise` `[batch, Z]` beside: z = mean + noise · standard deviation is decoded into
    the mean of each observed modality, `[batch, D_m]` in raw units, present or not. Noise of 0 gives the
    reconstruction at z's mean, draws from N(0, 1) samples of it; the recurrence takes z's mean in both.
    """

    def __init__(self, model: MMVRNN) -> None:
        super().__init__(model)
        self.raw = [model.moments(m.name) if m.likelihood in LOCATION_SCALE else None for m in model.decoded]

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        *inputs, mask, h, noise = arguments
        x, *seen = self.see(inputs, mask)
        from_h = (h @ self.h_w + self.h_b).split([*self.to_move, *self.to_tell], -1)
        to_tell = from_h[len(self.to_move) :]
        *moved, after = self.move(h, *from_h[: len(self.to_move)], *seen)
        _, z_mean, variance = moved
        z = z_mean + noise * torch.sqrt(variance)
        reconstructed = self.reconstructions(self.decode(z, to_tell[0]))
        return (*self.tell(x, mask, *to_tell, *moved), after, *reconstructed)

    def reconstructions(self, hidden: Tensor) -> list[Tensor]:
        """The means of the decoded modalities, raw units."""
        if self.stacked is not None:
            parts = self.location(hidden).split(self.widths[: len(self.decoded)], -1)
            means = [part[..., :dim] for part, (_, dim) in zip(parts, self.decoded, strict=True)]
        else:
            parts = self.decoded_apart(hidden)
            means = [mean(kind, part) for (kind, _), part in zip(self.decoded, parts, strict=True)]
        return [
            value if moments is None else value * moments[1] + moments[0]
            for value, moments in zip(means, self.raw, strict=True)
        ]
