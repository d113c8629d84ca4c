"""What one rater says of one dimension of a session: a trace, intervals, or one value for all of it.

Times are seconds on the session's axis. What is not right cannot be made.
"""

import math
import re
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..contracts.errors import UserError, one_line

LARGEST: Final = 1e9  # of a time in seconds, and of a value

Array = NDArray[np.float64]

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,60}")


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """A value that changes over time.

    Attributes:
        times: float64 `[n]`, seconds, increasing.
        values: float64 `[n]`, NaN: not rated from there on.

    Raises:
        UserError: a name, a time or a value cannot be.
    """

    kind: ClassVar[str] = "trace"
    rater: str
    dimension: str
    times: Array
    values: Array

    def __post_init__(self) -> None:
        check_names(self.rater, self.dimension)
        for name in ("times", "values"):
            object.__setattr__(self, name, _array(getattr(self, name)))
        if self.times.shape != self.values.shape:
            raise ValueError(f"{len(self.times)} times and {len(self.values)} values")
        _check_range("time", self.times)
        _check_range("value", self.values[~np.isnan(self.values)])
        if (back := np.flatnonzero(np.diff(self.times) <= 0)).size:
            raise UserError(f"row {back[0] + 2}: its time, {self.times[back[0] + 1]:g} s, is not later than "
                            "the one before")  # fmt: skip

    @property
    def rated(self) -> float:
        """Seconds that are rated."""
        return float(np.diff(self.times)[~np.isnan(self.values[:-1])].sum())

    @property
    def span(self) -> tuple[float, float] | None:
        """First and last time of a value, seconds; None without any."""
        there = np.flatnonzero(~np.isnan(self.values))
        if not there.size:
            return None
        return float(self.times[there[0]]), float(self.times[min(there[-1] + 1, len(self.times) - 1)])

    def at(self, times: ArrayLike) -> Array:
        """The value at each time, NaN where it is not rated."""
        asked = _array(times)
        if not len(self.times):
            return np.full(asked.shape, np.nan)
        row = np.searchsorted(self.times, asked, "right") - 1
        inside = (row >= 0) & (asked <= self.times[-1])
        return np.where(inside, self.values[np.maximum(row, 0)], np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Values of stretches of time, sorted by start.

    Attributes:
        start, end: float64 `[n]`, seconds. The end is later than the start; they do not overlap.
        value: float64 `[n]`, finite.
        confidence: float64 `[n]`, NaN where not given.

    Raises:
        UserError: as `Trace`; two intervals overlap.
    """

    kind: ClassVar[str] = "interval"
    rater: str
    dimension: str
    start: Array
    end: Array
    value: Array
    confidence: Array

    def __post_init__(self) -> None:
        check_names(self.rater, self.dimension)
        names = ("start", "end", "value", "confidence")
        arrays = [_array(getattr(self, name)) for name in names]
        if len({array.shape for array in arrays}) > 1:
            raise ValueError(f"arrays of {[len(array) for array in arrays]} intervals")
        for name, array in zip(names[:3], arrays, strict=False):
            _check_range(name, array)
        _check_range("confidence", arrays[3][~np.isnan(arrays[3])])
        order = np.argsort(arrays[0], kind="stable")
        for name, array in zip(names, arrays, strict=True):
            object.__setattr__(self, name, array[order])
        if (empty := np.flatnonzero(self.end <= self.start)).size:
            raise UserError(f"the interval at {self.start[empty[0]]:g} s ends at {self.end[empty[0]]:g} s")
        if (over := np.flatnonzero(self.start[1:] < self.end[:-1])).size:
            at = over[0]
            raise UserError(
                f"the interval of {self.start[at]:g} to {self.end[at]:g} s overlaps the next, "
                f"from {self.start[at + 1]:g} s on"
            )

    @property
    def rated(self) -> float:
        """Seconds that are rated."""
        return float((self.end - self.start).sum())

    @property
    def span(self) -> tuple[float, float] | None:
        """Start of the first and end of the last interval, seconds; None without any."""
        return (float(self.start[0]), float(self.end[-1])) if len(self.start) else None

    def at(self, times: ArrayLike) -> Array:
        """The value at each time, NaN where it is not rated."""
        asked = _array(times)
        if not len(self.start):
            return np.full(asked.shape, np.nan)
        row = np.searchsorted(self.start, asked, "right") - 1
        inside = (row >= 0) & (asked < self.end[np.maximum(row, 0)])
        return np.where(inside, self.value[np.maximum(row, 0)], np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """One value for a whole session.

    Attributes:
        value, confidence: float64 `[1]`; the latter NaN where not given.

    Raises:
        UserError: a name or a value cannot be.
    """

    kind: ClassVar[str] = "session"
    rater: str
    dimension: str
    value: Array
    confidence: Array

    def __post_init__(self) -> None:
        check_names(self.rater, self.dimension)
        for name in ("value", "confidence"):
            object.__setattr__(self, name, np.atleast_1d(_array(getattr(self, name))))
        if self.value.shape != (1,) or self.confidence.shape != (1,):
            raise UserError(f"{len(self.value)} values; a whole session has one")
        _check_range("value", self.value)
        _check_range("confidence", self.confidence[~np.isnan(self.confidence)])

    @property
    def rated(self) -> float:
        """Seconds that are rated: all that there are."""
        return math.inf

    @property
    def span(self) -> None:
        """It holds at any time."""
        return None

    def at(self, times: ArrayLike) -> Array:
        """The value at each time: always the same."""
        return np.full(_array(times).shape, self.value[0])


Label = Trace | Intervals | Whole


def check_names(rater: str, dimension: str) -> None:
    """Refuse names that cannot be those of a label file.

    Raises:
        UserError: one of them.
    """
    for what, name in (("dimension", dimension), ("rater", rater)):
        if not _NAME.fullmatch(name):
            raise UserError(
                f"{one_line(name)[:60]!r} cannot be the name of a {what}: "
                "give letters (a to z), digits, _ and -, at most 60"
            )


def _check_range(what: str, values: Array) -> None:
    if not np.isfinite(values).all() or np.abs(values).max(initial=0) > LARGEST:
        raise UserError(f"a {what} is not finite, or beyond ±{LARGEST:g}")


def _array(values: ArrayLike) -> Array:
    return np.asarray(values, np.float64).copy()
