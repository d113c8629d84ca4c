"""How regularly samples come: when the next one is expected."""

from collections import deque
from statistics import median
from typing import Final

RECENT: Final = 30  # intervals; a second of a camera


class Cadence:
    """The intervals between the last samples of a device."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._intervals: deque[int] = deque(maxlen=RECENT)

    def add(self, time: int) -> None:
        """A sample of that originating time (ns) has come."""
        if self._last is not None:
            self._intervals.append(time - self._last)
        self._last = time

    @property
    def quiet(self) -> int:
        """ns after a sample in which no other comes: less than the shortest of the last intervals; 0 until
        there are enough of them."""
        return max(min(self._intervals) - 1, 0) if len(self._intervals) == RECENT else 0

    @property
    def usual(self) -> int | None:
        """ns; the median of the last intervals, None until there are enough of them."""
        return round(median(self._intervals)) if len(self._intervals) == RECENT else None
