"""One pass through a recording: pictures and sound, as they are decoded."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..features.resampling import RATE
from ..store.muxer import RECORDER, jpeg_size
from ..streams.axis import MAX_GAP
from ..streams.samples import SECOND, Frame, Sound
from .container import beyond_limits, end_of, to_ns
from .decoded import image_of, pictures_beyond
from .findings import Findings
from .limits import LIMITS, Limits
from .packets import PREROLL, Packets, shift_of
from .picture_times import PictureTimes
from .source import SourceFailure
from .track_sound import MIN_RATE, TrackSound
from .tracks import unrecognised

# Formats whose header declares the file's length. Of others, FFmpeg gives what it sees, or an estimate.
_DECLARING: Final = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "flac"}
_WELL_BEFORE: Final = SECOND  # ns; headers are not exact
_STRAYS: Final = 5  # stamps of sound that were far from the fitted clock; fewer are not worth a note
_USUAL: Final = Fraction(25)  # pictures a second, where a file does not say


class BrokenRecording(SourceFailure):
    """The file is damaged; everything before the damage has been yielded.

    Attributes:
        position: seconds on the recording's axis, up to where there were pictures or sound.
    """

    def __init__(self, position: float) -> None:
        super().__init__(f"the recording breaks off at {position:.2f} s")
        self.position = position


@dataclass(frozen=True, slots=True)
class Part:
    """What a pass reads.

    Attributes:
        streams: FFmpeg's indices, each with the ns to add to its times.
        origin: ns on the file's own axis; the recording's time 0.
        start, end: ns; `end` is `alignment.END` for that of the file.
        max_gap: ns; see `streams.axis`.
        limits: see `Recording`.
        strict: end at the first damage.
        channel: of the sound, from 1; None for a mix.
    """

    streams: dict[int, int]
    origin: int
    start: int
    end: int
    max_gap: int = MAX_GAP
    limits: Limits = LIMITS
    strict: bool = False
    channel: int | None = None


class Pass:
    """One pass through a file; iterate once. Times are ns on the recording's axis."""

    def __init__(self, path: Path, part: Part, found: Findings) -> None:
        self._part, self._found = part, found
        self._packets = Packets(path, part.streams, part.origin, part.start, part.max_gap, part.limits)
        self._streams = self._packets.streams
        self._times: dict[int, PictureTimes] = {}
        for stream in self._streams:
            if isinstance(stream, VideoStream):
                rate = stream.average_rate or stream.guessed_rate or _USUAL
                self._times[stream.index] = PictureTimes(round(SECOND / rate))
        self._sound = TrackSound(part.channel)
        self._good: dict[int, int] = {}  # by stream: the end of the last that could be decoded whole
        self._bad: dict[int, int] = {}  # and of the last that could not
        self._shifts: dict[int, int] = {}  # by stream, of its last packet
        self._over: set[int] = set()  # streams that have reached the end
        self._position = part.start  # the end of what was yielded
        self._newest: int | None = None  # the time of the last picture
        self._refused: dict[str, None] = {}  # lines on what exceeds a limit, in this order
        self._path = path
        self._lasts = 0  # ns; what was decoded from the last packet of sound

    def __iter__(self) -> Iterator[Frame | Sound]:
        with contextlib.closing(self._packets):
            try:
                for packet in self._packets:
                    yield from self._decode(packet)
                    if len(self._over) == len(self._streams):
                        break
                    if self._part.strict and self._found.damage:
                        for stream in self._streams:
                            yield from self._held_back(stream)
                        break
                yield from self._cut(self._sound.flush())
            finally:
                self._finish()
            if self._is_broken():
                raise BrokenRecording(self._position / SECOND)

    def _decode(self, packet: "Packet[Any]") -> Iterator[Frame | Sound]:
        stream = packet.stream
        if stream.index in self._over:
            return
        time = self._time(packet.pts if packet.pts is not None else packet.dts, stream, packet)
        end = (time or 0) + to_ns(packet.duration or 0, packet.time_base)
        if packet.size:
            before = self._shifts.get(stream.index, shift_of(packet))
            if isinstance(stream, VideoStream) and before != shift_of(packet) and packet.is_keyframe:
                yield from self._held_back(stream)
            self._shifts[stream.index] = shift_of(packet)
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            if packet.size:
                self._damaged(stream, time, end)
            if stream.codec_context.name == "mjpeg":
                self._refused |= dict.fromkeys(self._part.limits.of_picture(*jpeg_size(bytes(packet))))
            elif isinstance(stream, VideoStream):  # its decoder may have refused the size
                self._refused |= dict.fromkeys(self._beyond(stream))
            return
        jpeg = bytes(packet) if stream.codec_context.name == "mjpeg" else b""
        yield from self._convert(frames, stream, jpeg)
        # Before the decoder keeps more of them. A picture comes out when it has as many as it needs.
        if isinstance(stream, VideoStream) and any(self._beyond(stream)):
            yield from self._held_back(stream)

    def _beyond(self, stream: VideoStream) -> Iterator[str]:
        return pictures_beyond(self._part.limits, stream.codec_context, stream.codec)

    def _held_back(self, stream: VideoStream | AudioStream) -> Iterator[Frame | Sound]:
        """What the decoder holds to put it in order with what follows."""
        with contextlib.suppress(av.error.FFmpegError):
            yield from self._convert(stream.decode(None), stream)
        stream.codec_context.flush_buffers()

    def _damaged(self, stream: VideoStream | AudioStream, time: int | None, end: int) -> None:
        begun, kind = stream.index in self._good, "pictures" if isinstance(stream, VideoStream) else "sound"
        self._bad[stream.index] = end
        at = self._position if time is None else time
        if not self._part.start <= at < self._part.end:
            return
        if begun or kind == "sound":
            self._found.damaged(kind, at)
        if kind == "pictures":
            self._found.pictures["corrupt"] += 1
        else:
            self._found.sound["damaged"] += max(end - at, self._lasts) * RATE // SECOND

    def _convert(
        self, frames: Iterable[Any], stream: VideoStream | AudioStream, jpeg: bytes = b""
    ) -> Iterator[Frame | Sound]:
        for frame in frames:
            time = self._time(frame.pts, stream, frame)
            if isinstance(frame, VideoFrame):
                decoded = self._time(frame.dts, stream, frame)
                if time is not None and decoded is not None and abs(decoded - time) > self._part.max_gap:
                    decoded = None  # it is that of another packet, behind a gap
                lasts = to_ns(frame.duration or 0, stream.time_base)
                at = self._times[stream.index].next(time, decoded, lasts)
                if refused := list(pictures_beyond(self._part.limits, frame, stream.codec)):
                    self._refused |= dict.fromkeys(refused)
                    self._damaged(stream, at, at + lasts)
                else:
                    yield from self._picture(frame, at, stream, jpeg)
            else:
                yield from self._heard(frame, time, stream.index)

    def _time(self, pts: int | None, stream: VideoStream | AudioStream, of: Any) -> int | None:
        return None if pts is None else to_ns(pts, stream.time_base) + shift_of(of)

    def _picture(self, frame: VideoFrame, time: int, stream: Any, jpeg: bytes) -> Iterator[Frame | Sound]:
        yield from self._cut(self._sound.settle(time))
        if time >= self._part.end:
            self._over.add(stream.index)
            return
        if time < self._part.start:
            return
        if frame.is_corrupt:
            self._found.pictures["corrupt"] += 1
            self._found.damaged("pictures", time)
            self._bad[stream.index] = time
            return
        self._good[stream.index] = time
        if self._newest is not None and time <= self._newest:
            self._found.pictures["duplicate" if time == self._newest else "backward"] += 1
        else:
            self._newest = time
            self._position = max(self._position, time)
            yield Frame(time, image_of(frame, stream.sample_aspect_ratio, jpeg))

    def _heard(self, frame: AudioFrame, time: int | None, index: int) -> Iterator[Sound]:
        lasts = self._lasts = frame.samples * SECOND // frame.sample_rate
        self._good[index] = (self._good.get(index, 0) if time is None else time) + lasts
        refused = list(self._part.limits.of_sound(len(frame.layout.channels), frame.sample_rate))
        self._refused |= dict.fromkeys(refused)
        if refused or frame.sample_rate < MIN_RATE:
            self._found.damaged("sound", self._position if time is None else time)
            self._found.sound["damaged"] += lasts * RATE // SECOND
            return
        if time is not None and time + lasts < self._part.start - PREROLL:
            return
        for sound in self._sound.push(time, frame):
            if _end(sound) >= self._part.end:
                self._over.add(index)
            yield from self._cut([sound])

    def _cut(self, sounds: Iterable[Sound]) -> Iterator[Sound]:
        """What of them lies between start and end."""
        for sound in sounds:
            first = max(0, _samples_before(self._part.start - sound.originating_time))
            if self._part.start == 0 and first:
                self._found.sound["before_start"] += min(first, sound.samples.size)
            last = min(sound.samples.size, _samples_before(self._part.end - sound.originating_time))
            if first < last:
                time = sound.originating_time + first * SECOND // RATE
                part = Sound(time, sound.samples[first:last])
                self._position = max(self._position, _end(part))
                yield part

    def _finish(self) -> None:
        found, sound, axis = self._found, self._sound, self._packets.axis
        found.sound["overlap"] += sound.overlap
        found.reached = axis.reached
        found.segments = axis.segments if len(axis.segments) > 1 else []
        for time in self._packets.unreadable:
            found.damaged("data between packets", time)
        found.notes += [*found.described_damage(), *self._refused]
        if self._packets.late_track:
            most = self._part.limits.max_probe
            where = f"more than a minute after the others, or after {most} bytes (--max-probe)"
            found.notes.append(f"a track that begins {where}, was not read")
        for kind in unrecognised(self._packets.container):
            beyond = beyond_limits(kind, self._path, self._part.limits)
            found.notes.append(f"a track of {kind} is not read: it could not be recognised{beyond}")
        if axis.outliers:
            found.notes.append(f"the times of {axis.outliers} packets are far from all others: not used")
        if any(times.counting for times in self._times.values()):
            found.notes.append("most times of pictures are impossible: they were counted at the file's rate")
        if sound.strays >= _STRAYS:
            jitter = f"{sound.jitter / 1e6:.0f} ms"
            found.notes.append(f"the times of the sound jitter by up to {jitter}: a clock was fitted to them")
        found.notes += sound.notes

    def _is_broken(self) -> bool:
        """Whether data are damaged or missing, with nothing after them."""
        if self._part.strict and self._found.damage:
            return True
        if len(self._over) == len(self._streams):
            return False
        if self._bad.keys() - self._good.keys():
            return True
        if any(end > self._good[index] + _WELL_BEFORE for index, end in self._bad.items()):
            return True
        container, (tag, recorder) = self._packets.container, RECORDER
        # Its muxer writes the durations of tracks last. That of a file may be FFmpeg's estimate.
        ended = any("DURATION" in stream.metadata for stream in container.streams)
        if container.metadata.get(tag) == recorder and not ended:
            return True
        unreadable = self._packets.unreadable
        return self._ends_early(bool(unreadable) and unreadable[-1] >= self._packets.axis.reached)

    def _ends_early(self, unreadable: bool) -> bool:
        """Whether a stream ends before its header says.

        Args:
            unreadable: the last thing in the file could not be read.
        """
        name, part = self._packets.container.format.name, self._part
        if name not in _DECLARING:
            return unreadable
        for stream in self._streams:
            declared = end_of(self._packets.container, stream)
            reached = self._packets.reached[stream.index]
            # Then it is the end of the longest stream. Matroska has no other: FFmpeg fills it in for all.
            if stream.duration is None or name == "matroska,webm":
                if len(self._streams) < len(self._packets.container.streams):
                    continue
                reached = max(self._packets.reached.values())
            if declared is None:
                return unreadable
            if len(self._packets.axis.segments) > 1:  # the length says little, and times begin anew
                reached = max(reached, self._packets.axis.reached + part.origin)
            if reached - part.origin < min(declared - part.origin, part.end) - _WELL_BEFORE:
                return True
        return False


def _end(sound: Sound) -> int:
    return sound.originating_time + sound.samples.size * SECOND // RATE


def _samples_before(duration: int) -> int:
    """How many samples of a sound start before `duration` ns of it are over."""
    return -(-duration * RATE // SECOND)
