"""Samples in, observations out: the value of each modality at each tick.

Pure: no clock, no threads. At a tick at time T, the value of a modality is the sample with the largest
originating time ≤ T that has been pushed; it is present if it has values and T − originating time ≤ max_age.
So nothing later than a tick changes it, and the order of arrival changes nothing as long as samples come
before their tick is released.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .counts import Counts
from .samples import SECOND, Observation, Sample, Timing

END: Final = 1 << 62  # ns; the watermark of a stream that is over


@dataclass(slots=True)
class _Track:
    """One modality: its current sample, and those that wait for the first tick they can serve."""

    max_age: int
    watermark: int = -END
    newest: int = -END
    current: Sample | None = None
    waiting: defaultdict[int, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    counts: Counts = field(default_factory=Counts)

    def settle(self, tick: int, at: int) -> Sample | None:
        """The sample of this tick, at time `at`; counts what becomes of those that compete for it."""
        arrived = self.waiting.pop(tick, None)
        if arrived is None:
            return self.current
        self.counts.delivered += len(arrived)
        self.counts.empty += sum(sample.values is None for sample in arrived)
        # The newest wins, and of those with the same time the first captured. The current one comes first: it
        # wins over an exact copy of itself.
        best, *beaten = sorted(
            [self.current, *arrived] if self.current else arrived,
            key=lambda sample: (-sample.originating_time, sample.sequence),
        )
        better = best
        for sample in beaten:
            if sample is not self.current:
                same = sample.originating_time == better.originating_time
                self.counts.dropped["duplicate" if same else "superseded"] += 1
            better = sample
        if best is not self.current:
            if at - best.originating_time <= self.max_age:
                self.counts.used += 1
            else:
                self.counts.dropped["expired"] += 1
            self.current = best
        return best


class Aligner:
    """Aligns the samples of several modalities on the ticks of one clock.

    Args:
        t0: ns; the time of tick 0. Tick k is at `t0 + k * 10**9 // rate`.
        rate: ticks a second.
        max_age: by modality, ns after its originating time during which a sample counts as present.

    A sample costs constant time, and only those that wait for a tick are kept: while watermarks advance,
    memory does not grow.
    """

    def __init__(self, t0: int, rate: int, max_age: Mapping[str, int]) -> None:
        self._t0, self._rate = t0, rate
        self._tracks = {modality: _Track(age) for modality, age in max_age.items()}
        self.counts = {modality: track.counts for modality, track in self._tracks.items()}
        self._tick = 0  # the next to be released
        self._newest: dict[int, int] = {}  # of ticks not released yet; likewise
        self._extract: defaultdict[int, dict[str, float]] = defaultdict(dict)

    def time(self, tick: int) -> int:
        """The time of a tick, ns."""
        return self._t0 + tick * SECOND // self._rate

    def first_tick(self, originating_time: int) -> int:
        """The first tick that a sample of that originating time (ns) can serve."""
        return max(0, -((self._t0 - originating_time) * self._rate // SECOND))

    def push(self, sample: Sample, came: int | None = None, extract_ms: float | None = None) -> None:
        """Add a sample, in any order; it waits for the first tick that it can serve.

        Args:
            came, extract_ms: for that tick's timing, where the greatest `came` is `newest`.
        """
        track = self._tracks[sample.modality]
        tick = self.first_tick(sample.originating_time)
        track.counts.captured += 1
        track.counts.late += tick < self._tick
        track.counts.reordered += sample.originating_time < track.newest
        track.newest = max(track.newest, sample.originating_time)
        tick = max(tick, self._tick)
        track.waiting[tick].append(sample)
        if came is not None:
            self._newest[tick] = max(came, self._newest.get(tick, came))
        if extract_ms is not None:
            self._extract[tick][sample.modality] = extract_ms

    def advance(self, modality: str, watermark: int) -> None:
        """Raise the watermark (ns) of a modality: no sample with an originating time up to it will come.

        `END` where its stream is over. A watermark never decreases.
        """
        track = self._tracks[modality]
        track.watermark = max(track.watermark, watermark)

    @property
    def watermark(self) -> int:
        """ns; the lowest of all modalities."""
        return min(track.watermark for track in self._tracks.values())

    def release(self) -> Iterator[Observation]:
        """Every tick that all watermarks have passed; once all streams are over, up to the last sample."""
        watermark = self.watermark
        if watermark >= END:
            watermark = max(track.newest for track in self._tracks.values())
        return self.release_until(watermark)

    def release_until(self, time: int) -> Iterator[Observation]:
        """Every tick up to `time` (ns), whatever the watermarks: for deadlines."""
        while (at := self.time(self._tick)) <= time:
            values: dict[str, NDArray[np.float32] | None] = {}
            age: dict[str, int | None] = {}
            for modality, track in self._tracks.items():
                sample = track.settle(self._tick, at)
                if sample is None or sample.values is None or at - sample.originating_time > track.max_age:
                    values[modality] = age[modality] = None
                else:
                    values[modality] = sample.values
                    age[modality] = at - sample.originating_time
            newest, extract = self._newest.pop(self._tick, None), self._extract.pop(self._tick, {})
            observation = Observation(self._tick, at, values, age, Timing(newest=newest, extract=extract))
            self._tick += 1
            yield observation

    def finish(self) -> None:
        """No more ticks will be released: count what still waits as dropped."""
        for track in self._tracks.values():
            for samples in track.waiting.values():
                times = len({sample.originating_time for sample in samples})
                track.counts.dropped["after_end"] += times
                track.counts.dropped["duplicate"] += len(samples) - times
            track.waiting.clear()
