"""Recordings of LabRecorder: streams of Lab Streaming Layer in an XDF file.

Source: the XDF 1.0 specification, github.com/sccn/xdf/wiki/Specifications.
"""

import io
import itertools
import logging
import mmap
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...contracts.errors import UserError
from ..engine.engine import Engine
from ..features.audio import AudioFeatures
from ..features.resampling import Resampler
from ..features.steady import Steady
from ..streams.samples import SECOND, Sample, Sound
from .observation_replay import ObservationReplay, Reassembled
from .stream_kind import SCHEMA, TAKEN, Kind, kind_of, mono, shape, vector

MAGIC: Final = b"XDF:"
BOUNDARY: Final = bytes.fromhex("43a546dccbf5410fb30ed5467383cbe4")  # where reading can begin anew
GAP: Final = 0.25  # s between two samples of sound, of which some are missing

_STREAM_HEADER, _STREAM_FOOTER = 2, 6
_PIECE: Final = 10  # a second; sound is taken in such pieces


def is_xdf(path: Path) -> bool:
    """Whether the file begins as XDF does."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class _Stream:
    """What the header of a stream says."""

    number: int
    name: str
    channels: int
    rate: float
    of_strings: bool

    def kind(self, modality: str) -> Kind | None:
        return kind_of(modality, self.channels, self.rate, self.of_strings)

    def __str__(self) -> str:
        return f"{self.name} ({shape(self.channels, self.rate, self.of_strings)})"


class XdfReplay(ObservationReplay):
    """The estimates of features, or of sound, in an XDF file, aligned as if none had been late.

    Time 0 is where the earliest of the chosen streams begins, and ticks end with the last of their samples.
    Clocks are synchronised as pyxdf does. Stamps of sound are made regular (dejittered); those of features
    are taken as they are, as in a live session: a tracker that skips pictures is regular in name only.

    Args:
        names: by modality, the name of its stream. Without one the stream is taken that fits.

    Attributes:
        lost: what is lost, in a line each; empty where nothing is.

    Raises:
        UserError: at construction; not a file that can be read, or no stream, or several, for a modality.
    """

    def __init__(self, path: Path, engine: Engine, names: Mapping[str, str] | None = None) -> None:
        spans, streams, self.lost = _contents(path)
        modalities = [m for m in engine.inputs if m in SCHEMA]
        chosen = {m: s for m in modalities if (s := _choice(path, streams, m, (names or {}).get(m)))}
        if not chosen:
            takes = "; ".join(f"{m}: {TAKEN[m]}" for m in modalities)
            there = ", ".join(map(str, streams)) or "none at all"
            raise UserError(f"{path}: has no stream that the bundle takes ({takes}); it has {there}")
        kinds = {m: stream.kind(m) for m, stream in chosen.items()}
        sound = [chosen[m].number for m, kind in kinds.items() if kind == "sound"]
        others = [chosen[m].number for m, kind in kinds.items() if kind == "features"]
        others += [stream.number for stream in streams if stream.of_strings]
        data, complaints = _load(path, spans, sound, others)
        if complaints and not self.lost:
            self.lost.append("damaged; what cannot be read is left out")
        first = min((s["time_stamps"].min() for s in _of(data, chosen) if len(s["time_stamps"])), default=0.0)
        samples = {
            m: list((_heard if kinds[m] == "sound" else _features)(m, data[stream.number], first))
            for m, stream in chosen.items()
        }
        last = max((s.originating_time for given in samples.values() for s in given), default=-1)
        marks = sorted(
            (round((time - first) * SECOND), " ".join(map(str, labels)))
            for stream in streams
            if stream.of_strings and stream.number in data
            for time, labels in zip(
                data[stream.number]["time_stamps"], data[stream.number]["time_series"], strict=True
            )
        )
        again = Reassembled(samples, {m: SCHEMA[m].name for m in modalities}, engine.rate, 0, last)
        super().__init__(engine, again, again.counts, {}, marks)


def _of(data: Mapping[int, Any], chosen: Mapping[str, _Stream]) -> Iterator[Any]:
    return (data[stream.number] for stream in chosen.values())


def _choice(path: Path, streams: list[_Stream], modality: str, name: str | None) -> _Stream | None:
    named = [stream for stream in streams if name is None or stream.name == name]
    if name is not None and not named:
        there = ", ".join(map(str, streams)) or "none at all"
        raise UserError(f"{path}: has no stream {name}; it has {there}")
    fitting = [stream for stream in named if stream.kind(modality) is not None]
    if name is not None and not fitting:
        raise UserError(f"{path}: {named[0]}: as {modality} give {TAKEN[modality]}")
    if len(fitting) > 1:
        raise UserError(
            f"{path}: several streams can be the {modality}: {', '.join(map(str, fitting))}; "
            f"give --{modality} NAME" + " of one that has it alone" * (name is not None)
        )
    return fitting[0] if fitting else None


def _contents(path: Path) -> tuple[list[tuple[int, int]], list[_Stream], list[str]]:
    """Where the whole chunks lie, the streams' headers, and what is lost."""
    streams, ended, spans = [], set(), [(0, len(MAGIC))]
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise UserError(f"{path}: not an XDF file")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                size = len(data)
                for begin, content, end in _chunks(data):
                    spans.append((begin, end))
                    tag, number = struct.unpack_from("<HI", data, content) if end - content > 6 else (0, 0)
                    if tag == _STREAM_HEADER:
                        streams.append(_stream(number, data[content + 6 : end]))
                    elif tag == _STREAM_FOOTER:
                        ended.add(number)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ElementTree.ParseError, ValueError):
        raise UserError(f"{path}: damaged: the header of a stream cannot be read") from None
    lost = []
    if unread := size - sum(end - begin for begin, end in spans):
        after = next((a for (_, a), (b, _) in itertools.pairwise(spans) if a < b), spans[-1][1])
        lost.append(f"{unread} bytes, from {after} on, cannot be read; what they held is lost")
    elif open_ := [stream.name for stream in streams if stream.number not in ended]:
        lost.append(f"cut off: the recording of {', '.join(open_)} was not ended")
    return spans if unread else [], streams, lost


