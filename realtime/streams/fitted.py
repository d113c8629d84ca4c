"""A clock of a stream's count of samples, fitted to the stamps of its blocks.

Sound is continuous: its samples say how much time passes, its stamps only where it is. Stamps may jitter, or
be those of the arrival of several blocks at once. A gap is where the stamps stay later than the count, not
where one of them is; to see that takes those that follow, so blocks are held back for two seconds.

Pure: integer ns. `clock.DeviceClock` does the same for live devices, which cannot look ahead.
"""

from collections import deque
from collections.abc import Iterator
from statistics import median_low
from typing import Final, Generic, NamedTuple, TypeVar

from .samples import SECOND

T = TypeVar("T")

WINDOW: Final = 2 * SECOND  # ns; of stamps that decide together
STEADY: Final = SECOND // 2  # ns; stamps that agree so long are believed to the nanosecond
AGREE: Final = SECOND // 100  # ns; the spread of stamps that agree: containers round to 1 ms
NEAR: Final = SECOND // 200  # ns; deviations that are not followed
STEP: Final = SECOND // 50  # ns; what stays later or earlier by more than this is no jitter
MAX_SLEW: Final = 1_000  # ns of sound for each ns that the level moves: a thousandth


class Placed(NamedTuple, Generic[T]):
    """A block with its time.

    Attributes:
        time: ns; of its first sample.
        begins: it does not follow the block before it without a gap or an overlap.
    """

    time: int
    begins: bool
    block: T


class _Waiting(NamedTuple, Generic[T]):
    counted: int  # ns of sound before it
    lasts: int  # ns
    deviation: int | None  # ns; its stamp less `counted`
    block: T


class FittedClock(Generic[T]):
    """Times of blocks of sound from their stamps and their samples.

    Args:
        rate: samples a second.

    Attributes:
        jitter: ns; the greatest deviation of a stamp from the time that its block was given.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._samples = 0
        self._level: int | None = None  # ns; of the times given, less the count
        self._waiting: deque[_Waiting[T]] = deque()
        self.jitter = 0

    def push(self, stamp: int | None, samples: int, block: T) -> Iterator[Placed[T]]:
        """Add a block; give those that are settled. `stamp`: ns, of its first sample, None if unknown."""
        counted = self._samples * SECOND // self._rate
        self._samples += samples
        lasts = self._samples * SECOND // self._rate - counted
        deviation = None if stamp is None else stamp - counted
        self._waiting.append(_Waiting(counted, lasts, deviation, block))
        while counted + lasts - self._waiting[0].counted > WINDOW:
            yield self._settle()

    def flush(self) -> Iterator[Placed[T]]:
        """The blocks that wait."""
        while self._waiting:
            yield self._settle()

    def _settle(self) -> Placed[T]:
        head = self._waiting[0]
        deviation, level = head.deviation, self._level
        begins = level is None
        if level is None:
            level = self._begin()
        elif deviation is not None and abs(deviation - level) > NEAR:
            moved = self._moved(level, deviation)
            if moved is not None:
                level, begins = moved, True
            else:
                most = head.lasts // MAX_SLEW
                level += min(max(self._usual() - level, -most), most)
        self._level = level
        self._waiting.popleft()
        if deviation is not None:
            self.jitter = max(self.jitter, abs(deviation - level))
        return Placed(level + head.counted, begins, head.block)

    def _begin(self) -> int:
        """The first level: the first stamp, unless those that follow disagree."""
        known = [one.deviation for one in self._waiting if one.deviation is not None]
        if not known:
            return 0
        usual = self._usual()
        return known[0] if self._agree() or abs(known[0] - usual) <= NEAR else usual

    def _moved(self, level: int, deviation: int) -> int | None:
        """The level from here on, if there is a gap or an overlap before the head."""
        if self._agree() and abs(deviation - level) > STEP:
            return deviation
        usual = self._usual()
        if abs(usual - level) > STEP and abs(deviation - usual) < abs(deviation - level):
            return usual
        return None

    def _agree(self) -> bool:
        """Whether the next stamps say the same."""
        begin = self._waiting[0].counted
        soon = (one for one in self._waiting if one.counted - begin < STEADY)
        known = [one.deviation for one in soon if one.deviation is not None]
        return bool(known) and max(known) - min(known) <= AGREE

    def _usual(self) -> int:
        return median_low(one.deviation for one in self._waiting if one.deviation is not None)
