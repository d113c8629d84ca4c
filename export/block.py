"""Many ticks at once, for offline work: the same weights and outputs as `step`, faster per tick.

Only the recurrence goes tick by tick, in one Scan; what comes before and after it is done for all ticks.
"""

from torch import Tensor
from torch._higher_order_ops import scan

from .step import StepGraph


class BlockGraph(StepGraph):
    """`(x_1, …, x_M, mask, state_h) → (engagement…, z_mean, z_std, surprise, next_state_h)`.

    As `StepGraph`, but inputs, mask and outputs have an axis of ticks: `[batch, T, ·]`, T free. States are
    `[batch, H]`, before the first tick and after the last.
    """

    def forward(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        *inputs, mask, state = arguments
        x, *seen = self.see(inputs, mask)
        parts = [sum(self.to_move), sum(self.to_tell)]
        (move_w, tell_w), (move_b, tell_b) = (of.split(parts, -1) for of in (self.h_w, self.h_b))

        def tick(h: Tensor, seen: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
            from_h = (h @ move_w + move_b).split(self.to_move, -1)
            *moved, after = self.move(h, *from_h, *seen)
            return after, [h.clone(), *(part.clone() for part in moved)]

        end, (h, *moved) = scan(tick, state, seen, dim=1)
        from_h = (h @ tell_w + tell_b).split(self.to_tell, -1)
        return (*self.tell(x, mask, *from_h, *moved), end)
