"""Times that a tracker can use: they always increase."""

from typing import Final

MILLISECOND: Final = 1_000_000  # ns


class StreamClock:
    """Converts originating times (ns) to whole milliseconds that increase, from 1 on.

    Smoothing uses the intervals, and MediaPipe rejects a time that does not increase: where times repeat, go
    back or jump, the clock advances by 1 ms and keeps the intervals that follow.
    """

    _JUMP: Final = 3_600_000  # ms; an hour between two pictures is a wrong time stamp

    def __init__(self) -> None:
        self._last = 0  # ms
        self._zero: int | None = None  # ns; originating time of 0 ms

    def __call__(self, time: int) -> int:
        if self._zero is None or not 0 < (time - self._zero) // MILLISECOND - self._last <= self._JUMP:
            self._zero = time - (self._last + 1) * MILLISECOND
        self._last = (time - self._zero) // MILLISECOND
        return self._last
