"""How regularly a source brings what it brings: when the next piece is to be expected."""

from collections import deque
from statistics import median
from typing import Final

RECENT: Final = 30  # intervals; a second of a camera


class Cadence:
    """The intervals between the last pieces of a source."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._intervals: deque[int] = deque(maxlen=RECENT)

    def seen(self, time: int) -> None:
        """A piece of that originating time (ns) has come."""
        if self._last is not None:
            self._intervals.append(time - self._last)
        self._last = time

    @property
    def shortest(self) -> int:
        """ns after a piece in which no other has come lately; 0 until there are enough to say so."""
        return min(self._intervals) if len(self._intervals) == RECENT else 0

    @property
    def usual(self) -> int | None:
        """ns from one piece to the next, the median; None until there are enough to say so."""
        return round(median(self._intervals)) if len(self._intervals) == RECENT else None
