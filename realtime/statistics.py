"""What a run tells of itself: where every sample went, what was present, how long it took."""

from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .estimate import Estimate


@dataclass(slots=True)
class Counts:
    """Where the samples of one modality went; each is counted once: captured = used + dropped + waiting.

    Attributes:
        captured: samples that the source gave.
        used: samples that served at least one tick, those that say "looked, found nothing" among them.
        dropped: samples that served none, by reason: `superseded` (a newer one served the first tick it
            could have served), `duplicate` (another with the same originating time won), `expired` (too
            old for that tick), `after_end` (no tick came after it); a source adds reasons of its own.
        late: samples that came after their first tick had been released. They may still serve the next.
        reordered: samples that came after one with a later originating time.
    """

    captured: int = 0
    used: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    late: int = 0
    reordered: int = 0

    @property
    def waiting(self) -> int:
        """Samples whose tick has not been released yet: 0 after the end of a run."""
        return self.captured - self.used - self.dropped.total()

    def drop(self, reason: str, n: int = 1) -> None:
        """Count `n` samples as captured and dropped: those that a source let go before they got here."""
        self.captured += n
        self.dropped[reason] += n


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
