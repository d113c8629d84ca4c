"""A camera and a microphone go in, one estimate per tick comes out, for as long as one likes.

The loop runs where the estimates are used. Pictures are looked at in one thread, sound in another; each
takes from its device only what is new, so nothing queues: an overloaded machine drops pictures.

Times are of the session's axis: ns, 0 at the first tick.
"""

import functools
import queue
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...contracts.errors import UserError
from ...contracts.schemas import AUDIO, FACE
from ..engine.engine import Engine
from ..engine.estimate import Estimate, Latency, estimate_of
from ..features.audio import AudioFeatures
from ..features.face import FaceFeatures
from ..streams.alignment import Aligner
from ..streams.cadence import Cadence
from ..streams.counts import Counts
from ..streams.pacing import MAX_WAIT, Due, Pacing
from ..streams.samples import SECOND, Frame, Observation, Sample, Sound
from .process import DeviceState

_MAX_AGE: Final = {"face": round(FACE.max_age * SECOND), "audio": round(AUDIO.max_age * SECOND)}  # ns
_SOUND: Final = (
    39 * SECOND // 1000
)  # ns; audio features come every 40 ms, by a clock that may be a little fast
RESET: Final = "enrapt: reset"  # the mark at a tick before which the model forgot everything
_IDLE: Final = 0.1  # s that a thread waits for its device before it looks whether it is to end


Material = TypeVar("Material", covariant=True)


class Device(Protocol[Material]):
    """What a session takes from: a camera, a microphone, a stream of features."""

    @property
    def state(self) -> DeviceState: ...
    def take(self, timeout: float) -> Material | None: ...


class Seen(Protocol):
    """A camera's picture; see `camera.Picture`."""

    @property
    def originating_time(self) -> int: ...
    @property
    def image(self) -> NDArray[np.uint8] | None: ...


@dataclass(frozen=True, slots=True)
class _Piece:
    """What a thread has made of something new.

    Attributes:
        reached: ns; up to when nothing else of this modality will come.
        dropped: why something was not looked at.
        failure: by which the thread ends.
    """

    modality: str
    samples: list[Sample]
    reached: int
    face_ms: float | None = None
    dropped: str | None = None
    failure: BaseException | None = None


