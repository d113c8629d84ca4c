"""The times of a live stream, whose source may start its clock again."""

from collections.abc import Callable, Sequence

from ..streams.axis import BACK


class StreamTimes:
    """Places stamps on the session's clock.

    Where two stamps in a row step back by more than `axis.BACK`, the source has started its clock again: from
    there the times go on where they were, by as much behind their arrival as before. When that makes them
    later than now, the clock is right again, and its stamps count as they are.

    Args:
        plausible: whether a time (ns) can be of the session's clock.

    Attributes:
        shift: ns; added to stamps now.
    """

    def __init__(self, plausible: Callable[[int], bool]) -> None:
        self._plausible = plausible
        self.shift = 0
        self._newest: int | None = None  # ns; placed
        self._delay = 0  # ns; of its arrival
        self._behind = False  # the last stamp stepped back

    def reopen(self) -> None:
        """The clocks have been compared anew."""
        self.shift, self._behind = 0, False

    def place(self, stamps: Sequence[int], now: int) -> list[int | str]:
        """The times of stamps that came together, ns; for each that is dropped, why.

        `backward`: not later than the one before, or a single one that steps back. `wrong_time`: not of this
        clock.
        """
        return [self._place(stamp, stamps[-1], now) for stamp in stamps]

    def _place(self, stamp: int, last: int, now: int) -> int | str:
        at, newest = stamp + self.shift, self._newest
        if newest is not None and at < newest - BACK:
            if not self._behind:
                self._behind = True
                return "backward"
            self.shift = max(now - self._delay - last, newest + 1 - stamp)
            at = stamp + self.shift
        elif self.shift and not self._plausible(at):
            self.shift, at = 0, stamp
        self._behind = False
        if not self._plausible(at):
            return "wrong_time"
        if newest is not None and at <= newest:
            return "backward"
        self._newest, self._delay = at, now - at
        return at
