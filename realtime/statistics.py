"""Statistics of a run: presence of modalities, and latencies."""

from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from random import Random
from typing import Any, Final

import numpy as np

from .engine.estimate import Estimate, Latency, stages

KEPT: Final = 50_000  # latencies of a stage: half an hour of them
RECENT: Final = 1500  # latencies; a minute


class _Stage:
    """All latencies of a stage up to `KEPT`, then a random sample of that size; allocated at once.

    Source: J. S. Vitter, "Random sampling with a reservoir", ACM TOMS 11 (1985), algorithm R.
    """

    def __init__(self) -> None:
        self.recent: deque[float] = deque(maxlen=RECENT)
        self._kept = array("f", [0.0]) * KEPT
        self._seen = 0
        self._random = Random(0)

    def add(self, ms: float) -> None:
        self.recent.append(ms)
        place = self._seen if self._seen < KEPT else self._random.randrange(self._seen + 1)
        self._seen += 1
        if place < KEPT:
            self._kept[place] = ms

    @property
    def kept(self) -> "array[float]":
        return self._kept[: self._seen]


class Statistics:
    """Presence and latencies of a run, in memory that does not grow with it."""

    def __init__(self) -> None:
        self.ticks = self._estimates = 0
        self._tick: int | None = None  # of the last estimate
        self._looked = self._several = 0  # ticks with a picture, and with more than one face in it
        self._person: int | None = None  # the one that was followed last
        self._choices = self._ambiguous = 0
        self._people: Counter[int] = Counter()
        self._problems: Counter[str] = Counter()
        self._present: Counter[str] = Counter()
        self._latency: defaultdict[str, _Stage] = defaultdict(_Stage)

    def add(self, estimate: Estimate) -> None:
        if estimate.tick != self._tick:
            self._tick = estimate.tick
            self.ticks += 1
            if estimate.faces is not None:
                self._looked += 1
                self._several += estimate.faces > 1
                if estimate.person is not None and estimate.person != self._person:
                    self._person = estimate.person
                    self._choices += 1
                    self._ambiguous += estimate.faces > 1
        if estimate.person is not None and estimate.box is not None:
            self._people[estimate.person] += 1
        if estimate.face_problem is not None:
            self._problems[estimate.face_problem] += 1
        self._estimates += 1
        for modality, present in estimate.present.items():
            self._present[modality] += present
        if isinstance(estimate.latency_ms, Latency):
            for stage, ms in stages(estimate.latency_ms):
                self._latency[stage].add(ms)

    @property
    def presence(self) -> Mapping[str, float]:
        """Share of estimates, 0 to 1, at which each modality was present."""
        return {modality: n / self._estimates for modality, n in self._present.items()}

    @property
    def people(self) -> dict[str, Any] | None:
        """Who was followed, as JSON values; None without pictures.

        `ticks`: in view, by the person's id. `several`: share of ticks with more than one face in view.
        `choices`: how often a person was chosen, `ambiguous`: how often of them another face was in view.
        `problems`: ticks at which the face was not good enough.
        """
        if not self._looked:
            return None
        ticks = {str(person): n for person, n in sorted(self._people.items())}
        return {
            "ticks": ticks,
            "several": round(self._several / self._looked, 4),
            "choices": self._choices,
            "ambiguous": self._ambiguous,
            "problems": dict(self._problems),
        }

    def latency(self, recent: bool = False) -> Mapping[str, tuple[float, float, float]]:
        """50th, 95th, 99th percentile, ms, by stage, of ticks that had it; `recent`: of the last minute."""
        percentiles = {}
        for stage, latencies in self._latency.items():
            kept = latencies.recent if recent else latencies.kept
            p50, p95, p99 = np.percentile(np.array(kept), (50, 95, 99))
            percentiles[stage] = float(p50), float(p95), float(p99)
        return percentiles

    def percentiles(self, recent: bool = False) -> dict[str, dict[str, float]]:
        """`latency` as JSON values."""
        return {
            stage: dict(zip(("p50", "p95", "p99"), (round(ms, 3) for ms in latency), strict=True))
            for stage, latency in self.latency(recent).items()
        }
