"""Recordings: any file that FFmpeg's libraries read, as pictures and 16 kHz sound with their times."""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ...contracts.errors import UserError
from ..streams.alignment import END
from ..streams.samples import SECOND, Frame, Sound
from .container import end_of, find_streams, open_container, to_ns
from .demux import Pass


class Recording:
    """A file with a video stream, an audio stream or both.

    Iterating yields `Frame` and `Sound` as they are decoded: the times of pictures increase, those of sound
    too unless the file itself steps back, but the two are not merged by time. Each iteration starts over.
    Time 0 is where the earlier of the streams starts.

    Args:
        start: seconds; earlier pictures and sound are left out, sound to the sample.
        end: seconds; pictures and sound from there on are left out. None for the end of the file.

    Attributes:
        has_video, has_audio: which streams there are. Cover art is not video.
        duration: seconds; None if unknown. Of some formats it is FFmpeg's estimate.
        counts: what was dropped between `start` and `end` in the latest iteration, by reason: pictures with
            the time of the one before (`duplicate`), an earlier one (`backward`) or none (`no_time`), and
            damaged ones (`corrupt`).

    Raises:
        UserError: the file cannot be read or has neither stream, or `start` and `end` do not fit.
        BrokenRecording: in the iteration, after everything up to the damage. The file cannot be decoded from
            there on, or ends more than a second before its header says (MP4, Matroska, FLV and FLAC).
    """

    def __init__(self, path: str | Path, start: float = 0.0, end: float | None = None) -> None:
        self.path = Path(path)
        self.start, self.end = start, end
        self.counts: Counter[str] = Counter()
        with open_container(self.path) as container:
            video, audio = find_streams(container)
            streams = [stream for stream in (video, audio) if stream is not None]
            if not streams:
                raise UserError(f"{self.path}: there is no video and no sound in it; give another file")
            self.has_video, self.has_audio = video is not None, audio is not None
            self._origin = min(to_ns(stream.start_time or 0, stream.time_base) for stream in streams)
            ends = [end_of(container, stream) for stream in streams]
            self.duration = (max(filter(None, ends)) - self._origin) / SECOND if any(ends) else None
        if not 0 <= start < math.inf:
            raise UserError(f"start {start:g} s: give seconds from the recording's beginning, 0 or more")
        if end is not None and not end > start:
            raise UserError(f"end {end:g} s: give one after the start, {start:g} s")
        if start > 0 and (last := self.duration) is not None and start >= last:
            raise UserError(f"start {start:g} s: {self.path} ends at {last:.2f} s; start before that")

    def __iter__(self) -> Iterator[Frame | Sound]:
        self.counts.clear()
        start = round(self.start * SECOND)
        end = END if self.end is None or self.end == math.inf else round(self.end * SECOND)
        with open_container(self.path) as container:
            yield from Pass(container, self._origin, start, end, self.counts)
