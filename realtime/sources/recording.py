"""Recordings: any file that FFmpeg's libraries read, as pictures and 16 kHz sound with their times."""

import contextlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ...contracts.errors import UserError
from ..features.resampling import RATE, Resampler
from ..streams.samples import SECOND, Frame, Sound
from .decoded import image_of, mono_of

# Formats whose header says how long the file should be. Of others, FFmpeg tells what it sees or estimates.
_DECLARING: Final = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "flac"}
_WELL_BEFORE: Final = SECOND  # ns; headers are not exact
_PREROLL: Final = SECOND  # ns of sound before the start, in which codec and filter settle


class BrokenRecording(UserError):
    """The file is damaged; everything before the damage has been given out.

    Attributes:
        position: seconds on the recording's axis, up to where there were pictures or sound.
    """

    def __init__(self, position: float) -> None:
        super().__init__(f"the recording breaks off at {position:.2f} s")
        self.position = position


class Recording:
    """A file with a video stream, an audio stream or both.

    Iterating gives `Frame` and `Sound` as they are decoded: the times of pictures rise, those of sound too
    unless the file itself steps back, but the two are not sorted into each other. Each iteration starts anew.
    Time 0 is where the earlier of the streams starts.

    Args:
        path: the file.
        start: seconds; pictures and sound before it are left out, sound to the sample.
        end: seconds; so is what comes then and later. None for the end of the file.

    Attributes:
        path, start, end: as given.
        has_video, has_audio: which streams there are. Cover art is not video.
        duration: seconds; None where the file doesn't tell. Of some formats it is FFmpeg's estimate.
        frame_size: width and height in pixels, before the picture is turned upright; None without video.
        frame_rate: pictures per second, nominal or average; None without video.
        counts: what was dropped between `start` and `end` in the latest iteration, by reason: pictures with
            the time of the one before (`duplicate`), an earlier one (`backward`) or none (`no_time`), and
            damaged ones (`corrupt`).

    Raises:
        UserError: the file can't be read or has neither stream, or `start` and `end` don't fit.
        BrokenRecording: in the iteration, after everything up to the damage. The file can't be decoded from
            there on, or it ends more than a second before the end that its header declares (MP4, Matroska,
            FLV and FLAC).
    """

    def __init__(self, path: str | Path, start: float = 0.0, end: float | None = None) -> None:
        self.path = Path(path)
        self.start = start
        self.end = end
        self.counts: Counter[str] = Counter()
        with _open(self.path) as container:
            video, audio = _streams(container)
            streams = _present(video, audio)
            if not streams:
                raise UserError(f"{self.path}: there is no video and no sound in it; give another file")
            self.has_video = video is not None
            self.has_audio = audio is not None
            self.frame_size = None if video is None else (video.width, video.height)
            rate = None if video is None else video.average_rate or video.guessed_rate
            self.frame_rate = float(rate) if rate else None
            self._origin = min(_ns(stream.start_time or 0, stream.time_base) for stream in streams)
            ends = [_end_of(container, stream) for stream in streams]
            self.duration = (max(filter(None, ends)) - self._origin) / SECOND if any(ends) else None
        if not 0 <= start < math.inf:
            raise UserError(f"start {start:g} s: give seconds from the recording's beginning, 0 or more")
        if end is not None and not end > start:
            raise UserError(f"end {end:g} s: give one after the start, {start:g} s")
        if start > 0 and self.duration is not None and start >= self.duration:
            raise UserError(
                f"start {start:g} s: {self.path} ends at {self.duration:.2f} s; start before that"
            )

    def __iter__(self) -> Iterator[Frame | Sound]:
        self.counts.clear()
        start = round(self.start * SECOND)
        end = None if self.end is None or self.end == math.inf else round(self.end * SECOND)
        with _open(self.path) as container:
            yield from _Reading(container, self._origin, start, end, self.counts)


