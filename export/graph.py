"""A model as the module that is exported: a bundle's tensors around the model's own arithmetic.

The three kinds of graph of a model share everything but this: a `block` has an axis of ticks and runs its
recurrence in one Scan, a `full` graph also decodes z into every observed modality. Nothing is sampled except
by the `noise` of a full graph: a recurrence continues with the posterior's mean.
"""

import torch
from torch import Tensor, nn
from torch._higher_order_ops import scan
from torch.nn.functional import pad

from ..bundle.metadata import Graph
from ..models.batch import Batch
from ..models.causal import Causal
from ..models.recurrence import Tick
from .layout import layout


class ModelGraph(nn.Module):
    """`(x_1, …, x_M, mask, states…[, noise]) → (engagement…, z_mean, z_std, surprise, next states…
    [, reconstruction_1, …])`.

    Inputs are raw `[B, D_m]`, mask `[B, M]` of 0 and 1, both in the order of the layout; a masked value may
    be NaN. In a `block` they and the outputs have an axis of ticks, `[B, T, ·]`; states never do. Noise
    `[B, Z]` and reconstructions `[B, D_m]` are those of `full`: the mean of each observed modality, raw
    units, at z_mean + noise · z_std.
    """

    def __init__(self, model: Causal, kind: Graph) -> None:
        super().__init__()
        self.model, self.kind, self.layout = model, kind, layout(model)

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        inputs, decoded = self.layout.inputs, self.layout.decoded
        *values, mask = arguments[: len(inputs) + 1]
        states = arguments[len(inputs) + 1 :][: len(self.layout.states)]
        x = {m.name: self.model.shaped(m, value) for m, value in zip(inputs, values, strict=True)}
        present = {m.name: mask[..., i].bool() for i, m in enumerate(inputs)}
        found = self.model.filter(Batch(x, present), states, in_scan if self.kind == "block" else one_tick)
        surprise = torch.stack([found.surprise[m.name] for m in decoded], -1)
        surprise = pad(surprise, (0, len(inputs) - len(decoded)))  # 0 of a context, which is not decoded
        reconstructed = []
        if self.kind == "full":
            z = (found.mean + arguments[-1] * found.std).split([*self.model.sizes.values()], -1)
            parts = dict(zip(self.model.sizes, z, strict=True)) | found.context
            reconstructed = [self.model.mean(m, parts) for m in decoded]
        (prediction,) = found.prediction.values()
        return (*prediction, found.mean, found.std, surprise, *found.state, *reconstructed)


def one_tick(tick: Tick, state: Tensor, inputs: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """A recurrence of one tick: inputs and outputs `[B, ·]`."""
    return tick(state, inputs)


def in_scan(tick: Tick, state: Tensor, inputs: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """A recurrence over a block of T ticks as one Scan, T free in the graph: `[B, T, ·]`."""

    def body(state: Tensor, inputs: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        after, outputs = tick(state, inputs)
        return after, [output.clone() for output in outputs]  # scan refuses outputs that alias its inputs

    after, outputs = scan(body, state, inputs, dim=1)
    return after, outputs
