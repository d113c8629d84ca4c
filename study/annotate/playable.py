"""A recording as browsers can play it: the file itself, or a copy in VP8 and Opus (WebM)."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray

from ...contracts.errors import UserError, one_line
from ...realtime.features.resampling import RATE
from ...realtime.sources.container import open_container
from ...realtime.sources.recording import Recording
from ...realtime.sources.source import SourceFailure
from ...realtime.streams.samples import SECOND, Frame, Sound

LARGEST: Final = (960, 720)  # pixels of a copy
KEYFRAMES: Final = 25  # pictures between two, so that going back is quick
_BEGIN: Final = 0.002  # s; a file that begins later is copied: browsers differ in what their time 0 is then
_AUDIO: Final = {"aac", "mp3", "opus", "vorbis", "flac"}
_PLAYED: Final = {  # by FFmpeg's name of the container and its suffix
    ("mov,mp4,m4a,3gp,3g2,mj2", ".mp4"): {"h264", "vp9", "av1"},
    ("mov,mp4,m4a,3gp,3g2,mj2", ".m4v"): {"h264"},
    ("matroska,webm", ".webm"): {"vp8", "vp9", "av1"},
}
_TYPES: Final = {".mp4": "video/mp4", ".m4v": "video/mp4", ".webm": "video/webm"}
_BLOCK: Final = RATE // 50  # samples of sound that are encoded at a time
_MS: Final = Fraction(1, 1000)


@dataclass(frozen=True, slots=True)
class Playable:
    """What is played.

    Attributes:
        kind: MIME type.
        offset: s; the recording's time where the player's is 0.
        duration: s.
        notes: what could not be read of it, a line each.
    """

    path: Path
    kind: str
    offset: float
    duration: float
    notes: tuple[str, ...] = ()

    @property
    def end(self) -> float:
        """The recording's time where it ends, s."""
        return self.offset + self.duration


def playable(
    path: Path, folder: Path, *, own_axis: bool, progress: Callable[[float], None] = lambda share: None
) -> Playable:
    """The file, or a copy in `folder`.

    Args:
        own_axis: whether times are those in the file, as in a session's `media.mkv`; otherwise 0 is where the
            earlier of its tracks starts, as everywhere else.
        progress: called with the share of the copy that is made.

    Raises:
        UserError: the file cannot be read, or the copy cannot be written.
    """
    # On a session's own axis no gap is closed, however long.
    recording = Recording(path, max_gap=math.inf) if own_axis else Recording(path)
    tracks = [track for track in (recording.video, recording.audio) if track is not None]
    offset = min(track.start or 0.0 for track in tracks) if own_axis else 0.0
    if recording.duration and _plays(path):
        return Playable(path.absolute(), _TYPES[path.suffix.lower()], offset, recording.duration)
    copy = folder / "copy.webm"
    try:
        duration, notes = _copy(recording, copy, progress)
    except OSError as error:  # PyAV's are, too
        raise UserError(f"{path}: no copy that browsers play ({one_line(error)})") from None
    return Playable(copy, "video/webm", offset, duration, notes)


def _plays(path: Path) -> bool:
    """Whether every browser plays it, with the times that it has for us."""
    with open_container(path) as container:
        codecs = _PLAYED.get((container.format.name, path.suffix.lower()))
        videos, sounds = container.streams.video, container.streams.audio
        if codecs is None or len(videos) != 1 or len(sounds) > 1:
            return False
        starts = [float((s.start_time or 0) * (s.time_base or 0)) for s in (*videos, *sounds)]
        return (
            all(abs(start) <= _BEGIN for start in starts)
            and videos[0].codec_context.name in codecs
            and videos[0].codec_context.pix_fmt in ("yuv420p", "yuvj420p")
            and all(sound.codec_context.name in _AUDIO for sound in sounds)
        )


