"""A recurrence over the ticks of sequences."""

from collections.abc import Callable

import torch
from torch import Tensor

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
