"""The tracks of a recording, and which of them are read."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final, Literal

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from ...contracts.errors import UserError
from ..streams.samples import SECOND
from .container import duration_of, to_ns

Kind = Literal["video", "audio"]

_LOOK: Final = 500  # packets from the beginning that show which tracks have samples, and when


@dataclass(frozen=True, slots=True)
class Track:
    """A video or audio track that can be decoded; cover art is none.

    Attributes:
        number: among those of its kind, from 1.
        index: FFmpeg's, among all streams.
        codec: its name, size or rate, for display.
        title: what the file calls it, with its language; empty if it does not.
        default: whether it is marked as the default of its kind.
        beginning: ns on the file's own axis; the median and the last of its times near the beginning of the
            file, None where it has no packet there.
        start, duration: seconds by the header, on the file's own axis; None if unknown.
    """

    kind: Kind
    number: int
    index: int
    codec: str
    title: str
    default: bool
    beginning: tuple[int, int] | None
    start: float | None
    duration: float | None

    def __str__(self) -> str:
        marks = [f"“{self.title}”"] * bool(self.title) + ["default"] * self.default
        marks += ["empty"] * (self.beginning is None)
        return f"{self.kind} {self.number}: {self.codec}" + (f" ({', '.join(marks)})" if marks else "")


def tracks_of(container: InputContainer) -> list[Track]:
    """The tracks of a file that was just opened: it is read from its beginning."""
    streams = [stream for stream in container.streams if _decodable(stream)]
    times = _first_times(container)
    tracks = []
    counted: dict[str, int] = defaultdict(int)
    for stream in streams:
        assert isinstance(stream, VideoStream | AudioStream)
        kind: Kind = "video" if isinstance(stream, VideoStream) else "audio"
        counted[kind] += 1
        titles = (stream.metadata.get("title"), stream.metadata.get("language"))
        first = times.get(stream.index)
        start, duration = stream.start_time, duration_of(stream)
        tracks.append(
            Track(
                kind,
                counted[kind],
                stream.index,
                _codec(stream),
                ", ".join(title for title in titles if title and title != "und"),
                Disposition.default in stream.disposition,
                None if first is None else (round(median(first)), max(first)),
                None if start is None else to_ns(start, stream.time_base) / SECOND,
                None if duration is None else duration / SECOND,
            )
        )
    return tracks


def choose(path: Path, tracks: Sequence[Track], kind: Kind, number: int | None) -> Track | None:
    """The track of a kind that is read: of the number asked for, or else one with samples before an empty
    one, then one marked as default, then the first. None if there is none.

    Raises:
        UserError: there is none of that number.
    """
    there = [track for track in tracks if track.kind == kind]
    if number is not None:
        for track in there:
            if track.number == number:
                return track
        found = "; ".join(map(str, there)) or "none"
        raise UserError(f"{path}: there is no {kind} track {number}; there is {found}")
    return min(
        there, key=lambda track: (track.beginning is None, not track.default, track.number), default=None
    )


def unrecognised(container: InputContainer) -> list[str]:
    """The kinds of tracks of which the codec, or even size or rate, is not known."""
    return [
        stream.type
        for stream in container.streams
        if isinstance(stream, VideoStream | AudioStream) and not _recognised(stream)
    ]


def _decodable(stream: object) -> bool:
    if not isinstance(stream, VideoStream | AudioStream) or not _recognised(stream):
        return False
    return isinstance(stream, AudioStream) or Disposition.attached_pic not in stream.disposition


def _recognised(stream: VideoStream | AudioStream) -> bool:
    if stream.codec_context is None:  # FFmpeg has no such decoder
        return False
    return bool(stream.width if isinstance(stream, VideoStream) else stream.sample_rate)


def _first_times(container: InputContainer) -> dict[int, list[int]]:
    """Times, ns, of the packets at the beginning, by the index of their stream."""
    times: dict[int, list[int]] = defaultdict(list)
    try:
        for count, packet in enumerate(container.demux()):
            if count == _LOOK:
                break
            at = packet.dts if packet.pts is None else packet.pts
            if packet.size:
                times[packet.stream.index].append(0 if at is None else to_ns(at, packet.time_base))
    except (av.error.FFmpegError, LookupError):  # see `Packets`; what can be read is read later
        pass
    return times


def _codec(stream: VideoStream | AudioStream) -> str:
    name = stream.codec_context.name
    if isinstance(stream, VideoStream):
        rate = stream.average_rate or stream.guessed_rate
        return f"{name}, {stream.width}×{stream.height}" + (f" at {float(rate):.3g} frames/s" if rate else "")
    channels = stream.channels
    return f"{name}, {stream.sample_rate} Hz, {channels} channel{'s' * (channels != 1)}"
