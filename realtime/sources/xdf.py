"""Recordings of LabRecorder as a source: streams of Lab Streaming Layer in an XDF file."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...bundle.metadata import ModalitySpec
from ...contracts.errors import UserError
from ..features.audio import AudioFeatures
from ..features.resampling import Resampler
from ..features.steady import Steady
from ..streams.alignment import Aligner
from ..streams.samples import SECOND, Observation, Sample, Sound
from .aligned import aligned, recorded
from .offer import Offer
from .source import Source, Wanted
from .stream_kind import Kind, accepted, kind_of, mono, vector
from .xdf_file import StreamHeader, load_streams, read_contents

_PIECE: Final = 10  # a second; sound is taken in such pieces


class XdfSource(Source):
    """Features, or sound, in an XDF file, aligned as if none had been late.

    Time 0 is where the earliest of the chosen streams begins, and ticks end with the last of their samples.

    Args:
        streams: by the bundle's modality, the name of its stream. A modality without one comes from the
            stream of its own name, or else, if its feature schema is known, from the only one that fits.

    Raises:
        UserError: the file cannot be read; later, no stream, or several, for a modality.
    """

    def __init__(self, path: Path, streams: Mapping[str, str] | None = None) -> None:
        self.name = path.name
        self._path, self._names = path, dict(streams or {})
        self._contents = read_contents(path)
        self._chosen: dict[str, tuple[StreamHeader, Kind]] = {}

    @property
    def problems(self) -> Sequence[str]:
        return self._contents.problems

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
        sound = [stream.number for stream, kind in self._chosen.values() if kind == "sound"]
        others = [stream.number for stream, kind in self._chosen.values() if kind == "features"]
        labels = [stream.number for stream in self._contents.streams if stream.shape.strings]
        data = load_streams(self._path, self._contents, sound, [*others, *labels])
        stamps = [data[stream.number]["time_stamps"] for stream, _ in self._chosen.values()]
        first = min((times.min() for times in stamps if len(times)), default=0.0)
        self._samples = [
            sample
            for name, (stream, kind) in self._chosen.items()
            for sample in (_audio if kind == "sound" else _features)(name, data[stream.number], first)
        ]
        self._last = max((sample.originating_time for sample in self._samples), default=-1)
        self.duration = self._last / SECOND
        self.marks = sorted(
            (round((time - first) * SECOND), " ".join(map(str, texts)))
            for number in labels
            if number in data
            for time, texts in zip(data[number]["time_stamps"], data[number]["time_series"], strict=True)
        )
        self._aligner = Aligner(0, rate, {w.name: w.max_age for w in wanted})
        self.counts = self._aligner.counts

    def __iter__(self) -> Iterator[Observation]:
        arrived = sorted(((s, s.originating_time) for s in self._samples), key=lambda row: row[1])
        return recorded(self, aligned(self._aligner, self._samples, self._last), arrived)

    @property
    def _all(self) -> str:
        return ", ".join(map(str, self._contents.streams)) or "none at all"

    def _choice(self, modality: ModalitySpec) -> tuple[StreamHeader, Kind] | None:
        """The stream of a modality, if there is one, and what it carries."""
        streams, asked = self._contents.streams, self._names.get(modality.name)
        named = [stream for stream in streams if stream.name == (asked or modality.name)]
        if asked is not None and not named:
            raise UserError(f"{self._path}: no stream is called {asked}; it has {self._all}")
        fitting = _fitting(named, modality)
        if asked is not None and not fitting:
            takes = accepted(modality.dim, modality.schema)
            raise UserError(f"{self._path}: {named[0]} does not fit: for {modality.name} give {takes}")
        if not fitting and modality.schema is not None:
            fitting = _fitting(streams, modality)
        if len(fitting) > 1:
            several = ", ".join(str(stream) for stream, _ in fitting)
            remedy = f"--stream {modality.name}=NAME" + " a name that only one has" * (asked is not None)
            raise UserError(
                f"{self._path}: several streams fit {modality.name}: {several}; choose with {remedy}"
            )
        return fitting[0] if fitting else None


def _fitting(streams: Sequence[StreamHeader], modality: ModalitySpec) -> list[tuple[StreamHeader, Kind]]:
    kinds = [(stream, kind_of(stream.shape, modality.dim, modality.schema)) for stream in streams]
    return [(stream, kind) for stream, kind in kinds if kind is not None]


def _features(modality: str, stream: Any, first: float) -> Iterator[Sample]:
    times = np.rint((stream["time_stamps"] - first) * SECOND).astype(np.int64)
    for number, (at, row) in enumerate(zip(times.tolist(), stream["time_series"], strict=True)):
        yield Sample(modality, at, vector(row), number)


def _audio(modality: str, stream: Any, first: float) -> Iterator[Sample]:
    features = AudioFeatures(modality)
    for sound in _sounds(stream, first):
        yield from features.push(sound)


def _sounds(stream: Any, first: float) -> Iterator[Sound]:
    """Sound by its count of samples, stretched to their time stamps."""
    rate = round(float(stream["info"]["nominal_srate"][0]))
    times: NDArray[np.float64] = (stream["time_stamps"] - first) * SECOND
    samples = mono(stream["time_series"])
    steady = Steady()
    for begin, last in stream["info"]["segments"]:
        resampler = Resampler(rate)
        counted = np.arange(last + 1 - begin) * SECOND / rate
        edges = [*range(begin, last + 1, rate // _PIECE), last + 1]
        given = itertools.chain.from_iterable(
            resampler.push(None, samples[a:b]) for a, b in itertools.pairwise(edges)
        )
        for sound in itertools.chain(given, resampler.flush()):
            at = np.interp(sound.originating_time, counted, times[begin : last + 1])
            yield from steady.push(Sound(round(float(at)), sound.samples))