def _chunks(data: mmap.mmap) -> Iterator[tuple[int, int, int]]:
    """Begin, begin of the content and end of each whole chunk. What is none ends at the next boundary."""
    at = len(MAGIC)
    while at < len(data):
        width = data[at]
        content = at + 1 + width
        end = content + int.from_bytes(data[at + 1 : content], "little")
        if width in (1, 4, 8) and content + 2 <= end <= len(data):
            yield at, content, end
            at = end
        elif (found := data.find(BOUNDARY, at)) >= 0:
            at = found + len(BOUNDARY)
        else:
            return


def _stream(number: int, header: bytes) -> _Stream:
    info = ElementTree.fromstring(header.decode("utf-8", "replace"))
    channels, rate = int(info.findtext("channel_count", "")), float(info.findtext("nominal_srate", ""))
    strings = info.findtext("channel_format") == "string"
    return _Stream(number, info.findtext("name") or "", channels, rate, strings)


def _load(
    path: Path, spans: list[tuple[int, int]], sound: list[int], others: list[int]
) -> tuple[dict[int, Any], list[str]]:
    """Streams by number, and what pyxdf complains of."""
    try:
        import pyxdf
    except ImportError:
        raise UserError(f"{path}: needs pyxdf: pip install 'enrapt[lsl]'") from None
    complaints = _Complaints()
    logger = logging.getLogger("pyxdf")
    logger.addHandler(complaints)
    data = {}
    try:
        for numbers, dejitter in (sound, True), (others, False):
            if numbers:
                streams, _ = pyxdf.load_xdf(
                    _readable(path, spans),
                    select_streams=numbers,
                    synchronize_clocks=True,
                    dejitter_timestamps=dejitter,
                    jitter_break_threshold_seconds=GAP,
                    jitter_break_threshold_samples=1,
                )
                data.update({stream["info"]["stream_id"]: stream for stream in streams})
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # whatever it meets in bytes that are not as they should be
        raise UserError(f"{path}: damaged: pyxdf cannot read it ({error})") from None
    finally:
        logger.removeHandler(complaints)
    return data, complaints.lines


class _Complaints(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _readable(path: Path, spans: list[tuple[int, int]]) -> Any:
    """What pyxdf is to read: of a chunk that is cut it would make up numbers, or fail."""
    if not spans:
        return path
    data = path.read_bytes()
    return io.BytesIO(b"".join(data[begin:end] for begin, end in spans))


def _features(modality: str, stream: Any, first: float) -> Iterator[Sample]:
    times = np.rint((stream["time_stamps"] - first) * SECOND).astype(np.int64)
    for number, (at, row) in enumerate(zip(times.tolist(), stream["time_series"], strict=True)):
        yield Sample(modality, at, vector(row), number)


def _heard(modality: str, stream: Any, first: float) -> Iterator[Sample]:
    features = AudioFeatures()
    for sound in _sounds(stream, first):
        yield from features.push(sound)


def _sounds(stream: Any, first: float) -> Iterator[Sound]:
    """Sound by its count of samples, stretched to the times that they bear."""
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
