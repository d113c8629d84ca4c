"""One forward time axis from the times that a source gives, which may start again or jump.

The policy, the same for every source that is not live:

- A step back starts a new segment, which goes on from where everything before it ended. So parts that were
  joined follow each other.
- A gap in all streams that is longer than a limit is closed: what follows goes on from there. Shorter gaps
  stay.
- A single time that is far from those before and after it is an outlier; it is used for nothing.

`Axis` applies it to streams as they are read; `axis_of_arrays` to whole arrays of times. Pure: integer ns.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

from .samples import SECOND

T = TypeVar("T")

MAX_GAP: Final = 60 * SECOND  # ns; the default limit
BACK: Final = SECOND // 2  # ns; a step back of less is jitter, or the order of decoding


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the source's own times that goes forward.

    Attributes:
        at: where it begins on the axis, ns.
        begin: the source's own time there, ns.
        reason: why it begins: the first of a source has none.
        gap: ns that were left out before it.
    """

    at: int
    begin: int
    reason: Literal["", "step back", "gap"] = ""
    gap: int = 0

    @property
    def shift(self) -> int:
        """ns to add to the source's times."""
        return self.at - self.begin

    def __str__(self) -> str:
        where = f"at {self.at / SECOND:.2f} s"
        if self.reason == "gap":
            return f"{where} a gap of {self.gap / SECOND:.2f} s was left out (--max-gap keeps longer ones)"
        return f"{where} times start again at {self.begin / SECOND:.2f} s: taken as the next part"


@dataclass(slots=True)
class _Stream(Generic[T]):
    segment: int
    newest: int | None = None  # its own time; the newest in this segment
    held: tuple[int, int, int, T] | None = None  # a time that jumps, until the next one confirms it


class Axis(Generic[T]):
    """Places items of several streams on one axis as they come.

    Streams share segments: when the first one steps back, the others are expected to follow into the same
    one. An item whose time jumps is held until the next of its stream shows whether it is an outlier.

    Args:
        max_gap: ns; longer gaps are closed.
        origin: the source's own time at which the axis begins, ns.
        reached: ns on the axis; where the first items are, if not at its beginning.

    Attributes:
        segments: so far; the first begins at the origin.
        reached: where the last item placed ends, ns on the axis.
        outliers: items whose time is not used.
    """

    def __init__(self, max_gap: int = MAX_GAP, origin: int = 0, reached: int = 0) -> None:
        self._max_gap = max_gap
        self._streams: dict[Hashable, _Stream[T]] = {}
        self._newest = [origin]  # by segment, its own time
        self.segments = [Segment(0, origin)]
        self.reached = reached
        self.outliers = 0

    def push(self, stream: Hashable, time: int, shown: int, end: int, item: T) -> list[tuple[T, int | None]]:
        """Add an item, with the source's own ns.

        Args:
            time: by which a stream's items are in order.
            shown, end: from when to when it is shown or heard.

        Returns:
            Items of this stream in their order, each with the shift that brings its times to the axis, None
            for an outlier.
        """
        s = self._streams.setdefault(stream, _Stream(len(self.segments) - 1))
        placed: list[tuple[T, int | None]] = []
        if s.held is not None:
            at, begin, until, held = s.held
            before = self._newest[s.segment] if s.newest is None else s.newest
            if abs(time - at) <= abs(time - before):
                placed.append((held, self._enter(s, at, begin, until)))
            else:
                self.outliers += 1
                placed.append((held, None))
            s.held = None
        if self._jumps(s, time):
            s.held = (time, shown, end, item)
        else:
            placed.append((item, self._place(s, time, end)))
        return placed

    def flush(self) -> list[tuple[T, int | None]]:
        """The items that are still held: nothing follows that would show them to be outliers."""
        placed: list[tuple[T, int | None]] = []
        for s in self._streams.values():
            if s.held is not None:
                time, shown, end, item = s.held
                placed.append((item, self._enter(s, time, shown, end)))
                s.held = None
        return placed

    def _jumps(self, s: _Stream[T], time: int) -> bool:
        if s.newest is not None and time < s.newest - BACK:
            return True
        return time + self.segments[s.segment].shift > self.reached + self._max_gap

    def _place(self, s: _Stream[T], time: int, end: int) -> int:
        shift = self.segments[s.segment].shift
        s.newest = time if s.newest is None else max(s.newest, time)
        self._newest[s.segment] = max(self._newest[s.segment], time)
        self.reached = max(self.reached, end + shift)
        return shift

    def _enter(self, s: _Stream[T], time: int, shown: int, end: int) -> int:
        """Move a stream into the segment that its time belongs to; begin one if there is none yet."""
        back = s.newest is not None and time < s.newest - BACK
        following = s.segment + 1
        if (
            following < len(self.segments)
            and self.segments[following].begin - BACK <= time <= self._newest[following] + self._max_gap
        ):
            s.segment = following
        elif self._jumps(s, time):  # another stream may have closed the gap meanwhile
            gap = 0 if back else shown + self.segments[s.segment].shift - self.reached
            self.segments.append(Segment(self.reached, shown, "step back" if back else "gap", gap))
            self._newest.append(time)
            s.segment = len(self.segments) - 1
        s.newest = None
        return self._place(s, time, end)
