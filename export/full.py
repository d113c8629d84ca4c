"""One step that also tells what every observed modality should look like.

Costs more than `step`: the decoders are used a second time, at z as it is after seeing this tick.
"""

import torch
from torch import Tensor

from ..models.likelihoods import LOCATION_SCALE, mean, width
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
        seen = self.see(inputs, mask)
        from_h = (h @ self.h_w + self.h_b).split(self.from_h, -1)
        moved = self.move(h, *from_h[:3], *seen[1:])
        told = self.tell(seen[0], mask, *from_h[3:], *moved[:3])
        z = moved[1] + noise * torch.rsqrt(moved[2])
        return (*told, moved[3], *self.reconstructions(self.decode(z, from_h[3])))

    def reconstructions(self, parameters: Tensor) -> list[Tensor]:
        """The means of the decoded modalities, raw units."""
        dims = [dim for _, dim in self.decoded]
        if self.stacked is not None:
            means = list(parameters.chunk(2, -1)[0].split(dims, -1))
        else:
            parts = parameters.split([width(*of) for of in self.decoded], -1)
            means = [mean(kind, part) for (kind, _), part in zip(self.decoded, parts, strict=True)]
        return [
            value if moments is None else value * moments[1] + moments[0]
            for value, moments in zip(means, self.raw, strict=True)
        ]
