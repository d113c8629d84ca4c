"""A recorded session as a source: its observations, or its samples aligned again."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ...bundle.metadata import ModalitySpec
from ...contracts.errors import UserError
from ..store.reader import SessionReader
from ..streams.alignment import Aligner
from ..streams.samples import Observation, Sample
from .aligned import aligned, recorded
from .offer import Offer
from .source import Source, Wanted


class SessionSource(Source):
    """The observations of a recorded session.

    As recorded, the model gets the same inputs as then, so the same bundle gives the same estimates,
    latencies aside, and `counts` is empty.

    Args:
        folder: of `store.folder`.
        reassemble: align the samples again, as if none had been late, instead; at any rate.

    Raises:
        UserError: not a session; on opening, its ticks do not come at the bundle's rate.
    """

    def __init__(self, folder: Path, reassemble: bool = False) -> None:
        self.name = folder.name or str(folder)
        self._folder, self._reassemble = folder, reassemble
        self._reader = SessionReader(folder)
        self.marks = list(self._reader.marks())
        self.context = self._reader.description.get("context") or {}

    @property
    def problems(self) -> Sequence[str]:
        return self._reader.lost

    def offers(self, inputs: Sequence[ModalitySpec]) -> Sequence[Offer]:
        return [Offer(m, schema.name or None, schema.dim) for m, schema in self._reader.schemas.items()]

    def open(self, wanted: Sequence[Wanted], rate: int) -> None:
        before = self._reader.description.get("rate")
        if not self._reassemble and before != rate:
            raise UserError(f"{self._folder}: recorded at {before} ticks/s, not {rate}: add --reassemble")
        self._wanted = wanted
        if self._reassemble:
            times = [observation.time for observation in self._reader.observations()]
            first, self._last = (times[0], times[-1]) if times else (0, -1)
            self._aligner = Aligner(first, rate, {w.name: w.max_age for w in wanted})
            self.counts = self._aligner.counts

    def __iter__(self) -> Iterator[Observation]:
        observations: Iterator[Observation] = map(self._renamed, self._reader.observations())
        if self._reassemble:
            observations = aligned(self._aligner, (sample for sample, _ in self._arrived()), self._last)
        return recorded(self, observations, self._arrived())

    def _arrived(self) -> Iterator[tuple[Sample, int]]:
        """The recorded samples by the bundle's names, and when each came, in that order."""
        rows = [self._samples(w.offer.name, w.name) for w in self._wanted if w.offer is not None]
        return heapq.merge(*rows, key=lambda row: row[1])

    def _samples(self, modality: str, name: str) -> Iterator[tuple[Sample, int]]:
        for sample, arrived in self._reader.samples(modality):
            yield replace(sample, modality=name), arrived

    def _renamed(self, old: Observation) -> Observation:
        """The recorded observation by the bundle's names."""
        values = {w.name: None if w.offer is None else old.values[w.offer.name] for w in self._wanted}
        age = {w.name: None if w.offer is None else old.age[w.offer.name] for w in self._wanted}
        return Observation(old.tick, old.time, values, age)