class _Reading:
    """One pass through a file. Its times are ns on the recording's axis."""

    def __init__(
        self, container: InputContainer, origin: int, start: int, end: int | None, counts: Counter[str]
    ) -> None:
        self._container = container
        self._origin = origin
        self._start = start
        self._end = end
        self._counts = counts
        self._video, audio = _streams(container)
        self._streams = _present(self._video, audio)
        if self._video is not None:
            # What several threads make of a damaged picture differs from run to run, and isn't marked.
            self._video.thread_type = "NONE"
        self._begun: set[int] = set()  # indices of the streams of which something was decoded
        self._failed: set[int] = set()  # of those that had a packet before that which couldn't be
        self._over: set[int] = set()  # of those that have come to `end`
        self._reached = {stream.index: 0 for stream in self._streams}  # the end of their packets
        self._position = start  # the end of what was given out
        self._newest: int | None = None  # the time of the last picture
        self._resampler: Resampler | None = None

    def __iter__(self) -> Iterator[Frame | Sound]:
        try:
            self._seek()
            for packet in self._container.demux(self._streams):
                yield from self._decode(packet)
                if len(self._over) == len(self._streams):
                    return
        except av.error.FFmpegError as error:
            yield from self._held_back()
            raise BrokenRecording(self._position / SECOND) from error
        yield from self._sound_held_back()
        if self._failed - self._begun or self._ends_early():
            raise BrokenRecording(self._position / SECOND)

    def _seek(self) -> None:
        """To the key picture before the start.

        Sound alone is read from the beginning, which is fast, and exact where seeking would be an estimate.
        """
        if self._video is None or self._start <= _PREROLL:
            return
        assert self._video.time_base is not None
        target = Fraction(self._origin + self._start - _PREROLL, SECOND) / self._video.time_base
        with contextlib.suppress(av.error.FFmpegError):  # what has no index is read from the beginning
            self._container.seek(math.floor(target), stream=self._video)

    def _decode(self, packet: "Packet[Any]") -> Iterator[Frame | Sound]:
        stream = packet.stream
        if stream.index in self._over:
            return
        if packet.pts is not None:
            end = self._time(packet.pts + (packet.duration or 0), stream)
            self._reached[stream.index] = max(self._reached[stream.index], end)
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            if stream.index in self._begun:
                raise
            self._failed.add(stream.index)  # reading may well begin in the middle of what belongs together
            return
        if frames:
            self._begun.add(stream.index)
        yield from self._convert(frames, stream)

    def _convert(self, frames: Iterable[Any], stream: VideoStream | AudioStream) -> Iterator[Frame | Sound]:
        for frame in frames:
            time = None if frame.pts is None else self._time(frame.pts, stream)
            if isinstance(frame, VideoFrame):
                yield from self._picture(frame, time, stream.index)
            else:
                yield from self._sound(frame, time, stream.index)

    def _time(self, pts: int, stream: VideoStream | AudioStream) -> int:
        return _ns(pts, stream.time_base) - self._origin

    def _picture(self, frame: VideoFrame, time: int | None, index: int) -> Iterator[Frame]:
        if time is None:
            self._counts["no_time"] += 1
            return
        if self._end is not None and time >= self._end:
            self._over.add(index)
            return
        if time < self._start:
            return
        if frame.is_corrupt:
            self._counts["corrupt"] += 1
        elif self._newest is not None and time <= self._newest:
            self._counts["duplicate" if time == self._newest else "backward"] += 1
        else:
            self._newest = time
            self._position = max(self._position, time)
            yield Frame(time, image_of(frame))

    def _sound(self, frame: AudioFrame, time: int | None, index: int) -> Iterator[Sound]:
        if time is not None and time + frame.samples * SECOND // frame.sample_rate < self._start - _PREROLL:
            return
        if self._resampler is None or self._resampler.rate != frame.sample_rate:
            yield from self._sound_held_back()
            self._resampler = Resampler(frame.sample_rate)
        for sound in self._resampler.push(time, mono_of(frame)):
            if self._end is not None and _end(sound) >= self._end:
                self._over.add(index)
            yield from self._cut(sound)

    def _cut(self, sound: Sound) -> Iterator[Sound]:
        """What of it lies between start and end."""
        first = max(0, _samples_before(self._start - sound.originating_time))
        last = sound.samples.size
        if self._end is not None:
            last = min(last, _samples_before(self._end - sound.originating_time))
        if first < last:
            part = Sound(sound.originating_time + first * SECOND // RATE, sound.samples[first:last])
            self._position = max(self._position, _end(part))
            yield part

    def _sound_held_back(self) -> Iterator[Sound]:
        if self._resampler is not None:
            for sound in self._resampler.flush():
                yield from self._cut(sound)

    def _held_back(self) -> Iterator[Frame | Sound]:
        """What the decoders and the filter hold when the file breaks."""
        for stream in self._streams:
            with contextlib.suppress(av.error.FFmpegError):
                yield from self._convert(stream.decode(None), stream)
        yield from self._sound_held_back()

    def _ends_early(self) -> bool:
        if self._container.format.name not in _DECLARING:
            return False
        for stream in self._streams:
            declared = _end_of(self._container, stream)
            reached = self._reached[stream.index]
            if stream.duration is None:  # then it is the end of the longest stream, whichever that is
                if len(self._streams) < len(self._container.streams):
                    continue
                reached = max(self._reached.values())
            if declared is not None:
                expected = declared - self._origin
                if reached < (expected if self._end is None else min(expected, self._end)) - _WELL_BEFORE:
                    return True
        return False


def _open(path: Path) -> InputContainer:
    try:
        empty = path.stat().st_size == 0
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; check its name") from None
    except OSError as error:
        raise UserError(
            f"{path}: it can't be opened ({error.strerror}); check name and permissions"
        ) from error
    if not path.is_file():
        raise UserError(f"{path}: this is not a file; give a recording")
    if empty:
        raise UserError(f"{path}: the file is empty; give another, or copy it again")
    try:
        container = av.open(
            f"file:{path}", metadata_errors="replace"
        )  # "file:", lest a colon mean a protocol
    except (av.error.FFmpegError, OSError) as error:
        raise UserError(
            f"{path}: it can't be read as a recording ({error.strerror}); it isn't one, or its beginning is "
            "damaged: see whether a player opens it"
        ) from error
    if container.format.name == "tty":  # FFmpeg would show any text as a terminal
        container.close()
        raise UserError(f"{path}: this is text, not a recording; give another file")
    return container


def _streams(container: InputContainer) -> tuple[VideoStream | None, AudioStream | None]:
    """The first of each that can be decoded."""
    video = (
        stream
        for stream in container.streams.video
        if stream.codec_context is not None
        and stream.width
        and Disposition.attached_pic not in stream.disposition
    )
    audio = (
        stream
        for stream in container.streams.audio
        if stream.codec_context is not None and stream.sample_rate
    )
    return next(video, None), next(audio, None)


def _present(video: VideoStream | None, audio: AudioStream | None) -> list[VideoStream | AudioStream]:
    return [stream for stream in (video, audio) if stream is not None]


def _end_of(container: InputContainer, stream: VideoStream | AudioStream) -> int | None:
    """As declared or estimated, ns on the file's own axis."""
    if stream.duration is not None:
        return _ns((stream.start_time or 0) + stream.duration, stream.time_base)
    if container.duration is not None:
        return _ns((container.start_time or 0) + container.duration, Fraction(1, av.time_base))
    return None


def _ns(pts: int, time_base: Fraction | None) -> int:
    assert time_base is not None  # every stream that can be decoded has one
    return pts * SECOND * time_base.numerator // time_base.denominator


def _end(sound: Sound) -> int:
    return sound.originating_time + sound.samples.size * SECOND // RATE


def _samples_before(duration: int) -> int:
    """How many samples of a sound start before `duration` ns of it are over."""
    return -(-duration * RATE // SECOND)
