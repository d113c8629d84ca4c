"""A clock of a stream's count of samples, fitted to the stamps of its blocks.

Sound is continuous: its samples say how much time passes, its stamps only where it is. Stamps may jitter, or
be those of the arrival of several blocks at once. A gap is where the stamps stay later than the count, not
where one of them is; to see that takes those that follow, so blocks are held back for two seconds.

Pure: integer ns. `clock.DeviceClock` does the same for live devices, which cannot look ahead.
"""

import math
from collections import deque
from collections.abc import Iterator
from statistics import fmean, median_low
from typing import Final, Generic, NamedTuple, TypeVar

from .samples import SECOND

T = TypeVar("T")

WINDOW: Final = 2 * SECOND  # ns; of stamps that decide together
STEADY: Final = SECOND // 2  # ns; stamps that agree so long are believed to the nanosecond
AGREE: Final = SECOND // 100  # ns; the spread of stamps that agree: containers round to 1 ms
NEAR: Final = SECOND // 200  # ns; deviations that are not followed
STEP: Final = SECOND // 50  # ns; what stays later or earlier by more than this is no jitter
MAX_SLEW: Final = 1_000  # ns of sound for each ns that the level moves: a thousandth
PAST: Final = 64  # blocks whose deviations say how much stamps jitter
FEW: Final = 16  # of them
SURE: Final = 4.0  # standard errors
_NORMAL: Final = 1.2533  # standard deviation of normal noise by its mean magnitude (bursts have two or more
# usual deviations, by whose median there is no noise)
_MEDIAN: Final = 1.2533  # standard error of its median by that of its mean


class Placed(NamedTuple, Generic[T]):
    """A block with its time.

    Attributes:
        time: ns; of its first sample.
        begins: it does not follow the block before it without a gap or an overlap.
        drift: ns; how much later it is than by the count since then.
    """

    time: int
    begins: bool
    drift: int
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
        strays: stamps that deviate by more than `STEP`.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._samples = 0
        self._level: int | None = None  # ns; of the times given, less the count
        self._first = 0  # ns; its value where the present stretch began
        self._waiting: deque[_Waiting[T]] = deque()
        self._past: deque[int] = deque(maxlen=PAST)  # ns; magnitudes of deviations from the level
        self.jitter = self.strays = 0

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
                level += min(max(median_low(self._next(WINDOW)) - level, -most), most)
        self._level = level
        self._first = level if begins else self._first
        self._waiting.popleft()
        if deviation is not None:
            self._past.append(abs(deviation - level))
            self.jitter = max(self.jitter, abs(deviation - level))
            self.strays += abs(deviation - level) > STEP
        return Placed(level + head.counted, begins, level - self._first, head.block)

    def _begin(self) -> int:
        """The first level: the first stamp, unless those that follow disagree."""
        known = self._next(WINDOW)
        if not known:
            return 0
        usual = median_low(known)
        soon = self._next(STEADY)
        return known[0] if (soon and _agree(soon)) or abs(known[0] - usual) <= NEAR else usual

    def _moved(self, level: int, deviation: int) -> int | None:
        """The level from here on, if there is a gap or an overlap before the head."""
        soon = self._next(STEADY)
        if _agree(soon) and abs(deviation - level) > self._least(len(soon)):
            return deviation
        # Two medians, as that of a window with a gap in its middle is any of its stamps.
        half, whole = self._next(WINDOW // 2), self._next(WINDOW)
        near, far = median_low(half), median_low(whole)
        if abs(near - level) > self._least(len(half)) and abs(near - far) < abs(near - level):
            return near if abs(deviation - near) < abs(deviation - level) else None
        return None

    def _least(self, n: int) -> float:
        """ns; a median of `n` deviations that is farther from the level is no jitter."""
        past = self._past
        if len(past) < FEW:  # then those that follow say it, though a gap among them seems noise
            following = self._next(WINDOW)
            usual = median_low(following)
            noise = _NORMAL * fmean(abs(deviation - usual) for deviation in following)
        else:
            noise = _NORMAL * fmean(past)
        return STEP + SURE * _MEDIAN * noise / math.sqrt(n)

    def _next(self, span: int) -> list[int]:
        """Deviations of the stamps in the next `span` ns."""
        begin = self._waiting[0].counted
        there = (one for one in self._waiting if one.counted - begin < span)
        return [one.deviation for one in there if one.deviation is not None]


def _agree(deviations: list[int]) -> bool:
    return max(deviations) - min(deviations) <= AGREE
