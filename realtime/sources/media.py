"""A recording as a source: video with sound, video or sound alone."""

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from ...bundle.metadata import ModalitySpec
from ...contracts.errors import UserError, one_line
from ...contracts.schemas import AUDIO, FACE, OWN, PARTNER, SPEAKING
from ..features.audio import TICK, AudioFeatures
from ..features.face import FOLLOW_LARGEST, Extractor, FaceOptions
from ..features.speaking import SpeakingFeatures
from ..streams.ahead import ahead
from ..streams.alignment import END, Aligner
from ..streams.axis import Segment
from ..streams.samples import SECOND, Frame, Observation, Sample
from .offer import FACES, SOUND, Offer, speaking, takes_speaking
from .reading import Material, read, size_of
from .recording import Recording
from .source import Source, SourceFailure, Wanted

_MEDIUM: Final = 4 * 2**20  # bytes of a picture
_CHANNELS: Final = {"left": 1, "right": 2}
_LONGEST_SLEEP: Final = 0.1  # s; so late `stop` takes effect at most


class MediaSource(Source):
    """The observations of a recording.

    Decoding and audio features run in one thread, the face network in another, and the model where the
    estimates are used: on two cores, the face network takes one and all the rest the other.

    Ticks begin at `start` and end with the last picture or sound that matters. The same file gives the same
    observations.

    Args:
        path: what FFmpeg's libraries can read.
        start, end: seconds on the recording's axis.
        realtime: give no observation before its time, as in a live run.
        faces: how to extract their features.
        partner_channel: of a stereo recording, that of whoever the person talks with; the person is on the
            other one.
        options: for `Recording`: `max_gap`, `limits`, `strict`, `video_track`, `audio_track`,
            `audio_channel`.

    Raises:
        UserError: it cannot be read, or `start` and `end` do not fit.
        BrokenRecording: in the iteration, after the observations up to where the recording is damaged.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        start: float = 0.0,
        end: float | None = None,
        realtime: bool = False,
        faces: FaceOptions = FOLLOW_LARGEST,
        partner_channel: Literal["left", "right"] | None = None,
        **options: Any,
    ) -> None:
        self._other: Recording | None = None  # the same with the partner's sound
        if partner_channel is not None:
            if "audio_channel" in options:
                raise UserError("--audio-channel and --partner-channel: give one of them")
            partner = _CHANNELS[partner_channel]
            self._other = Recording(path, start, end, **options, audio_channel=partner)
            options["audio_channel"] = 3 - partner
        self._recording = Recording(path, start, end, **options)
        self.name, self.began = self._recording.path.name, self._recording.created
        self.start, self.duration = start, self._recording.duration if end is None else end
        self._faces, self._realtime = faces, realtime
        self.people = faces.people
        self._t0 = round(start * SECOND)
        self._began: int | None = None  # `time.monotonic_ns` when tick 0 was due
        if realtime:
            self.clock = self._now
        self._stack = ExitStack()

    def offers(self, inputs: Sequence[ModalitySpec]) -> Sequence[Offer]:
        sound = speaking(OWN) if takes_speaking(inputs, OWN) else SOUND
        offers = [(FACES, self._recording.video), (sound, self._recording.audio)]
        if self._other is not None:
            offers.append((speaking(PARTNER, required=True), self._other.audio))
        return [offer for offer, track in offers if track is not None]

    def open(self, wanted: Sequence[Wanted], rate: int) -> None:
        running = [w for w in wanted if w.offer is not None]
        self._partner = next((w.name for w in running if w.offer == speaking(PARTNER, required=True)), None)
        by_schema = {w.schema: w.name for w in running if w.name != self._partner}
        self._running = [w.name for w in running]
        self._aligner = Aligner(self._t0, rate, {w.name: w.max_age for w in wanted})
        self.counts = self._aligner.counts
        self._pictures = by_schema.get(FACE.name)
        self._sound = by_schema.get(AUDIO.name) or by_schema.get(SPEAKING.name)
        self._sequence = 0  # of pictures
        self._face: Extractor | None = None
        if self._pictures is not None:
            self._face = self._faces.open()
            self._stack.callback(self._face.close)
        self._audio: AudioFeatures | None = None
        if self._sound is not None:
            speaks = SPEAKING.name in by_schema
            self._audio = SpeakingFeatures(self._sound, True) if speaks else AudioFeatures(self._sound)
        self._heard = None if self._partner is None else SpeakingFeatures(self._partner, True)
        for w in wanted:
            if w.offer is None:
                self._aligner.advance(w.name, END)
        offset = {w.name: w.offset for w in wanted}
        self._recording.select(
            None if self._pictures is None else offset[self._pictures],
            None if self._sound is None else offset[self._sound],
        )
        pictures, first_tick = self._face is not None, self._aligner.first_tick
        self._read: Callable[[], Iterator[Material]] = partial(
            read, self._recording, self._audio, pictures, first_tick, self._realtime
        )
        if self._other is not None and self._partner is not None:
            self._other.select(None, offset[self._partner])
            readers = [
                partial(read, self._recording, self._audio, pictures, first_tick, True),
                partial(read, self._other, self._heard, False, first_tick, True),
            ]
            self._read = lambda: _merged([reader() for reader in readers])

    @property
    def chooses(self) -> bool:
        return self._face is not None and self._faces.chooses

    def follow(self, person: int) -> None:
        if self._face is None:
            super().follow(person)
        else:
            self._face.follow(person)

    def close(self) -> None:
        self._stack.close()

    @property
    def taken(self) -> Mapping[str, str]:
        tracks = [(self._pictures, self._recording.video), (self._sound, self._recording.audio)]
        if self._other is not None:
            tracks.append((self._partner, self._other.audio))
        return {name: str(track) for name, track in tracks if name is not None}

    @property
    def notes(self) -> Sequence[str]:
        return self._recording.found.notes

    @property
    def segments(self) -> Sequence[Segment]:
        return self._recording.found.segments

    def __iter__(self) -> Iterator[Observation]:
        broken: SourceFailure | None = None
        try:
            with ExitStack() as threads:
                self._stack.callback(threads.close)  # also where the iteration was not left before `close`
                material = threads.enter_context(ahead(self._read(), _weight))
                # Paced, no picture may be extracted before its time, so there is nothing to do ahead.
                paced = self._paced(material) if self._realtime else material
                extracted: Iterator[Material] = map(self._extract, paced)
                if not self._realtime:
                    extracted = threads.enter_context(ahead(extracted))
                try:
                    for piece in extracted:
                        self._take(piece)
                        yield from self._released()
                except SourceFailure as error:
                    broken = error
                except UserError:
                    raise
                except Exception as error:  # of a decoder, the extractor: whatever it met in the file
                    broken = SourceFailure(f"cannot go on: {type(error).__name__}: {one_line(error)}")
                    broken.__cause__ = error
            for modality in self._running:
                self._aligner.advance(modality, END)
            yield from self._released()
        finally:
            self._aligner.finish()
            found = self._recording.found
            if found.segments or self.duration is None:  # what the header says is not how long it was
                self.duration = found.reached / SECOND
            if self._pictures is not None:
                for reason, n in found.pictures.items():
                    self.counts[self._pictures].drop(reason, n)
            if self._sound is not None and self._audio is not None:
                for reason, samples in (found.sound + self._audio.dropped).items():
                    self.counts[self._sound].drop(reason, samples // TICK)
            if self._other is not None and self._partner is not None and self._heard is not None:
                for reason, samples in (self._other.found.sound + self._heard.dropped).items():
                    self.counts[self._partner].drop(reason, samples // TICK)
        if broken is not None:
            raise broken

    def _paced(self, material: Iterable[Material]) -> Iterator[Material]:
        for piece in material:
            self._wait_until(piece.time)
            yield piece

    def _extract(self, material: Material) -> Material:
        """Features of a piece of material: those that it has, or those of the face in it."""
        if not isinstance(frame := material.content, Frame):
            return material
        assert self._face is not None  # without it no picture is read
        assert self._pictures is not None
        began = time.monotonic_ns()
        values, view = self._face.extract(frame.image, frame.originating_time)
        extract_ms = (time.monotonic_ns() - began) / 1e6
        sample = Sample(self._pictures, frame.originating_time, values, self._sequence, view)
        self._sequence += 1
        return replace(material, content=sample, extract_ms=extract_ms)

    def _take(self, extracted: Material) -> None:
        sample = extracted.content
        assert isinstance(sample, Sample)
        if self.arrivals is not None and not self.paused:
            self.arrivals.append((sample, sample.originating_time))
        came = self._due(sample.originating_time) if self._realtime else extracted.decoded
        self._aligner.push(sample, came, extracted.extract_ms)
        self._aligner.advance(sample.modality, sample.originating_time)
        for modality in self._running:
            self._aligner.advance(modality, extracted.settled)

    def _released(self) -> Iterator[Observation]:
        for observation in self._aligner.release():
            if self._realtime:
                self._wait_until(observation.time)
                timing = replace(observation.timing, due=self._due(observation.time))
                observation = replace(observation, timing=timing)
            yield observation

    def _due(self, time_: int) -> int:
        """When a live run would have seen material of this originating time, `time.monotonic_ns`."""
        if self._began is None:
            self._began = time.monotonic_ns()
        return self._began + time_ - self._t0

    def _now(self) -> int:
        return self._t0 if self._began is None else time.monotonic_ns() - self._due(0)

    def _wait_until(self, time_: int) -> None:
        while not self.stopped and (ns := self._due(time_) - time.monotonic_ns()) > 0:
            time.sleep(min(ns / 1e9, _LONGEST_SLEEP))


def _merged(readers: Sequence[Iterator[Material]]) -> Iterator[Material]:
    """Material of several readers, each in order, by time."""
    for material in heapq.merge(*readers, key=lambda one: one.time):
        yield replace(material, settled=min(material.settled, material.time - 1))


def _weight(material: Material) -> int:
    """Large pictures count more in what may wait."""
    return 1 + size_of(material) // _MEDIUM
