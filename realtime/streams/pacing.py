"""When the ticks of a live run are emitted: pure, no clock of its own, no threads.

A tick is due when the watermark of every running source has passed it, or at its deadline, `max_wait` after
its time. No tick waits for a lost source. So ticks come at their rate whether or not anything arrives,
each once and in order.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from .alignment import END, Aligner
from .samples import Observation, Sample

MAX_WAIT: Final = 50_000_000  # ns; a picture of a 30 Hz camera and its face, or 40 ms of sound
LONGEST_WAIT: Final = 10_000_000_000  # ns; older samples are of another clock


class Pacing:
    """Samples in as they arrive, observations out when they are due.

    Args:
        aligner: of the run's modalities; nothing has been pushed yet.
        running: modalities that have a source; the others are missing throughout.
        max_wait: ns.
    """

    def __init__(self, aligner: Aligner, running: Sequence[str], max_wait: int = MAX_WAIT) -> None:
        self._aligner = aligner
        self._max_wait = max_wait
        self._tick = 0  # the next to be emitted
        self._lost: set[str] = set()
        self._reached = dict.fromkeys(running, 0)  # the first tick that each source has not reached
        self._waits: defaultdict[int, dict[str, float]] = defaultdict(dict)  # of ticks not emitted yet, ms
        for modality in aligner.counts.keys() - running:
            aligner.advance(modality, END)

    @property
    def deadline(self) -> int:
        """ns; the deadline of the next tick, given which sources are running now."""
        waits = any(reached <= self._tick for m, reached in self._reached.items() if m not in self._lost)
        return self._aligner.time(self._tick) + (self._max_wait if waits else 0)

    def push(self, sample: Sample, reached: int, now: int, extract_ms: float | None = None) -> None:
        """Take a sample that arrived at `now` (ns).

        Args:
            reached: ns; its source's watermark. Samples from before it that still come are late.
            extract_ms: how long feature extraction took.
        """
        self._aligner.push(sample, sample.originating_time, extract_ms)
        self.advance(sample.modality, reached, now)

    def advance(self, modality: str, watermark: int, now: int) -> None:
        """Raise a source's watermark (ns): nothing else up to it is to be expected."""
        self._lost.discard(modality)
        self._reach(modality, watermark, now)

    def lose(self, modality: str) -> None:
        """Wait no longer for that source, until it delivers again."""
        self._lost.add(modality)

    def next(self, now: int) -> Observation | None:
        """The next observation, if it is due; its timing lacks `due`, and `newest` is an originating time."""
        for modality in self._lost:
            self._reach(modality, now, now)
        passed = min(self._aligner.watermark, now)
        observation = next(self._aligner.release_until(max(passed, now - self._max_wait)), None)
        if observation is None:
            return None
        self._tick = observation.tick + 1
        waits = self._waits.pop(observation.tick, {})
        return replace(observation, timing=replace(observation.timing, waits=waits))

    def _reach(self, modality: str, watermark: int, now: int) -> None:
        self._aligner.advance(modality, watermark)
        tick = max(self._reached[modality], self._tick)
        while (at := self._aligner.time(tick)) <= watermark:
            self._waits[tick][modality] = max(0, now - at) / 1e6
            tick += 1
        self._reached[modality] = tick
