"""What a run tells of itself: what was present, and how long it took."""

from array import array
from collections import Counter
from collections.abc import Mapping

import numpy as np

from .estimate import Estimate

STAGES = ("face", "step", "total")  # the fields of `Latency`


class Statistics:
    """Adds up a run, estimate by estimate; 12 bytes a tick."""

    def __init__(self) -> None:
        self.ticks = 0
        self._present: Counter[str] = Counter()
        self._latency = {stage: array("f") for stage in STAGES}

    def add(self, estimate: Estimate) -> None:
        self.ticks += 1
        for modality, present in estimate.present.items():
            self._present[modality] += present
        for stage, latencies in self._latency.items():
            if estimate.latency_ms and (latency := getattr(estimate.latency_ms, stage)) is not None:
                latencies.append(latency)

    @property
    def presence(self) -> Mapping[str, float]:
        """Share of ticks, 0 to 1, at which each modality was present."""
        return {modality: n / self.ticks for modality, n in self._present.items()}

    def latency(self, stage: str) -> tuple[float, float, float] | None:
        """50th, 95th and 99th percentile, ms, over the ticks that had this stage; None without one."""
        latencies = self._latency[stage]
        if not latencies:
            return None
        p50, p95, p99 = np.percentile(np.frombuffer(latencies, dtype=np.float32), (50, 95, 99))
        return float(p50), float(p95), float(p99)
