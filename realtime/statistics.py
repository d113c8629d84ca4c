"""What a run tells of itself: what was present, and how long it took."""

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

import numpy as np

from .estimate import Estimate, Latency


class Statistics:
    """Adds up a run, estimate by estimate; 12 bytes a tick."""

    def __init__(self) -> None:
        self.ticks = 0
        self._present: Counter[str] = Counter()
        self._latency: defaultdict[str, array[float]] = defaultdict(lambda: array("f"))

    def add(self, estimate: Estimate) -> None:
        self.ticks += 1
        for modality, present in estimate.present.items():
            self._present[modality] += present
        if isinstance(estimate.latency_ms, Latency):
            for stage, ms in stages(estimate.latency_ms):
                self._latency[stage].append(ms)

    @property
    def presence(self) -> Mapping[str, float]:
        """Share of ticks, 0 to 1, at which each modality was present."""
        return {modality: n / self.ticks for modality, n in self._present.items()}

    def latency(self, last: int | None = None) -> Mapping[str, tuple[float, float, float]]:
        """50th, 95th and 99th percentile, ms, by stage, over the ticks that had it, or the last so many."""
        percentiles = {}
        for stage, latencies in self._latency.items():
            latest = np.frombuffer(latencies, dtype=np.float32)[-(last or 0) :].copy()
            p50, p95, p99 = np.percentile(latest, (50, 95, 99))
            percentiles[stage] = float(p50), float(p95), float(p99)
        return percentiles


def stages(latency: Latency) -> Iterator[tuple[str, float]]:
    """What took how long, ms, by name."""
    for stage in ("face", "step", "total", "tick"):
        if (ms := getattr(latency, stage)) is not None:
            yield stage, ms
    for modality, ms in latency.waits.items():
        yield f"wait for {modality}", ms
