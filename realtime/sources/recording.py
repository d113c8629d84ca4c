"""Recordings: any file that FFmpeg's libraries read, as pictures and 16 kHz sound with their times."""

import math
from collections.abc import Iterator
from pathlib import Path

from av.audio.stream import AudioStream
from av.stream import Stream
from av.video.stream import VideoStream

from ...contracts.errors import UserError
from ..streams.alignment import END
from ..streams.axis import MAX_GAP
from ..streams.samples import SECOND, Frame, Sound
from .container import beyond_limits, created, end_of, open_container
from .decoded import pictures_beyond
from .demux import Part, Pass
from .findings import Findings
from .limits import LIMITS, Limits
from .track_sound import MIN_RATE
from .tracks import choose, tracks_of, unrecognised


class Recording:
    """A file with a video track, an audio track or both.

    Iterating yields `Frame` and `Sound` as they are decoded: the times of each increase, but the two are not
    merged by time. Each iteration starts over. Time 0 is where the earlier of the tracks starts; from there,
    the file's times become one axis by the policy of `streams.axis`.

    Args:
        start: seconds; earlier pictures and sound are left out, sound to the sample.
        end: seconds; pictures and sound from there on are left out. None for the end of the file.
        max_gap: seconds; longer gaps are closed.
        limits: what the file may hold.
        strict: end at the first damage.
        video_track, audio_track: numbers from 1; None chooses (see `tracks.choose`).
        audio_channel: the only one to take, from 1; None for a mix of all.

    Attributes:
        tracks: all that can be decoded.
        video, audio: those that are read; None if there is none.
        duration: seconds; None if unknown. Of some formats it is FFmpeg's estimate; steps in the file's times
            are not in it.
        created: when it began, if its metadata say so with a time zone.
        found: what the latest iteration found.

    Raises:
        UserError: the file cannot be read or has no track, or an argument does not fit it. In the iteration,
            it ends before `start`.
        BrokenRecording: in the iteration, after all that could be read: what follows is damaged or missing
            (of MP4, Matroska, FLV and FLAC: a second or more by the header; of `media.mkv`, if it was not
            ended), or damage is not allowed.
    """

    def __init__(
        self,
        path: str | Path,
        start: float = 0.0,
        end: float | None = None,
        *,
        max_gap: float = MAX_GAP / SECOND,
        limits: Limits = LIMITS,
        strict: bool = False,
        video_track: int | None = None,
        audio_track: int | None = None,
        audio_channel: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.start, self.end = start, end
        self.found = Findings()
        self._strict, self._channel, self._limits = strict, audio_channel, limits
        self._max_gap = round(max_gap * SECOND) if max_gap < math.inf else END
        if not 0 <= start < math.inf:
            raise UserError(f"start {start:g} s: give seconds from the recording's beginning, 0 or more")
        if end is not None and not end > start:
            raise UserError(f"end {end:g} s: give one after the start, {start:g} s")
        with open_container(self.path, limits=limits) as container:
            self.created = created(container.metadata)
            self.tracks = tracks_of(container)
            self.video = choose(self.path, self.tracks, "video", video_track)
            self.audio = choose(self.path, self.tracks, "audio", audio_track)
            chosen = [track for track in (self.video, self.audio) if track is not None]
            if not chosen:
                kinds = unrecognised(container)
                kind = "video" if "video" in kinds else "audio"
                beyond = beyond_limits(kind, self.path, limits) or "; give another file"
                what = "there is no video and no sound in it"
                if kinds:
                    what = f"its {kind} could not be recognised"
                raise UserError(f"{self.path}: {what}{beyond}")
            for track in chosen:
                self._check(container.streams[track.index])
            self._origin = min(round((track.start or 0) * SECOND) for track in chosen)
            ends = [end_of(container, container.streams[track.index]) for track in chosen]
            self.duration = (max(filter(None, ends)) - self._origin) / SECOND if any(ends) else None
        self._offsets = {track.index: 0 for track in chosen}

    def _check(self, stream: Stream) -> None:
        lines: Iterator[str] = iter(())
        if isinstance(stream, VideoStream):
            lines = pictures_beyond(self._limits, stream.codec_context, stream.codec)
        elif isinstance(stream, AudioStream):
            if stream.sample_rate < MIN_RATE:
                raise UserError(f"{self.path}: sound at {stream.sample_rate} Hz; give {MIN_RATE} Hz or more")
            lines = self._limits.of_sound(stream.channels, stream.sample_rate)
        for line in lines:
            raise UserError(f"{self.path}: {line}")

    def select(self, video: int | None, audio: int | None) -> None:
        """Read only what has an offset: ns to add to the times of the track.

        Raises:
            UserError: the two tracks share no time, so that one of them has another clock.
        """
        pairs = ((self.video, video), (self.audio, audio))
        chosen = [(track, offset) for track, offset in pairs if track is not None and offset is not None]
        self._offsets = {track.index: offset for track, offset in chosen}
        spans = []
        for track, offset in chosen:
            if track.beginning is not None:
                usual, last = track.beginning
                last = max(last, usual + round((track.duration or 0) * SECOND))
                spans.append((usual + offset, last + offset, track))
        if len(spans) == 2:
            (_, first_end, first), (begin, _, second) = sorted(spans, key=lambda span: span[0])
            if begin - first_end > self._max_gap:
                raise UserError(
                    f"{self.path}: {first.kind} is at {first_end / SECOND:.2f} s and {second.kind} at "
                    f"{begin / SECOND:.2f} s, so they share no time; give the difference with --offset, or "
                    "--max-gap inf"
                )

    def __iter__(self) -> Iterator[Frame | Sound]:
        self.found = Findings()
        start = round(self.start * SECOND)
        end = END if self.end is None or self.end == math.inf else round(self.end * SECOND)
        part = Part(
            self._offsets,
            self._origin,
            start,
            end,
            self._max_gap,
            self._limits,
            self._strict,
            self._channel,
        )
        empty = True
        for item in Pass(self.path, part, self.found):
            empty = False
            yield item
        if empty and start > 0:
            reached = self.found.reached / SECOND
            raise UserError(f"start {self.start:g} s: {self.path} ends at {reached:.2f} s; start before that")
