"""Ratings while they are edited: stretches of time with a value each, sorted, without overlap.

A trace and intervals are the same here; they differ in how they are stored (`labels`).
"""

import itertools
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from ...contracts.errors import UserError
from ..ratings import LARGEST, Intervals, Label, Trace, Whole
from ..study import Dimension

Kind = Literal["trace", "interval", "session"]

_ROUNDING: Final = 1e-9  # of the range; by which a value may lie beyond it


class Segment(NamedTuple):
    """A value from `start` to `end`, seconds; with the rater's confidence, where there is one."""

    start: float
    end: float
    value: float
    confidence: float | None = None


def replaced(old: Sequence[Segment], start: float, end: float, new: Sequence[Segment]) -> list[Segment]:
    """The segments with `new` from `start` to `end`, whatever was there; what crosses a border is cut."""
    first = bisect_right(old, start, key=lambda segment: segment.end)
    last = bisect_left(old, end, key=lambda segment: segment.start)
    result = list(old[:first])
    if first < last and old[first].start < start:
        result.append(old[first]._replace(end=start))
    result += new
    if first < last and old[last - 1].end > end:
        result.append(old[last - 1]._replace(start=end))
    return result + list(old[last:])


def between(segments: Sequence[Segment], start: float, end: float) -> list[Segment]:
    """What there is from `start` to `end`, cut to it."""
    first = bisect_right(segments, start, key=lambda segment: segment.end)
    last = bisect_left(segments, end, key=lambda segment: segment.start)
    return [
        segment._replace(start=max(segment.start, start), end=min(segment.end, end))
        for segment in segments[first:last]
    ]


def joined(segments: Sequence[Segment]) -> list[Segment]:
    """Neighbours that touch and have the same value become one."""
    result: list[Segment] = []
    for segment in segments:
        last = result[-1] if result else None
        if last is not None and last.end == segment.start and last.value == segment.value:
            result[-1] = last._replace(end=segment.end)
        else:
            result.append(segment)
    return result


def lost(old: Sequence[Segment], new: Sequence[Segment]) -> Iterator[tuple[float, float]]:
    """The stretches that are rated in `old` and are otherwise, or not at all, in `new`; start and end."""
    times = sorted({time for segment in (*old, *new) for time in segment[:2]})
    for start, end in itertools.pairwise(times):
        before, after = between(old, start, end), between(new, start, end)
        if before and (not after or after[0].value != before[0].value):
            yield start, end


def rated(segments: Sequence[Segment]) -> float:
    """Seconds that have a value."""
    return sum(segment.end - segment.start for segment in segments)


def segments_of(label: Label) -> list[Segment]:
    """The segments of labels. The last row of a trace, which only ends it, has none."""
    if isinstance(label, Whole):
        raise UserError(f"{label.dimension}.{label.rater}: is of the whole session, not of parts of it")
    if isinstance(label, Trace):
        times, values = label.times.tolist(), label.values.tolist()
        rows = zip(times, times[1:], values, strict=False)
        return [Segment(start, end, value) for start, end, value in rows if not math.isnan(value)]
    columns = (label.start, label.end, label.value, label.confidence)
    found = zip(*(column.tolist() for column in columns), strict=True)
    return [Segment(a, b, value, None if math.isnan(sure) else sure) for a, b, value, sure in found]


def label_of(segments: Sequence[Segment], kind: Kind, rater: str, dimension: str) -> Label:
    """Labels with those values. A trace has a row at each change, and one without a value at each end."""
    if kind == "interval":
        columns = np.array(segments, float).reshape(-1, 4).T  # None becomes NaN
        return Intervals(rater, dimension, *columns)
    rows: list[tuple[float, float]] = []
    for segment in joined(segments):
        if rows and rows[-1][0] == segment.start:
            rows.pop()  # the end of the one before
        rows += [(segment.start, segment.value), (segment.end, math.nan)]
    times, values = np.array(rows, float).reshape(-1, 2).T
    return Trace(rater, dimension, times, values)


def check(segments: Sequence[Segment], start: float, end: float, dimension: Dimension, limit: float) -> None:
    """Refuse what cannot be stored from `start` to `end`.

    Args:
        limit: s; end of the recording.

    Raises:
        UserError: what is wrong.
    """
    if not -LARGEST <= start < end <= min(limit, LARGEST):
        raise UserError(
            f"from {start:g} to {end:g} s is not a stretch of the recording, which ends at {limit:g} s"
        )
    last = start
    for segment in segments:
        if not last <= segment.start < segment.end <= end:
            raise UserError(
                f"a rating from {segment.start:g} to {segment.end:g} s cannot be after {last:g} s"
            )
        check_value(segment.value, dimension)
        last = segment.end


def check_value(value: float, dimension: Dimension) -> None:
    """Refuse a value beyond the dimension's range.

    Raises:
        UserError: it is.
    """
    slack = _ROUNDING * (dimension.high - dimension.low)
    if not dimension.low - slack <= value <= dimension.high + slack:
        raise UserError(f"{value:g} is not from {dimension.low:g} to {dimension.high:g}")
