"""An MVAE or a DMVAE as a graph: every tick by itself."""

import torch
from torch import Tensor, nn

from ..bundle.metadata import Graph
from ..models.dmvae import DMVAE
from ..models.mvae import MVAE


class StatelessGraph(nn.Module):
    """`(x_1, …, x_M, mask, noise) → (engagement…, z_mean, z_std, surprise, reconstruction_1, …)`.

    Inputs are raw `[batch, D_m]`, mask `[batch, M]` of 0 and 1 over the observed modalities in the model's
    order; a masked value may be NaN. In a `block` they and the outputs have an axis of ticks,
    `[batch, T, ·]`, T free. Noise `[batch, Z]` and reconstructions are for `full` alone: the mean of each
    observed modality, raw units, at z's mean + noise · standard deviation.
    """

    def __init__(self, model: MVAE | DMVAE, kind: Graph) -> None:
        super().__init__()
        self.model, self.kind = model, kind
        self.observed = [m for m in model.modalities if m.role == "observed"]

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        count = len(self.observed)
        mask, shape = arguments[count], arguments[count].shape[:-1]
        x = {m.name: v.reshape(-1, m.dim) for m, v in zip(self.observed, arguments, strict=False)}
        seen = {m.name: mask[..., i].reshape(-1).bool() for i, m in enumerate(self.observed)}
        prediction, surprise = self.model.predict(x, seen)
        mean, precision = self.model.posterior(x, seen)
        std = torch.rsqrt(precision)
        outputs = [*prediction, mean, std, torch.stack([surprise[m.name] for m in self.observed], -1)]
        if self.kind == "full":
            means = self.model.decode(mean + arguments[-1] * std)
            outputs += [means[m.name] for m in self.observed]
        return tuple(v.reshape(*shape, -1) for v in outputs)
