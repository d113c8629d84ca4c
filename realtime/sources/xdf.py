"""Recordings of LabRecorder as a source: streams of Lab Streaming Layer in an XDF file."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bundle.metadata import ModalitySpec
from ...contracts.errors import UserError
from ..features.audio import TICK
from ..streams import wall_clock
from ..streams.alignment import Aligner
from ..streams.axis import MAX_GAP, Segment
from ..streams.axis_arrays import FARTHEST, Stream, nanoseconds
from ..streams.samples import SECOND, Observation, Sample
from .aligned import aligned, notes_of, one_axis, recorded
from .offer import Offer
from .source import Source, Wanted
from .stream_kind import Kind, accepted, kind_of, vector
from .xdf_chunks import XdfStream
from .xdf_file import load_streams, read_contents
from .xdf_sound import RecordedSound


class XdfSource(Source):
    """Features, or sound, in an XDF file, aligned as if none had been late.

    Time 0 is where the earliest of the chosen streams begins, and ticks end with the last of their samples.

    Args:
        path: of a file, which may be gzipped.
        streams: by the bundle's modality, the name of its stream; `NAME#N`, where several have that name, is
            the one whose number in the file is N. A modality without one comes from the stream of its own
            name, or else, if its feature schema is known, from the only one that fits. Streams without
            samples do not count where there are others.
        max_gap: seconds; longer gaps in all streams are closed. Streams between which there is one share no
            time, and are refused.

    Raises:
        UserError: the file cannot be read; later, no stream, or several, for a modality; streams share no
            time.
    """

    def __init__(
        self, path: Path, streams: Mapping[str, str] | None = None, max_gap: float = MAX_GAP / SECOND
    ) -> None:
        self.name = path.name
        self._path, self._names, self._max_gap = path, dict(streams or {}), max_gap
        self._contents = read_contents(path)
        self._chosen: dict[str, tuple[XdfStream, Kind]] = {}
        self._notes: list[str] = []
        self._segments: tuple[Segment, ...] = ()

    @property
    def problems(self) -> Sequence[str]:
        return self._contents.problems

    @property
    def notes(self) -> Sequence[str]:
        return self._contents.notes + self._notes

    @property
    def taken(self) -> Mapping[str, str]:
        return {name: f"stream {stream.number}: {stream}" for name, (stream, _) in self._chosen.items()}

    @property
    def segments(self) -> Sequence[Segment]:
        return self._segments

    def offers(self, inputs: Sequence[ModalitySpec]) -> Sequence[Offer]:
        for modality in inputs:
            if (choice := self._choice(modality)) is not None:
                self._chosen[modality.name] = choice
        unknown = self._names.keys() - {modality.name for modality in inputs}
        if not self._chosen and not unknown:
            takes = "; ".join(f"{m.name}: {accepted(m.dim, m.schema)}" for m in inputs)
            raise UserError(
                f"{self._path}: no stream fits what the bundle takes ({takes}); it has {self._all}"
            )
        offers = [Offer(name, None) for name in self._chosen]
        return offers + [Offer(name, None, required=True) for name in sorted(unknown)]

    def open(self, wanted: Sequence[Wanted], rate: int) -> None:
        labels = [stream.number for stream in self._contents.streams if stream.shape.strings]
        numbers = [stream.number for stream, _ in self._chosen.values()]
        data = load_streams(self._path, self._contents, [*numbers, *labels])
        stamps = {name: data[stream.number]["time_stamps"] for name, (stream, _) in self._chosen.items()}
        zero = min((first for times in stamps.values() for first in _first(times)), default=0.0)
        self.began = wall_clock.at(self._contents.created, max(zero - self._contents.begin(zero), 0.0))
        times = {w.name: nanoseconds(stamps[w.name], zero - w.offset / SECOND) for w in wanted if w.offer}
        names = {name: f"{name} ({stream.name})" for name, (stream, _) in self._chosen.items()}
        try:
            placed = one_axis(times, wanted, self._max_gap, names=names, zero=round(zero * SECOND))
        except UserError as error:
            raise UserError(f"{self._path}: {error}") from None
        self._segments = tuple(segment for _, segment in placed.segments)
        self._notes += self._without_offsets() + notes_of(placed, names)
        self._aligner = Aligner(0, rate, {w.name: w.max_age for w in wanted})
        self.counts = self._aligner.counts
        self._samples: list[Sample] = []
        for name, (stream, kind) in self._chosen.items():
            times_, series = placed.streams[name], data[stream.number]["time_series"]
            if kind == "sound":
                sound = RecordedSound(name, times_, series, round(stream.shape.rate))
                self._samples += sound.samples
                self._notes += [f"{names[name]}: {line}" for line in sound.notes]
                for reason, n in sound.dropped.items():
                    self.counts[name].drop(reason, n // TICK)
            else:
                self._samples += _features(name, times_, series)
                self.counts[name].drop("outlier", len(times_.kept) - len(times_.own))
        self._last = max((sample.originating_time for sample in self._samples), default=-1)
        self.duration = self._last / SECOND
        self.marks = sorted(
            (time, " ".join(map(str, texts)))
            for number in labels
            for time, texts in zip(
                placed.follow(nanoseconds(data[number]["time_stamps"], zero)),
                data[number]["time_series"],
                strict=True,
            )
            if time is not None
        )

    def __iter__(self) -> Iterator[Observation]:
        arrived = sorted(((s, s.originating_time) for s in self._samples), key=lambda row: row[1])
        return recorded(self, aligned(self._aligner, self._samples, self._last), arrived)

    @property
    def _all(self) -> str:
        return ", ".join(map(str, self._contents.streams)) or "none at all"

    def _choice(self, modality: ModalitySpec) -> tuple[XdfStream, Kind] | None:
        """The stream of a modality, if there is one, and what it carries."""
        streams, asked = self._contents.streams, self._names.get(modality.name)
        name = asked or modality.name
        named = [s for s in streams if s.name == name] or [
            s for s in streams if f"{s.name}#{s.number}" == name
        ]
        if asked is not None and not named:
            raise UserError(f"{self._path}: no stream is called {asked}; it has {self._all}")
        fitting = _fitting(named, modality)
        if asked is not None and not fitting:
            takes = accepted(modality.dim, modality.schema)
            raise UserError(f"{self._path}: {named[0]} does not fit: for {modality.name} give {takes}")
        filled = [(stream, kind) for stream, kind in fitting if stream.samples]
        if asked is None and not filled and modality.schema is not None:
            fitting = fitting + [one for one in _fitting(streams, modality) if one not in fitting]
            filled = [(stream, kind) for stream, kind in fitting if stream.samples]
        if len(filled) > 1:
            same = len({stream.name for stream, _ in filled}) < len(filled)
            several = ", ".join(f"{s.name}{f'#{s.number}' * same} ({s.shape})" for s, _ in filled)
            remedy = f"--stream {modality.name}=NAME{'#N' * same}"
            raise UserError(
                f"{self._path}: several streams fit {modality.name}: {several}; choose with {remedy}"
            )
        self._notes += [
            f"{modality.name}: stream {empty.number}, {empty.name}, has no samples; "
            f"stream {filled[0][0].number}, {filled[0][0].name}, is taken"
            for empty, _ in fitting
            if filled and not empty.samples
        ]
        return next(iter(filled or fitting), None)

    def _without_offsets(self) -> list[str]:
        """Notes about clocks that were not compared with the recorder's, though it matters."""
        filled = {name: stream for name, (stream, _) in self._chosen.items() if stream.samples}
        return [
            f"{name} ({stream.name}): has no clock offsets, so its clock may be off: if it is, add "
            f"--offset {name}=SECONDS"
            for name, stream in filled.items()
            if not stream.offsets and len(filled) > 1
        ]


def _fitting(streams: Sequence[XdfStream], modality: ModalitySpec) -> list[tuple[XdfStream, Kind]]:
    kinds = [(stream, kind_of(stream.shape, modality.dim, modality.schema)) for stream in streams]
    return [(stream, kind) for stream, kind in kinds if kind is not None]


def _first(seconds: NDArray[np.float64]) -> list[float]:
    """The first time that is one, s; empty without any."""
    first: list[float] = seconds[np.abs(seconds) < FARTHEST / SECOND][:1].tolist()
    return first


def _features(modality: str, stream: Stream, series: NDArray[Any]) -> Iterator[Sample]:
    rows = zip(np.flatnonzero(stream.kept).tolist(), stream.placed.tolist(), strict=True)
    return (Sample(modality, at, vector(series[k]), k) for k, at in rows)
