"""Where a person's engagement lies when nothing special happens: what later estimates are held against.

It changes no estimate: what is shown beside it is how far above or below that level the person is now.
"""

from typing import Final

from .engine.estimate import Estimate

SECONDS: Final = 10.0  # that are averaged


class Calibration:
    """The mean of the estimates for ten seconds in which there was something to go by.

    Args:
        rate: ticks a second.
    """

    def __init__(self, rate: int) -> None:
        self._left = round(SECONDS * rate)
        self._ticks = self._left
        self._sum = 0.0

    def add(self, estimate: Estimate) -> float | None:
        """Take the next estimate; the level once there are enough, None before."""
        if self._left and any(estimate.present.values()):
            self._left -= 1
            self._sum += estimate.engagement.mean
        return None if self._left else self._sum / self._ticks
