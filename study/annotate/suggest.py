"""Where another rating would help most: stretches where the model was least sure, or most surprised."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ...realtime.engine.estimate import Estimate
from .segments import Segment, between, rated

WINDOW: Final = 4.0  # s; over which both are averaged
SHARE: Final = 0.15  # of the recording that is offered, by either
SHORTEST: Final = 2.0  # s
MOST: Final = 20

Why = Literal["unsure", "surprised"]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the recording, seconds, and why it is offered."""

    start: float
    end: float
    why: Why


def stretches(estimates: Iterable[Estimate]) -> list[Stretch]:
    """Stretches with the widest intervals, and with the largest surprise of all modalities, sorted by start.

    Of each reason the upper `SHARE` of the recording, averaged over `WINDOW`; those shorter than
    `SHORTEST` with what is around them. Several people's estimates count by the largest at each time.
    """
    width: dict[float, float] = {}
    surprise: dict[float, float] = {}
    for one in estimates:
        width[one.t] = max(width.get(one.t, 0.0), one.engagement.high - one.engagement.low)
        nats = [value for value in one.surprise.values() if value is not None]
        if nats:
            surprise[one.t] = max(surprise.get(one.t, -np.inf), sum(nats))
    reasons: tuple[tuple[Why, dict[float, float]], ...] = (("unsure", width), ("surprised", surprise))
    found = [stretch for why, scores in reasons for stretch in _highest(scores, why)]
    return sorted(found, key=lambda stretch: (stretch.start, stretch.end))


def most_useful(found: Sequence[Stretch], segments: Sequence[Segment]) -> list[Stretch]:
    """The stretches that are not all rated, those with most that is not rated first."""

    def missing(stretch: Stretch) -> float:
        done = rated(between(segments, stretch.start, stretch.end))
        return round(stretch.end - stretch.start - done, 3)

    return [s for s in sorted(found, key=missing, reverse=True) if missing(s) > 0][:MOST]


def _highest(scores: dict[float, float], why: Why) -> list[Stretch]:
    times = np.array(sorted(scores))
    if len(times) < 2:
        return []
    values = np.array([scores[t] for t in times.tolist()])
    smooth = np.round(_averaged(times, values), 6)  # without the rounding of sums
    # A bound alone would offer everything where most of it is the same.
    high = np.flatnonzero((smooth >= np.quantile(smooth, 1 - SHARE)) & (smooth > np.median(smooth)))
    step = float(np.median(np.diff(times)))
    runs = np.split(high, np.flatnonzero(np.diff(times[high]) > 2 * step) + 1)
    first, last = float(times[0]), float(times[-1]) + step
    found: list[Stretch] = []
    for run in runs:
        if not len(run):
            continue
        start, end = float(times[run[0]]), float(times[run[-1]]) + step
        more = max(SHORTEST - (end - start), 0.0) / 2
        start, end = max(start - more, first), min(end + more, last)
        if found and start <= found[-1].end:
            start = found.pop().start
        found.append(Stretch(round(start, 3), round(end, 3), why))
    return found


def _averaged(times: Array, values: Array) -> Array:
    """Means over a window with each time at its centre."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    first = np.searchsorted(times, times - WINDOW / 2, "left")
    last = np.searchsorted(times, times + WINDOW / 2, "right")
    averages: Array = (total[last] - total[first]) / (last - first)
    return averages
