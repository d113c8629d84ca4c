"""A recording goes in, one estimate per tick comes out."""

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from ...contracts.errors import UserError
from ...contracts.schemas import AUDIO, FACE
from ..engine.engine import Engine
from ..engine.estimate import Estimate, Latency, estimate_of
from ..features.audio import AudioFeatures
from ..features.face import FaceFeatures
from ..streams.ahead import Ahead
from ..streams.alignment import END, Aligner
from ..streams.counts import Counts
from ..streams.samples import SECOND, Frame, Observation, Sample
from .reading import Material, Reading
from .recording import BrokenRecording, Recording

_MAX_AGE: Final = {"face": round(FACE.max_age * SECOND), "audio": round(AUDIO.max_age * SECOND)}  # ns


@dataclass(frozen=True, slots=True)
class _Features:
    """A sample, made of a piece of material: see there for `decoded` and `settled`.

    Attributes:
        face_ms: what looking for the face took; None without a picture.
    """

    sample: Sample
    decoded: int
    settled: int
    face_ms: float | None


class Replay:
    """The estimates of a recording; iterate once.

    Decoding and audio features run in one thread, looking for the face in another, and the model where the
    estimates are used: on two cores, MediaPipe takes one and all the rest the other. However the iteration is
    left, the threads have ended then.

    Ticks begin at the recording's start and end with the last picture or sound that matters. The same file
    gives the same estimates, latencies aside.

    Args:
        recording: what to read.
        engine: steps the model; it is reset first.
        face: finds the face; None where the recording has no picture or the bundle takes none.
        audio: the same for sound.
        realtime: give no estimate before its time, as in a live session.

    Attributes:
        counts: by modality, where its samples went; complete when the iteration is over.
        observation: what the model was shown for the latest estimate.

    Raises:
        UserError: at construction; the recording has nothing that the bundle takes.
        BrokenRecording: after the estimates up to the place where the recording breaks.
    """

    def __init__(
        self,
        recording: Recording,
        engine: Engine,
        face: FaceFeatures | None,
        audio: AudioFeatures | None,
        *,
        realtime: bool = False,
    ) -> None:
        self._recording = recording
        self._engine = engine
        self._face = face if recording.has_video and "face" in engine.inputs else None
        self._audio = audio if recording.has_audio and "audio" in engine.inputs else None
        self._realtime = realtime
        self._t0 = round(recording.start * SECOND)
        max_age = {name: _MAX_AGE[name] for name in engine.inputs if name in _MAX_AGE}
        self._aligner = Aligner(self._t0, engine.rate, max_age)
        sources = {"face": self._face, "audio": self._audio}
        self._sources = [name for name, source in sources.items() if source is not None]
        if not self._sources:
            raise UserError(f"{recording.path}: has nothing of what the bundle takes ({', '.join(max_age)})")
        self.observation: Observation | None = None
        self._pictures = 0  # looked at
        self._began: int | None = None  # monotonic ns; when tick 0 was due
        # Of ticks not released yet: what extraction took, ms; when the newest material came, monotonic ns.
        self._face_ms: dict[int, float] = {}
        self._arrived: dict[int, int] = {}

    @property
    def counts(self) -> dict[str, Counts]:
        return self._aligner.counts

    def __iter__(self) -> Generator[Estimate]:
        aligner = self._aligner
        self._engine.reset()
        for modality in aligner.counts.keys() - self._sources:
            aligner.advance(modality, END)
        reading = Reading(
            self._recording, self._audio, self._face is not None, aligner.first_tick, self._realtime
        )
        broken: BrokenRecording | None = None
        try:
            with ExitStack() as threads:
                materials = threads.enter_context(Ahead(reading))
                # Paced, nobody may look at a picture before its time, so there is nothing to do ahead.
                features: Iterable[_Features] = (
                    map(self._look, self._paced(materials))
                    if self._realtime
                    else threads.enter_context(Ahead(map(self._look, materials)))
                )
                try:
                    for piece in features:
                        self._take(piece)
                        for observation in aligner.release():
                            yield self._estimate(observation)
                except BrokenRecording as error:
                    broken = error
            for modality in self._sources:
                aligner.advance(modality, END)
            for observation in aligner.release():
                yield self._estimate(observation)
        finally:
            aligner.finish()
            if self._face is not None:
                face = aligner.counts["face"]
                face.drop("superseded", reading.superseded)
                for reason, n in self._recording.counts.items():
                    face.drop(reason, n)
        if broken is not None:
            raise broken

    def _paced(self, materials: Iterable[Material]) -> Iterator[Material]:
        for material in materials:
            self._wait_until(material.time)
            yield material

    def _look(self, material: Material) -> _Features:
        """Features of a piece of material: those that it has, or those of the face in it."""
        face_ms = None
        if isinstance(frame := material.content, Frame):
            assert self._face is not None  # without it no picture is read
            began = time.perf_counter_ns()
            values = self._face.extract(frame)
            face_ms = (time.perf_counter_ns() - began) / 1e6
            sample = Sample("face", frame.originating_time, values, self._pictures)
            self._pictures += 1
        else:
            sample = frame
        return _Features(sample, material.decoded, material.settled, face_ms)

    def _take(self, features: _Features) -> None:
        sample = features.sample
        tick = self._aligner.first_tick(sample.originating_time)
        self._arrived[tick] = self._due(sample.originating_time) if self._realtime else features.decoded
        if features.face_ms is not None:
            self._face_ms[tick] = features.face_ms
        self._aligner.push(sample)
        self._aligner.advance(sample.modality, sample.originating_time)
        for source in self._sources:
            self._aligner.advance(source, features.settled)

    def _estimate(self, observation: Observation) -> Estimate:
        if self._realtime:
            self._wait_until(observation.time)
        self.observation = observation
        began = time.perf_counter_ns()
        step = self._engine.step(observation.values)
        now = time.perf_counter_ns()
        arrived = self._arrived.pop(observation.tick, None)
        face_ms = self._face_ms.pop(observation.tick, None)
        latency = Latency(
            step=(now - began) / 1e6,
            total=None if arrived is None else (now - arrived) / 1e6,
            extract={} if face_ms is None else {"face": face_ms},
        )
        return estimate_of(observation, step, latency)

    def _due(self, originating_time: int) -> int:
        """When a live session would have seen what bears this time, ns on the monotonic clock."""
        if self._began is None:
            self._began = time.perf_counter_ns()
        return self._began + originating_time - self._t0

    def _wait_until(self, originating_time: int) -> None:
        if (ns := self._due(originating_time) - time.perf_counter_ns()) > 0:
            time.sleep(ns / 1e9)
