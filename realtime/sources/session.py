"""A recorded session as a source: its observations, or its samples aligned again."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...bundle.metadata import ModalitySpec
from ...contracts.errors import UserError
from ..store.reader import SessionReader
from ..streams.alignment import END, Aligner
from ..streams.axis import MAX_GAP, Segment
from ..streams.samples import SECOND, Observation, Sample
from .aligned import TICKS, aligned, notes_of, one_axis, recorded
from .inlet import BEHIND
from .offer import Offer
from .source import Source, Wanted


class SessionSource(Source):
    """The observations of a recorded session.

    As recorded, the model gets the same inputs as then, so the same bundle gives the same estimates,
    latencies aside, and `counts` is empty.

    Args:
        folder: of `store.folder`.
        reassemble: align the samples again, as if none had been late, instead; at any rate.
        max_gap: seconds; when reassembled, longer gaps without a tick or a sample are closed.

    Raises:
        UserError: not a session; on opening, as recorded, its ticks do not come at the bundle's rate, or
            there are offsets; reassembled, samples share no time with the ticks.
    """

    def __init__(self, folder: Path, reassemble: bool = False, max_gap: float = MAX_GAP / SECOND) -> None:
        self.name = folder.name or str(folder)
        self._folder, self._reassemble, self._max_gap = folder, reassemble, max_gap
        self._reader = SessionReader(folder)
        self.marks, self.began = list(self._reader.marks()), self._reader.began
        self.context = self._reader.description.get("context") or {}
        self.people = int(self._reader.description.get("people") or 1)
        self.apart = not reassemble
        self._notes: list[str] = []
        self._segments: list[Segment] = []
        self._last = -1  # ns; the last tick, if reassembled

    @property
    def problems(self) -> Sequence[str]:
        return self._reader.lost

    @property
    def notes(self) -> Sequence[str]:
        return self._notes

    @property
    def segments(self) -> Sequence[Segment]:
        return self._segments

    def offers(self, inputs: Sequence[ModalitySpec]) -> Sequence[Offer]:
        return [Offer(m, schema.name or None, schema.dim) for m, schema in self._reader.schemas.items()]

    def open(self, wanted: Sequence[Wanted], rate: int) -> None:
        before = self._reader.description.get("rate")
        if not self._reassemble and before != rate:
            raise UserError(f"{self._folder}: recorded at {before} ticks/s, not {rate}: add --reassemble")
        offset = next((w.name for w in wanted if w.offset), None)
        if not self._reassemble and offset is not None:
            raise UserError(f"{self._folder}: --offset {offset} moves samples, so add --reassemble")
        self._wanted = wanted
        self._rows = {w.name: self._samples(w) for w in wanted if w.offer is not None}
        if self._reassemble:
            self._align(rate)

    def __iter__(self) -> Iterator[Observation]:
        observations: Iterator[Observation] = map(self._renamed, self._reader.observations())
        arrived = heapq.merge(*self._rows.values(), key=lambda row: row[1])
        if self._reassemble:
            samples = (sample for rows in self._rows.values() for sample, _ in rows)
            observations = aligned(self._aligner, samples, self._last)
        return recorded(self, observations, arrived)

    def _samples(self, wanted: Wanted) -> Iterable[tuple[Sample, int]]:
        """The recorded samples of a modality by the bundle's name, and when each came."""
        assert wanted.offer is not None
        for sample, arrived in self._reader.samples(wanted.offer.name):
            yield replace(sample, modality=wanted.name), arrived

    def _align(self, rate: int) -> None:
        """Bring samples, ticks and marks to one axis."""
        rows = {name: list(rows) for name, rows in self._rows.items()}
        offsets = {w.name: max(-END, min(w.offset, END)) for w in self._wanted}
        times = {
            name: np.array([sample.originating_time for sample, _ in rows], np.int64) + offsets[name]
            for name, rows in rows.items()
        }
        times[TICKS] = np.array([observation.time for observation in self._reader.observations()], np.int64)
        names = {name: name for name in rows} | {TICKS: "the session"}
        try:
            placed = one_axis(times, self._wanted, self._max_gap, names=names, back=BEHIND, origin=0)
        except UserError as error:
            raise UserError(f"{self._folder}: {error}") from None
        self._segments = [segment for _, segment in placed.segments]
        self._notes = notes_of(placed, names)
        ticks = placed.streams[TICKS].placed.tolist()
        first, self._last = (ticks[0], ticks[-1]) if ticks else (0, -1)
        self._aligner = Aligner(first, rate, {w.name: w.max_age for w in self._wanted})
        self.counts = self._aligner.counts
        for name, given in rows.items():
            stream = placed.streams[name]
            self.counts[name].drop("outlier", stream.kept.size - stream.own.size)
            kept = [row for row, kept in zip(given, stream.kept.tolist(), strict=True) if kept]
            came = placed.follow(np.array([arrived for _, arrived in kept], np.int64))
            self._rows[name] = [
                (replace(sample, originating_time=at), at if then is None else then)
                for (sample, _), at, then in zip(kept, stream.placed.tolist(), came, strict=True)
            ]
        marks = placed.follow(np.array([time for time, _ in self.marks], np.int64))
        self.marks = [(at, label) for at, (_, label) in zip(marks, self.marks, strict=True) if at is not None]

    def _renamed(self, old: Observation) -> Observation:
        """The recorded observation by the bundle's names."""
        values = {w.name: None if w.offer is None else old.values[w.offer.name] for w in self._wanted}
        age = {w.name: None if w.offer is None else old.age[w.offer.name] for w in self._wanted}
        return replace(old, values=values, age=age)
