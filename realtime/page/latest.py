"""What the run has told so far. Used by the server's thread only."""

import time
from collections import Counter
from typing import Any

from ..engine.estimate import Estimate, Latency, stages
from .history import History


class Latest:
    """The newest of everything.

    Attributes:
        hello, status: as given, None before.
        estimate: None before the first.
        text: its JSON.
        ticks: how many there were.
        history: of them.
        latency_sum, latency_count: s and ticks, by stage, since the beginning.
    """

    def __init__(self) -> None:
        self.hello: dict[str, Any] | None = None
        self.status: dict[str, Any] | None = None
        self.estimate: Estimate | None = None
        self.text = b""
        self.ticks = 0
        self.history = History()
        self.latency_sum: Counter[str] = Counter()
        self.latency_count: Counter[str] = Counter()
        self._came = 0.0

    def add(self, estimate: Estimate, text: bytes) -> None:
        self.estimate, self.text = estimate, text
        self.ticks += 1
        self.history.add(estimate)
        self._came = time.monotonic()
        if isinstance(estimate.latency_ms, Latency):
            for stage, ms in stages(estimate.latency_ms):
                self.latency_sum[stage] += ms / 1000  # type: ignore[assignment]  # a sum of seconds
                self.latency_count[stage] += 1

    @property
    def age(self) -> float | None:
        """Seconds since the newest estimate came; None before the first."""
        return time.monotonic() - self._came if self.ticks else None