def _copy(
    recording: Recording, path: Path, progress: Callable[[float], None]
) -> tuple[float, tuple[str, ...]]:
    """Write a copy; give its length, s, and what could not be read."""
    notes: list[str] = []
    items = _until_broken(recording, notes)
    frames = recording.video is not None
    early: list[Frame | Sound] = []  # before the first picture, whose size is the copy's
    for item in items:
        early.append(item)
        if not frames or isinstance(item, Frame):
            break
    with contextlib.ExitStack() as stack:
        path.touch(0o600)
        made: Any = stack.enter_context(av.open(str(path), "w", format="webm"))
        picture = next((item for item in early if isinstance(item, Frame)), None)
        pictures = _Pictures(made, picture) if picture is not None else None
        sound = _Sounds(made) if recording.audio is not None else None
        if pictures is None and sound is None:
            raise UserError(f"{recording.path}: nothing in it can be decoded")
        end = 0.0
        for item in _chained(early, items):
            if isinstance(item, Frame):
                if pictures is not None:
                    pictures.add(item)
                end = max(end, item.originating_time / SECOND)
            elif sound is not None:
                sound.add(item)
                end = max(end, item.originating_time / SECOND + len(item.samples) / RATE)
            if recording.duration:
                progress(min(end / recording.duration, 1.0))
        for track in (pictures, sound):
            if track is not None:
                track.end()
    return end, tuple(notes)


def _until_broken(recording: Recording, notes: list[str]) -> Iterator[Frame | Sound]:
    try:
        yield from recording
    except SourceFailure as error:
        notes.append(one_line(error))


def _chained(first: list[Frame | Sound], then: Iterator[Frame | Sound]) -> Iterator[Frame | Sound]:
    yield from first
    yield from then


class _Pictures:
    """The pictures of a copy, all of the size of the first; each at its own time, in whole milliseconds."""

    def __init__(self, made: Any, first: Frame) -> None:
        height, width = first.image.shape[:2]
        scale = min(1.0, LARGEST[0] / width, LARGEST[1] / height)
        self._size = max(round(width * scale / 2) * 2, 2), max(round(height * scale / 2) * 2, 2)
        self._made = made
        self._stream = made.add_stream("libvpx", rate=25)  # nominal
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = _MS
        self._stream.codec_context.gop_size = KEYFRAMES
        self._stream.bit_rate = max(self._size[0] * self._size[1] * 6, 500_000)
        # One thread: those of libvpx wait for each other by spinning. A negative speed is fixed; with a
        # positive one it takes as long as playing would allow.
        self._stream.codec_context.thread_count = 1
        self._stream.options = {"deadline": "realtime", "cpu-used": "-12", "lag-in-frames": "0"}
        self._last = -1

    def add(self, item: Frame) -> None:
        at = round(item.originating_time * 1000 / SECOND)
        if at <= self._last:
            return
        self._last = at
        frame = av.VideoFrame.from_ndarray(item.image, "rgb24")
        frame = frame.reformat(*self._size, format="yuv420p", threads=1)
        frame.pts, frame.time_base = at, _MS
        self._made.mux(self._stream.encode(frame))

    def end(self) -> None:
        self._made.mux(self._stream.encode(None))


class _Sounds:
    """The sound of a copy, silent where there is none."""

    def __init__(self, made: Any) -> None:
        self._made = made
        self._stream = made.add_stream("libopus", rate=RATE)
        self._stream.layout = "mono"
        self._stream.bit_rate = 64_000
        self._written = 0  # samples
        self._waiting: NDArray[np.float32] = np.zeros(0, np.float32)

    def add(self, item: Sound) -> None:
        at = round(item.originating_time * RATE / SECOND)
        gap = at - self._written - len(self._waiting)
        # Neighbours may differ by a rounding.
        silence = np.zeros(gap if gap > 1 else 0, np.float32)
        self._waiting = np.concatenate([self._waiting, silence, item.samples])
        self._encode(len(self._waiting) // _BLOCK)

    def end(self) -> None:
        self._waiting = np.append(self._waiting, np.zeros(-len(self._waiting) % _BLOCK, np.float32))
        self._encode(len(self._waiting) // _BLOCK)
        self._made.mux(self._stream.encode(None))

    def _encode(self, blocks: int) -> None:
        for k in range(blocks):
            data = np.ascontiguousarray(self._waiting[k * _BLOCK : (k + 1) * _BLOCK])[None]
            frame = av.AudioFrame.from_ndarray(data, "flt", "mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, self._written, Fraction(1, RATE)
            self._made.mux(self._stream.encode(frame))
            self._written += _BLOCK
        self._waiting = self._waiting[blocks * _BLOCK :]
