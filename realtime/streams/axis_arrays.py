"""The time policy of `axis`, for whole arrays of times: those of a file that is there from begin to end.

Works on blocks, stretches of a stream without a step back and without a gap longer than the limit: their
number, not that of samples, costs time in Python. Pure: integer ns.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .axis import BACK, MAX_GAP, Segment
from .samples import SECOND

Times = NDArray[np.int64]

UNKNOWN: Final = np.iinfo(np.int64).min  # a time that is none: always an outlier
STEP: Final = SECOND // 25  # ns from the end of a segment to the next: an array of times has no durations

FARTHEST: Final = 1 << 61  # ns; differences of such times fit
_SEARCHED: Final = 256, 1 << 20  # samples searched at once, at first and at most


def nanoseconds(seconds: NDArray[np.float64], zero: float) -> Times:
    """ns since `zero` (s); `UNKNOWN` where they are not finite, or centuries away."""
    with np.errstate(all="ignore"):
        times = np.rint((seconds - zero) * SECOND)
        known = np.abs(times) < FARTHEST
    return np.where(known, times, UNKNOWN).astype(np.int64)


@dataclass(slots=True)
class _Block:
    """Samples `first` to `last`, exclusive, of a stream; own times, and ns to add to them."""

    first: int
    last: int
    begin: int
    end: int
    shift: int = 0


class Stream:
    """The times of one stream.

    Attributes:
        kept: bool `[n]`; which samples are no outliers.
        own: ns `[m]`; the times of these.
        placed: ns `[m]`; their times on the axis.
    """

    def __init__(self, times: Times, max_gap: int, back: int) -> None:
        self.kept, starts = _steps_back(times, back)
        self.own = times if self.kept.all() else times[self.kept]
        self.placed = self.own
        self.parts: list[list[_Block]] = []
        self.part = 0  # the one whose end has been reached while parts are joined
        if self.own.size:
            edges = np.union1d(starts, np.flatnonzero(np.diff(self.own) > max_gap) + 1)
            begins = np.minimum.reduceat(self.own, edges).tolist()
            ends = np.maximum.reduceat(self.own, edges).tolist()
            firsts = [*edges.tolist(), self.own.size]
            new = set(starts.tolist())
            for k, (begin, end) in enumerate(zip(begins, ends, strict=True)):
                if firsts[k] in new:
                    self.parts.append([])
                self.parts[-1].append(_Block(firsts[k], firsts[k + 1], begin, end))

    @property
    def blocks(self) -> list[_Block]:
        return [block for part in self.parts for block in part]

    @property
    def span(self) -> tuple[int, int]:
        """Its first and last own time."""
        return min(b.begin for b in self.blocks), max(b.end for b in self.blocks)

    def place(self) -> None:
        shifts = [block.shift for block in self.blocks]
        if any(shifts):
            self.placed = self.own.copy()
            for block in self.blocks:
                self.placed[block.first : block.last] += block.shift


@dataclass(slots=True)
class Placed:
    """Times on one axis.

    Attributes:
        streams: by name.
        segments: in their order on the axis; each with the name of the stream whose times it is for, or ""
            if it is for all.
    """

    streams: dict[str, Stream]
    segments: list[tuple[str, Segment]]
    _back: int
    _shifts: list[int] = field(default_factory=lambda: [0])  # of the parts that all streams have
    _gaps: list[tuple[int, int]] = field(default_factory=list)  # where it ends, and ns left out so far
    _zero: int = 0

    def follow(self, times: Times) -> list[int | None]:
        """The times of labels, which have no part in what is a segment or a gap; None for `UNKNOWN`.

        Those within a gap that was left out are at its end.
        """
        placed: list[int | None] = []
        part, newest = 0, -FARTHEST
        for time in times.tolist():
            if not -FARTHEST < time < FARTHEST:
                placed.append(None)
                continue
            if time < newest - self._back:
                part, newest = min(part + 1, len(self._shifts) - 1), time
            newest = max(newest, time)
            placed.append(self._follow(time + self._shifts[part]))
        return placed

    def _follow(self, time: int) -> int:
        k = bisect_right(self._gaps, time, key=itemgetter(0))
        time -= self._gaps[k - 1][1] if k else 0
        if k < len(self._gaps):
            end, closed = self._gaps[k]
            time = min(time, end - closed)
        return time - self._zero


def axis_of_arrays(
    times: Mapping[str, Times], max_gap: int = MAX_GAP, back: int = BACK, origin: int | None = None
) -> Placed:
    """Place the times of several streams, ns `[n]` each in the order of its samples, on one axis.

    Args:
        max_gap: ns, at least `STEP`; longer gaps in all streams are closed.
        back: ns; times that step back by less are jitter, or samples that came late.
        origin: the own time at which the axis is 0; that of the earliest sample if not given.
    """
    max_gap = max(max_gap, STEP)
    streams = {name: Stream(array, max_gap, back) for name, array in times.items()}
    placed = Placed(streams, [], back)
    there = {name: stream for name, stream in streams.items() if stream.own.size}
    steps = _join_parts(there, max_gap, placed._shifts)
    _close_gaps(placed, [block for s in there.values() for block in s.blocks], max_gap, origin)
    for name, at, begin in steps:
        placed.segments.append((name, Segment(placed._follow(at), begin, "step back")))
    placed.segments.sort(key=lambda row: row[1].at)
    for stream in there.values():
        stream.place()
    return placed


def apart(spans: Mapping[str, tuple[int, int]], max_gap: int) -> tuple[str, str] | None:
    """Two streams that share no time: between them there is a gap longer than `max_gap` in all spans."""
    order = sorted(spans, key=spans.__getitem__)
    for k, name in enumerate(order[1:], 1):
        before = max(order[:k], key=lambda name: spans[name][1])
        if spans[name][0] > spans[before][1] + max_gap:
            return before, name
    return None


def _join_parts(streams: Mapping[str, Stream], max_gap: int, shifts: list[int]) -> list[tuple[str, int, int]]:
    """Shift each stream's parts to follow each other; name, where, and own begin of each step back.

    Streams step back together if all end there at the same time, and the parts that follow share time.
    """
    steps = []

    def end(name: str) -> int:
        return max(block.end + block.shift for block in streams[name].parts[streams[name].part])

    def following(name: str) -> tuple[int, int]:
        part = streams[name].parts[streams[name].part + 1]
        return min(block.begin for block in part), max(block.end for block in part)

    while ahead := [name for name, s in streams.items() if s.part + 1 < len(s.parts)]:
        ends = {name: end(name) for name in streams}
        together = len(ahead) == len(streams) and max(ends.values()) - min(ends.values()) <= max_gap
        if not together or apart({name: following(name) for name in ahead}, max_gap):
            ahead, together = [min(ahead, key=ends.__getitem__)], False
        at, begin = max(ends[name] for name in ahead) + STEP, min(following(name)[0] for name in ahead)
        steps.append(("" if together else ahead[0], at, begin))
        shifts += [at - begin] * together
        for name in ahead:
            streams[name].part += 1
            for block in streams[name].parts[streams[name].part]:
                block.shift = at - begin
    return steps


def _close_gaps(placed: Placed, blocks: list[_Block], max_gap: int, origin: int | None) -> None:
    """Shift blocks so that no gap in all of them is too long, and the origin is 0."""
    if origin is not None:
        blocks.append(_Block(0, 0, origin, origin))
    blocks.sort(key=lambda block: block.begin + block.shift)
    if not blocks:
        return
    reached, closed, found = blocks[0].begin + blocks[0].shift, 0, []
    for block in blocks:
        at = block.begin + block.shift
        if (gap := at - reached) > max_gap:
            closed += gap - STEP
            placed._gaps.append((at, closed))
            found.append((at - closed, block.begin, gap))
        reached = max(reached, block.end + block.shift)
        block.shift -= closed
    first = blocks[0]
    placed._zero = first.begin + first.shift
    if origin is not None:
        placed._zero = next(b.begin + b.shift for b in blocks if b.first == b.last)
    for block in blocks:
        block.shift -= placed._zero
    placed.segments.append(("", Segment(0, origin if origin is not None else first.begin)))
    placed.segments += [("", Segment(at - placed._zero, begin, "gap", gap)) for at, begin, gap in found]


def _steps_back(times: Times, back: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which samples are no outliers, and the numbers among them at which another part begins.

    An outlier is a single time from which the next one goes back to those before it, or a part of one sample.
    """
    far = 0  # ns; from one time to the next, if that is an outlier; `back` unless the stream is sparse
    kept = (times > -FARTHEST) & (times < FARTHEST)
    t = times if kept.all() else times[kept]
    starts, outliers = [0], list[int]()
    older = newest = int(t[0]) if t.size else 0
    at = 1
    while at < t.size:
        at, older, newest = _drop(t, at, back, older, newest)
        if at >= t.size:
            break
        far = far or max(back, 2 * int(np.median(np.diff(t))))
        time, last = int(t[at]), int(t[at - 1])
        following = int(t[at + 1]) if at + 1 < t.size else time
        if starts[-1] == at - 1:
            outliers.append(at - 1)
            starts[-1] = at
            older = newest = time
        elif outliers[-1:] != [at - 1] and last > older + far and abs(time - last) > abs(time - older):
            outliers.append(at - 1)
            newest = older
            continue
        elif abs(following - time) > abs(following - newest):
            outliers.append(at)
        else:
            starts.append(at)
            older = newest = time
        at += 1
    if len(starts) > 1 and starts[-1] == t.size - 1:
        outliers.append(starts.pop())
    kept[np.flatnonzero(kept)[outliers]] = False
    return kept, np.array(starts) - np.searchsorted(outliers, starts)


def _drop(t: Times, at: int, back: int, older: int, newest: int) -> tuple[int, int, int]:
    """The first sample from `at` on that steps back, the newest time before the one before it, and before it.

    Args:
        older, newest: likewise, of the sample `at`.
    """
    size, most = _SEARCHED
    while at < t.size:
        block = t[at : at + size]
        # before[k + 1]: the newest before sample k of the block
        before = np.maximum.accumulate(np.concatenate(([older, newest], block)))
        below = block < before[1:-1] - back
        k = int(below.argmax())
        if below[k]:
            return at + k, int(before[k]), int(before[k + 1])
        older, newest = int(before[-2]), int(before[-1])
        at, size = at + size, min(2 * size, most)
    return at, older, newest
