"""An MDVAE's forward filter as a graph: the model's own arithmetic, for one tick or for many."""

import torch
from torch import Tensor, nn
from torch._higher_order_ops import scan

from ..models.forward_filter import FilterState, ForwardFilter
from .bundle import Graph


class FilterGraph(nn.Module):
    """`(x_1, …, x_M, mask, states…, noise) → (engagement…, z_mean, z_std, surprise, next states…,
    reconstruction_1, …)`; the states are h and, where there is a w, its precision and shift.

    Inputs are raw `[batch, D_m]`, mask `[batch, M]` of 0 and 1 over the observed modalities in the model's
    order; a masked value may be NaN. In a `block` they and the outputs have an axis of ticks,
    `[batch, T, ·]`, T free. z is all latents side by side, in the order of the smoother's sizes. Noise
    `[batch, Z]` and reconstructions are for `full` alone: the mean of each observed modality, raw units, at
    z's mean + noise · standard deviation.
    """

    def __init__(self, model: ForwardFilter, kind: Graph) -> None:
        super().__init__()
        self.model, self.kind = model, kind

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        model, count = self.model, len(self.model.observed)
        inputs, mask, rest = [*arguments[:count]], arguments[count], arguments[count + 1 :]
        if self.kind != "block":
            inputs, mask = [x.unsqueeze(1) for x in inputs], mask.unsqueeze(1)
        noise, states = (rest[-1].unsqueeze(1), rest[:-1]) if self.kind == "full" else (None, rest)
        nothing = states[0][:, :0]
        state = FilterState(*states) if model.static else FilterState(states[0], nothing, nothing)

        x = {m.name: value for m, value in zip(model.observed, inputs, strict=True)}
        seen = {m.name: mask[..., i].bool() for i, m in enumerate(model.observed)}
        features, anything = model.encode(x, seen)
        beliefs, expected, after = model.believe(self.recur(features, state.h), anything, state)
        mean, std = model.side_by_side(beliefs)
        surprise = [model.surprise(m, x[m.name], seen[m.name], expected) for m in model.observed]
        outputs = [*model.told(beliefs), mean, std, torch.stack(surprise, -1)]
        decoded = []
        if noise is not None:
            parts = (mean + noise * std).split([*model.smoother.sizes.values()], -1)
            means = model.smoother.decode(dict(zip(model.smoother.sizes, parts, strict=True)))
            decoded = [means[m.name].squeeze(1) for m in model.observed]
        if self.kind != "block":
            outputs = [v.squeeze(1) for v in outputs]
        return (*outputs, *after[: len(states)], *decoded)

    def recur(self, features: Tensor, h: Tensor) -> Tensor:
        """The GRU's h `[batch, T, H]`, in operators that can be exported with T free."""
        of_x, of_h, bias_x, bias_h = self.model.gru.all_weights[0]
        hidden = h.shape[-1]
        gates = features @ of_x.T + bias_x

        def tick(h: Tensor, gates_x: Tensor) -> Tensor:
            gates_h = h @ of_h.T + bias_h
            (switch_x, new_x), (switch_h, new_h) = (
                g.split([2 * hidden, hidden], -1) for g in (gates_x, gates_h)
            )
            reset, update = torch.sigmoid(switch_x + switch_h).chunk(2, -1)
            new = torch.tanh(new_x + reset * new_h)
            return new + update * (h - new)

        if self.kind != "block":
            return tick(h, gates.squeeze(1)).unsqueeze(1)

        def both(h: Tensor, gates_x: Tensor) -> tuple[Tensor, Tensor]:
            after = tick(h, gates_x)
            return after, after.clone()

        hs: Tensor = scan(both, h, gates, dim=1)[1]
        return hs
