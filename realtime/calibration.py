"""A person's usual level of engagement, as a reference for later estimates.

It changes no estimate: the page shows how far the current one is above or below it.
"""

from typing import Final

from .engine.estimate import Estimate

SECONDS: Final = 10.0  # that are averaged


class Calibration:
    """The mean of the estimates over ten seconds in which any modality was present.

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
