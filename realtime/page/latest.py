"""The latest state of the run. Used by the server's thread only."""

import time
from collections import Counter
from typing import Any

from ..engine.estimate import Estimate, Latency, stages
from .history import History


class Latest:
    """The newest of each kind of message.

    Attributes:
        description, status: of the run, see `Observed`; None before the first.
        estimate: None before the first.
        text: its JSON.
        ticks: number of estimates.
        history: of estimates.
        latency_sum, latency_count: seconds and ticks, by stage, since the start.
    """

    def __init__(self) -> None:
        self.description: dict[str, Any] | None = None
        self.status: dict[str, Any] | None = None
        self.estimate: Estimate | None = None
        self.text = ""
        self.ticks = 0
        self.history = History()
        self.latency_sum: Counter[str] = Counter()
        self.latency_count: Counter[str] = Counter()
        self._updated = 0.0

    def add(self, estimate: Estimate, text: str) -> None:
        self.estimate, self.text = estimate, text
        self.ticks += 1
        self.history.add(estimate)
        self._updated = time.monotonic()
        if isinstance(estimate.latency_ms, Latency):
            for stage, ms in stages(estimate.latency_ms):
                self.latency_sum[stage] += ms / 1000  # type: ignore[assignment]  # a sum of seconds
                self.latency_count[stage] += 1

    @property
    def age(self) -> float | None:
        """Seconds since the newest estimate arrived; None before the first."""
        return time.monotonic() - self._updated if self.ticks else None
