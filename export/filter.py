"""An MDVAE's forward filter as a graph: the model's own arithmetic, for one tick or for many."""

import torch
from torch import Tensor, nn
from torch._higher_order_ops import scan

from ..bundle.metadata import Graph
from ..models.forward_filter import FilterState, ForwardFilter


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
        inputs, mask, rest = arguments[:count], arguments[count], arguments[count + 1 :]
        noise, states = (rest[-1], rest[:-1]) if self.kind == "full" else (None, rest)
        nothing = states[0][:, :0]
        state = FilterState(*states) if model.static else FilterState(states[0], nothing, nothing)

        x = {m.name: value for m, value in zip(model.observed, inputs, strict=True)}
        seen = {m.name: mask[..., i].bool() for i, m in enumerate(model.observed)}
        features, anything = model.encode(x, seen)
        if self.kind == "block":
            beliefs, expected, after = model.believe(self.recur(features, state.h), anything, state)
        else:
            h = self.tick(state.h, self.gates(features))
            added = zip(state[1:], model.evidence(h, anything), strict=True)
            after = FilterState(h, *(before + more for before, more in added))
            beliefs, expected = model.beliefs(after), model.beliefs(state, model.expected)
        mean, std = model.side_by_side(beliefs)
        surprise = [model.surprise(m, x[m.name], seen[m.name], expected) for m in model.observed]
        decoded = []
        if noise is not None:
            parts = (mean + noise * std).split([*model.smoother.sizes.values()], -1)
            means = model.smoother.decode(dict(zip(model.smoother.sizes, parts, strict=True)))
            decoded = [means[m.name] for m in model.observed]
        told = (*model.told(beliefs), mean, std, torch.stack(surprise, -1))
        return (*told, *after[: len(states)], *decoded)

    def gates(self, features: Tensor) -> Tensor:
        """The inputs' part of the GRU's gates."""
        of_x, _, bias, _ = self.model.gru.all_weights[0]
        return features @ of_x.T + bias

    def tick(self, h: Tensor, gates_x: Tensor) -> Tensor:
        """The GRU's next h, `[batch, H]`."""
        _, of_h, _, bias = self.model.gru.all_weights[0]
        halves = [2 * h.shape[-1], h.shape[-1]]
        (switch_x, new_x), (switch_h, new_h) = (g.split(halves, -1) for g in (gates_x, h @ of_h.T + bias))
        reset, update = torch.sigmoid(switch_x + switch_h).chunk(2, -1)
        new = torch.tanh(new_x + reset * new_h)
        return new + update * (h - new)

    def recur(self, features: Tensor, h: Tensor) -> Tensor:
        """The GRU's h `[batch, T, H]`, with T free, which `nn.GRU` is not when exported."""

        def tick(h: Tensor, gates_x: Tensor) -> tuple[Tensor, Tensor]:
            after = self.tick(h, gates_x)
            return after, after.clone()

        hs: Tensor = scan(tick, h, self.gates(features), dim=1)[1]
        return hs
