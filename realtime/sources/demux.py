"""One pass through a recording: pictures and sound, as they are decoded."""

import contextlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, Final

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..features.resampling import RATE, Resampler
from ..streams.samples import SECOND, Frame, Sound
from .container import end_of, find_streams, to_ns
from .decoded import image_of, mono_of
from .source import SourceFailure

# Formats whose header declares the file's length. Of others, FFmpeg gives what it sees, or an estimate.
_DECLARING: Final = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "flac"}
_WELL_BEFORE: Final = SECOND  # ns; headers are not exact
_PREROLL: Final = SECOND  # ns of sound before the start, in which codec and filter settle


class BrokenRecording(SourceFailure):
    """The file is damaged; everything before the damage has been yielded.

    Attributes:
        position: seconds on the recording's axis, up to where there were pictures or sound.
    """

    def __init__(self, position: float) -> None:
        super().__init__(f"the recording breaks off at {position:.2f} s")
        self.position = position


class Pass:
    """One pass through a file; iterate once. Times are ns on the recording's axis.

    Args:
        origin: ns on the file's own axis; the recording's time 0.
        start, end: ns; `end` is `alignment.END` for that of the file.
        counts: to which dropped pictures are added, by reason.
    """

    def __init__(
        self, container: InputContainer, origin: int, start: int, end: int, counts: Counter[str]
    ) -> None:
        self._container, self._origin, self._counts = container, origin, counts
        self._start, self._end = start, end
        self._video, audio = find_streams(container)
        self._streams = [stream for stream in (self._video, audio) if stream is not None]
        if self._video is not None:
            # Several threads decode a damaged picture differently from run to run, and do not mark it.
            self._video.thread_type = "NONE"
        self._begun: set[int] = set()  # indices of the streams of which something was decoded
        self._failed: set[int] = set()  # of those with an undecodable packet before that
        self._over: set[int] = set()  # of those that have reached `end`
        self._reached = {stream.index: 0 for stream in self._streams}  # the end of their packets
        self._position = start  # the end of what was yielded
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
        with contextlib.suppress(av.error.FFmpegError):  # a file without an index is read from the beginning
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
            self._failed.add(stream.index)  # reading may begin in the middle of a group of pictures
            return
        if frames:
            self._begun.add(stream.index)
        yield from self._convert(frames, stream)

    def _convert(self, frames: Iterable[Any], stream: VideoStream | AudioStream) -> Iterator[Frame | Sound]:
        for frame in frames:
            time = None if frame.pts is None else self._time(frame.pts, stream)
            convert = self._picture if isinstance(frame, VideoFrame) else self._sound
            yield from convert(frame, time, stream.index)

    def _time(self, pts: int, stream: VideoStream | AudioStream) -> int:
        return to_ns(pts, stream.time_base) - self._origin

    def _picture(self, frame: VideoFrame, time: int | None, index: int) -> Iterator[Frame]:
        if time is None:
            self._counts["no_time"] += 1
            return
        if time >= self._end:
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
            if _end(sound) >= self._end:
                self._over.add(index)
            yield from self._cut(sound)

    def _cut(self, sound: Sound) -> Iterator[Sound]:
        """What of it lies between start and end."""
        first = max(0, _samples_before(self._start - sound.originating_time))
        last = min(sound.samples.size, _samples_before(self._end - sound.originating_time))
        if first < last:
            part = Sound(sound.originating_time + first * SECOND // RATE, sound.samples[first:last])
            self._position = max(self._position, _end(part))
            yield part

    def _sound_held_back(self) -> Iterator[Sound]:
        if self._resampler is not None:
            for sound in self._resampler.flush():
                yield from self._cut(sound)

    def _held_back(self) -> Iterator[Frame | Sound]:
        """What decoders and filter hold when the file breaks."""
        for stream in self._streams:
            with contextlib.suppress(av.error.FFmpegError):
                yield from self._convert(stream.decode(None), stream)
        yield from self._sound_held_back()

    def _ends_early(self) -> bool:
        if self._container.format.name not in _DECLARING:
            return False
        for stream in self._streams:
            declared = end_of(self._container, stream)
            reached = self._reached[stream.index]
            if stream.duration is None:  # then it is the end of the longest stream
                if len(self._streams) < len(self._container.streams):
                    continue
                reached = max(self._reached.values())
            if declared is not None and reached < min(declared - self._origin, self._end) - _WELL_BEFORE:
                return True
        return False


def _end(sound: Sound) -> int:
    return sound.originating_time + sound.samples.size * SECOND // RATE


def _samples_before(duration: int) -> int:
    """How many samples of a sound start before `duration` ns of it are over."""
    return -(-duration * RATE // SECOND)
