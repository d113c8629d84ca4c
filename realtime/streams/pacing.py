"""When the ticks of a live session are told: pure, no clock of its own, no threads.

A tick is due when every running source has brought what it has up to it (its watermark has passed), or when
`max_wait` after its time is over. A source that is lost is waited for by nobody. So ticks come at their rate
whether or not anything arrives, each once and in order.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from .alignment import END, Aligner
from .samples import Observation, Sample

MAX_WAIT: Final = 50_000_000  # ns; a picture of a 30 Hz camera and its face, or 40 ms of sound


class Due(NamedTuple):
    """A tick to be told.

    Attributes:
        waits: by modality, ns between the tick's time and the moment at which its source had brought what it
            has up to it; 0 where it was early; left out where the tick did not wait for it any longer.
        newest: ns; originating time of the newest sample that came for this tick; None where none came.
    """

    observation: Observation
    waits: dict[str, int]
    newest: int | None


class Pacing:
    """Samples in as they arrive, ticks out when they are due.

    Args:
        aligner: of the session's modalities; nothing has been pushed yet.
        running: modalities that have a source; the others are missing throughout.
        max_wait: ns.
    """

    def __init__(self, aligner: Aligner, running: Sequence[str], max_wait: int = MAX_WAIT) -> None:
        self._aligner = aligner
        self._max_wait = max_wait
        self._tick = 0  # the next to be told
        self._lost: set[str] = set()
        self._reached = dict.fromkeys(running, 0)  # the first tick that each source has not reached
        self._waits: defaultdict[int, dict[str, int]] = defaultdict(dict)  # of ticks not told yet
        self._newest: dict[int, int] = {}
        for modality in aligner.counts.keys() - running:
            aligner.advance(modality, END)

    @property
    def deadline(self) -> int:
        """ns; when the next tick is due at the latest, as things are."""
        waited_for = any(reached <= self._tick for m, reached in self._reached.items() if m not in self._lost)
        return self._aligner.time(self._tick) + (self._max_wait if waited_for else 0)

    def take(self, modality: str, samples: Sequence[Sample], reached: int, now: int) -> None:
        """What a source has brought, the newest last, at that time of the session's clock (ns).

        Args:
            reached: ns; up to when nothing else of it is to be expected. What comes all the same is late.
        """
        self._lost.discard(modality)
        for sample in samples:
            self._aligner.push(sample)
            tick = max(self._aligner.first_tick(sample.originating_time), self._tick)
            self._newest[tick] = max(self._newest.get(tick, sample.originating_time), sample.originating_time)
        self._reach(modality, reached, now)

    def lost(self, modality: str) -> None:
        """Nothing comes from that source until it has brought something: nobody waits for it."""
        self._lost.add(modality)

    def _reach(self, modality: str, watermark: int, now: int) -> None:
        self._aligner.advance(modality, watermark)
        tick = max(self._reached[modality], self._tick)
        while (at := self._aligner.time(tick)) <= watermark:
            self._waits[tick][modality] = max(0, now - at)
            tick += 1
        self._reached[modality] = tick

    def due(self, now: int) -> Iterator[Due]:
        """The ticks that are due, in order; none before its time."""
        for modality in self._lost:
            self._reach(modality, now, now)
        passed = min(self._aligner.watermark, now)
        for observation in self._aligner.release_until(max(passed, now - self._max_wait)):
            tick = observation.tick
            self._tick = tick + 1
            yield Due(observation, self._waits.pop(tick, {}), self._newest.pop(tick, None))
