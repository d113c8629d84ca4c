"""What engagement is known to have been, where it is: in a simulated conversation."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Truth:
    """A known course of engagement, drawn beside estimates.

    Attributes:
        label: where it is from, in a word or two.
        times: seconds, increasing; at least one.
        values: 0 to 1; each holds until the next time.
    """

    label: str
    times: Sequence[float]
    values: Sequence[float]

    def at(self, t: float) -> float:
        """The value at a time; before the first one, that one."""
        return self.values[max(bisect_right(self.times, t) - 1, 0)]