class LiveLoop:
    """The estimates of a live session. A context manager; iterate within it, as long as one likes.

    Ticks come at the bundle's rate, in order, whether or not anything arrives: with all missing the estimate
    is what the model expects, and its uncertainty grows.

    Args:
        engine: steps the model; it is reset first.
        clock: the one that the devices bear their times on, ns.
        camera, face: where pictures come from and what looks for the face in them; None without.
        microphone, audio: the same for sound.
        features: by modality, where finished samples come from, instead of those.
        face_every: look for the face in every n-th picture that is taken.
        context: raw values of the bundle's context modalities, constant over the session.
        max_wait: ns after its time at which a tick is told, whatever is still missing.
        listener: told of every sample with its time of arrival, observation and estimate, to record them.

    Attributes:
        observation: what the model was shown for the latest estimate.
        paused: while it is True, pictures and sound are thrown away unseen; ticks go on.
        zero: on the devices' clock, ns; the time of the first tick. None before the session.

    Raises:
        UserError: at construction; the bundle takes none of what there is, or a context does not fit.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], int],
        *,
        camera: "Device[Seen] | None" = None,
        face: FaceFeatures | None = None,
        microphone: "Device[Sound] | None" = None,
        audio: AudioFeatures | None = None,
        features: "Mapping[str, Device[Sample]] | None" = None,
        face_every: int = 1,
        context: Mapping[str, Sequence[float]] | None = None,
        max_wait: int = MAX_WAIT,
        listener: "Listener | None" = None,
    ) -> None:
        self._engine, self._clock, self._listener = engine, clock, listener
        self._face, self._audio, self._face_every = face, audio, face_every
        self._devices: dict[str, Device[Any]] = {}
        if camera is not None and face is not None and "face" in engine.inputs:
            self._devices["face"] = camera
        if microphone is not None and audio is not None and "audio" in engine.inputs:
            self._devices["audio"] = microphone
        work = {"face": self._look, "audio": self._listen}
        for name, device in (features or {}).items():
            if name in engine.inputs:
                self._devices[name] = device
                work[name] = functools.partial(self._receive, name, Cadence())
        if not self._devices:
            raise UserError(f"no device for what the bundle takes ({', '.join(engine.inputs)}); give one")
        self._context = {
            name: _context_values(name, values, engine) for name, values in (context or {}).items()
        }
        max_age = {name: _MAX_AGE[name] for name in engine.inputs if name in _MAX_AGE}
        self._aligner = Aligner(0, engine.rate, max_age)
        self._pacing = Pacing(self._aligner, list(self._devices), max_wait)
        self._inbox: queue.SimpleQueue[_Piece] = queue.SimpleQueue()
        self._face_ms: dict[int, float] = {}
        self.zero: int | None = None
        self.observation: Observation | None = None
        self.paused = False
        self._reset = False
        self._pictures = -1  # number of the last one taken
        self._cadence = Cadence()  # of the pictures that may be looked at
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(name, work[name]), name=f"enrapt {name}", daemon=True)
            for name in self._devices
        ]

    @property
    def sources(self) -> list[str]:
        """The modalities that something is open for."""
        return list(self._devices)

    def now(self) -> int:
        """ns since the first tick's time."""
        assert self.zero is not None
        return self._clock() - self.zero

    @property
    def counts(self) -> dict[str, Counts]:
        """By modality, where its samples went; complete after the session."""
        return self._aligner.counts

    def __enter__(self) -> Self:
        self._engine.reset()
        self.zero = self._clock()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for thread in self._threads:
            thread.join()
        while not self._inbox.empty():
            self._take(self._inbox.get())
        self._aligner.finish()

    def stop(self) -> None:
        """End the iteration after the tick that is being told; from any thread or signal handler."""
        self._ended.set()

    def reset(self) -> None:
        """Let the model forget everything before its next tick; from any thread."""
        self._reset = True

    def __iter__(self) -> Generator[Estimate]:
        while not self._ended.is_set():
            left = self._pacing.deadline - self.now()
            try:
                self._take(self._inbox.get(timeout=min(max(left, 0) / SECOND, _IDLE)))
                while not self._inbox.empty():
                    self._take(self._inbox.get())
            except queue.Empty:
                pass
            for modality, device in self._devices.items():
                if self.paused or device.state.name == "lost":
                    self._pacing.lost(modality)
            for due in self._pacing.due(self.now()):
                yield self._estimate(due)
                if self._ended.is_set():
                    return

    def _run(self, modality: str, work: Callable[[], None]) -> None:
        try:
            while not self._ended.is_set():
                work()
        except BaseException as error:  # whatever it is, it is raised where the estimates are used
            self._inbox.put(_Piece(modality, [], 0, failure=error))

    def _look(self) -> None:
        assert self.zero is not None
        assert self._face is not None
        picture = self._devices["face"].take(_IDLE)
        if picture is None:
            return
        at = picture.originating_time - self.zero
        self._pictures += 1
        if self.paused or self._pictures % self._face_every:
            self._drop(at, "paused" if self.paused else "skipped")
            return
        self._cadence.seen(at)
        usual = self._cadence.usual
        if usual is not None and at + usual <= self._aligner.time(self._aligner.first_tick(at)):
            self._drop(at, "superseded")  # the next one will come before a tick does
            return
        # Ticks before it need not wait for what is in it.
        self._inbox.put(_Piece("face", [], at - 1))
        began = time.perf_counter_ns()
        image = picture.image
        if image is None:
            self._drop(at, "broken")
            return
        values = self._face.extract(Frame(at, image))
        face_ms = (time.perf_counter_ns() - began) / 1e6
        sample = Sample("face", at, values, self._pictures)
        self._inbox.put(_Piece("face", [sample], at + max(self._cadence.shortest - 1, 0), face_ms))

    def _drop(self, at: int, reason: str) -> None:
        self._inbox.put(_Piece("face", [], at - 1, dropped=reason))

    def _listen(self) -> None:
        assert self.zero is not None
        assert self._audio is not None
        sound = self._devices["audio"].take(_IDLE)
        if sound is None or self.paused:
            return
        samples = self._audio.push(Sound(sound.originating_time - self.zero, sound.samples))
        if samples:
            self._inbox.put(_Piece("audio", samples, samples[-1].originating_time + _SOUND))

    def _receive(self, modality: str, cadence: Cadence) -> None:
        assert self.zero is not None
        sample: Sample | None = self._devices[modality].take(_IDLE)
        if sample is None:
            return
        at = sample.originating_time - self.zero
        if self.paused:
            self._inbox.put(_Piece(modality, [], at, dropped="paused"))
            return
        cadence.seen(at)
        sample = replace(sample, originating_time=at)
        self._inbox.put(_Piece(modality, [sample], at + max(cadence.shortest - 1, 0)))

    def _take(self, piece: _Piece) -> None:
        if piece.failure is not None:
            raise piece.failure
        now = self.now()
        if piece.face_ms is not None:
            self._face_ms[self._aligner.first_tick(piece.samples[-1].originating_time)] = piece.face_ms
        if piece.dropped is not None:
            self.counts[piece.modality].drop(piece.dropped)
        if self._listener is not None:
            for sample in piece.samples:
                self._listener.sample(sample, now)
        self._pacing.take(piece.modality, piece.samples, piece.reached, now)

    def _estimate(self, due: Due) -> Estimate:
        observation = self.observation = due.observation
        if self._reset:
            self._reset = False
            self._engine.reset()
            if self._listener is not None:
                self._listener.mark(observation.time, RESET)
        began = time.perf_counter_ns()
        values: dict[str, NDArray[np.float32] | None] = {**observation.values, **self._context}
        step = self._engine.step(values)
        step_ms = (time.perf_counter_ns() - began) / 1e6
        now = self.now()
        face_ms = [ms for tick, ms in self._face_ms.items() if tick <= observation.tick]
        self._face_ms = {tick: ms for tick, ms in self._face_ms.items() if tick > observation.tick}
        latency = Latency(
            step=step_ms,
            tick=(now - observation.time) / 1e6,
            total=None if due.newest is None else (now - due.newest) / 1e6,
            extract={"face": face_ms[-1]} if face_ms else {},
            waits={modality: ns / 1e6 for modality, ns in due.waits.items()},
        )
        estimate = estimate_of(observation, step, latency)
        if self._listener is not None:
            self._listener.observation(observation)
            self._listener.estimate(estimate)
        return estimate


def _context_values(name: str, values: Sequence[float], engine: Engine) -> NDArray[np.float32]:
    if name not in engine.dims or name in _MAX_AGE:
        raise UserError(f"the bundle has no context {name!r}")
    try:
        numbers = np.asarray(values, np.float32)
    except (TypeError, ValueError):
        numbers = np.empty(0, np.float32)
    dim = engine.dims[name]
    if numbers.shape != (dim,) or not np.isfinite(numbers).all():
        raise UserError(f"context {name}: give {dim} number{'s' * (dim != 1)}, not {values!r}")
    return numbers


class Listener(Protocol):
    """What a session can be recorded by."""

    def sample(self, sample: Sample, arrived: int) -> None: ...
    def observation(self, observation: Observation) -> None: ...
    def estimate(self, estimate: Estimate) -> None: ...
    def mark(self, time: int, label: str) -> None: ...
