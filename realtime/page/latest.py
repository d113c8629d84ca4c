"""The newest of each message, and past estimates for clients that connect later."""

import time
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import MutableSequence
from typing import Annotated, Any, Final

import msgspec

from ..engine.estimate import Estimate, Latency, stages

RECENT: Final = 60.0  # s


class Columns(msgspec.Struct):
    """Past estimates by column.

    Attributes:
        t: seconds of the session.
        mean, low, high: of engagement.
        present: 0 or 1, by modality.
    """

    t: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]
    present: dict[str, list[Annotated[int, msgspec.Meta(ge=0, le=1)]]]


class Latest:
    """The state of the run; used by the server's thread only. A past tick takes 32 bytes plus one a modality.

    Attributes:
        description, status: of the run, see `Observed`; None before the first.
        estimate, text: the newest and its JSON; None before the first.
        ticks: number of estimates.
        whole: whether to keep all past estimates instead of the last minute's.
        latency_sum, latency_count: seconds and ticks, by stage, since the start.
    """

    def __init__(self) -> None:
        self.description: dict[str, Any] | None = None
        self.status: dict[str, Any] | None = None
        self.estimate: Estimate | None = None
        self.text = ""
        self.ticks = 0
        self.whole = False
        self.latency_sum: defaultdict[str, float] = defaultdict(float)
        self.latency_count: Counter[str] = Counter()
        self._updated = 0.0
        self._t = array("d")
        self._columns = {name: array("d") for name in ("mean", "low", "high")}
        self._present: dict[str, bytearray] = {}

    def add(self, estimate: Estimate, text: str) -> None:
        self.estimate, self.text = estimate, text
        self.ticks += 1
        self._updated = time.monotonic()
        if isinstance(estimate.latency_ms, Latency):
            for stage, ms in stages(estimate.latency_ms):
                self.latency_sum[stage] += ms / 1000
                self.latency_count[stage] += 1
        self._t.append(estimate.t)
        for name, values in self._columns.items():
            values.append(getattr(estimate.engagement, name))
        for modality, present in estimate.present.items():
            self._present.setdefault(modality, bytearray(len(self._t) - 1)).append(present)
        if (old := self._old()) > len(self._t) // 2:  # half at a time: each tick is moved about once
            columns: list[MutableSequence[Any]] = [self._t, *self._columns.values(), *self._present.values()]
            for column in columns:
                del column[:old]

    @property
    def age(self) -> float | None:
        """Seconds since the newest estimate arrived; None before the first."""
        return time.monotonic() - self._updated if self.ticks else None

    def history(self) -> Columns:
        old = self._old()
        return Columns(
            self._t[old:].tolist(),
            **{name: column[old:].tolist() for name, column in self._columns.items()},
            present={modality: list(data[old:]) for modality, data in self._present.items()},
        )

    def _old(self) -> int:
        """How many of the first estimates are too old."""
        return 0 if self.whole or not self._t else bisect_left(self._t, self._t[-1] - RECENT)
