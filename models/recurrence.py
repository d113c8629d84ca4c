"""A recurrence over the ticks of sequences."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Tick = Callable[[Tensor, list[Tensor]], tuple[Tensor, list[Tensor]]]
# (tick, state `[B, ·]`, inputs `[B, T, ·]`) → the state after, and outputs `[B, T, ·]`. A bundle's graph has
# its own: one Scan, or a single tick without the axis T.
Recur = Callable[[Tick, Tensor, list[Tensor]], tuple[Tensor, list[Tensor]]]


def loop(tick: Tick, state: Tensor, inputs: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Tick by tick.

    Args:
        tick: state `[B, ·]` and inputs `[B, ·]` → the next state, and outputs `[B, ·]`.
        inputs: `[B, T, ·]`.
    """
    steps = []
    # Unbound once: indexing [:, t] in the loop would make the backward pass quadratic in T.
    for step in zip(*(part.unbind(1) for part in inputs), strict=True):
        state, outputs = tick(state, [*step])
        steps.append(outputs)
    return state, [torch.stack(column, 1) for column in zip(*steps, strict=True)]


def gru_states(gru: nn.GRU, inputs: Tensor, h: Tensor, recur: Recur | None) -> Tensor:
    """h after each tick, `[B, T, H]`: by PyTorch's GRU, or by its equations in another recurrence.

    Args:
        inputs: `[B, T, I]`.
        h: before the first tick, `[B, H]`.
    """
    if recur is None:
        states: Tensor = gru(inputs, h.unsqueeze(0))[0]
        return states
    of_x, of_h, bias_x, bias_h = gru.all_weights[0]
    halves = [2 * gru.hidden_size, gru.hidden_size]

    def tick(h: Tensor, gates_x: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        switches_x, new_x = gates_x[0].split(halves, -1)  # [B, 2 H], [B, H]
        switches_h, new_h = (h @ of_h.T + bias_h).split(halves, -1)
        reset, update = torch.sigmoid(switches_x + switches_h).chunk(2, -1)
        new = torch.tanh(new_x + reset * new_h)
        after = new + update * (h - new)
        return after, [after]

    return recur(tick, h, [inputs @ of_x.T + bias_x])[1][0]
