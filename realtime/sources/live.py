"""Live devices as a source: an observation a tick.

Each device has a thread of its own that extracts features and delivers samples; nothing queues between it and
the tick. Ticks come at their rate whether or not anything arrives. Times are ns, 0 at the first tick.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from ...bundle.metadata import ModalitySpec
from ...contracts.errors import UserError, one_line
from ..store.media import MediaWriter
from ..streams.absence import Reason
from ..streams.alignment import Aligner
from ..streams.counts import Counts
from ..streams.pacing import MAX_WAIT, Pacing
from ..streams.samples import SECOND, Observation, Sound
from ..streams.wall_clock import began_at
from .camera import Picture
from .camera_face import CameraFace
from .device import Device
from .inlet import OFFSET, Inlet
from .offer import Offer
from .source import Source, SourceFailure, Wanted

_LOOK: Final = 0.1  # s; how often devices are checked while nothing arrives


class LiveSource(Source):
    """Cameras, microphones, streams and pushed features, live.

    A device whose thread fails is lost for the rest of the session, which continues without it, and is one of
    the `problems`. When the last one fails, iterating raises `SourceFailure`.

    Args:
        devices: of one modality each; those that the run has no use for are not opened.
        max_wait: s; longest wait for late data before a tick is emitted.
        clock: the session's clock, ns.

    Attributes:
        zero, began: the time of the first tick, ns on the session's clock, and by the wall clock: those of
            the first iteration, unless they were set before, for sources that are to have the same.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        max_wait: float = MAX_WAIT / SECOND,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = "live"
        self._all, self.max_wait, self.session_clock = devices, round(max_wait * SECOND), clock
        self.clock = self.now
        self.people = max([d.people for d in devices if isinstance(d, CameraFace)], default=1)
        self._media: MediaWriter | None = None
        self.changed = threading.Condition()  # guards what follows, and the pacing and aligner
        self.zero: int | None = None
        self._failed: dict[str, str] = {}  # by modality: which device, and why its thread ended
        self._last_failure: str | None = None  # of them, after which no device is left
        self._stack = ExitStack()
        self._running: Mapping[str, Device] = {}

    def offers(self, inputs: Sequence[ModalitySpec]) -> Sequence[Offer]:
        self._offers = [
            replace(device.offer_to(inputs)) for device in self._all
        ]  # two cameras offer the same
        return self._offers

    def open(self, wanted: Sequence[Wanted], rate: int) -> None:
        self.aligner = Aligner(0, rate, {w.name: w.max_age for w in wanted})
        self.counts = self.aligner.counts
        running = {w.name: w for w in wanted if w.offer is not None}
        for w in running.values():
            if abs(w.offset) > OFFSET:
                raise UserError(
                    f"--offset {w.name}={w.offset / SECOND:g}: live, at most {OFFSET // SECOND} s either way"
                )
        self.pacing = Pacing(self.aligner, list(running), self.max_wait)
        offered = list(zip(self._offers, self._all, strict=True))
        self._running = {name: next(d for o, d in offered if o is w.offer) for name, w in running.items()}
        self.devices = {}
        for device in self._running.values():
            same = sum(one.name == device.name for one in self.devices.values())
            self.devices[f"{device.name} {same + 1}" if same else device.name] = device
        with ExitStack() as stack:  # what was opened is closed again if the rest cannot be
            for name, device in self._running.items():
                if self.keeps_media:
                    device.keep = self._keep
                try:
                    device.open(Inlet(self, running[name]))
                except UserError:
                    raise
                except Exception as error:
                    raise UserError(f"{device.name}: cannot be opened: {_line(error)}") from error
                stack.callback(device.close)
                if self._failed:
                    raise UserError(*self._failed.values())
            self._stack = stack.pop_all()

    def now(self) -> int:
        """ns since the first tick; 0 before it."""
        return 0 if self.zero is None else self.session_clock() - self.zero

    def keep_media(self, media: MediaWriter) -> None:
        """Keep pictures and sound from now on, with times since the first tick."""
        self._media = media
        media.began = lambda: self.began

    @property
    def materials(self) -> set[str]:
        """What of `pictures` and `sound` the open devices capture."""
        return {device.material for device in self.devices.values() if device.material is not None}

    @property
    def taken(self) -> Mapping[str, str]:
        return {
            name: ": ".join(filter(None, (device.source, device.format)))
            for name, device in self._running.items()
        }

    @property
    def problems(self) -> Sequence[str]:
        return [line for line in self._failed.values() if line != self._last_failure]

    @property
    def notes(self) -> Sequence[str]:
        return [f"{name}: {note}" for name, device in self.devices.items() for note in device.notes]

    def why_missing(self, wanted: Wanted, kind: str, recent: Counts, span: int) -> Reason:
        if wanted.name in self._failed:
            return Reason("failed", "its device was stopped by an error; start enrapt again")
        return Reason(kind, self._running[wanted.name].why_missing(kind, recent, span))

    def fail(self, modality: str, error: BaseException) -> None:
        """The thread of that modality's device has ended; from any thread."""
        name = next(name for name, device in self.devices.items() if device is self._running[modality])
        line = f"{name}: stopped: {_line(error)}"
        with self.changed:
            self._failed[modality] = line
            if self._failed.keys() == self._running.keys():
                self._last_failure = line
            self.changed.notify_all()
        if self.zero is not None and self._last_failure is None:
            self.warn(f"{line}; the session continues without it")

    def __iter__(self) -> Iterator[Observation]:
        zero = self.session_clock() if self.zero is None else self.zero
        if self.began is None:
            self.began = began_at(zero, self.session_clock)
        self.zero = zero
        while (observation := self._next()) is not None:
            yield observation

    def _next(self) -> Observation | None:
        """The next observation, when it is due; None after the end."""
        assert self.zero is not None
        with self.changed:
            while not self.stopped:
                if self._last_failure is not None:
                    raise SourceFailure(f"{self._last_failure}; no device is left")
                for name, device in self._running.items():
                    if self.paused or device.lost or name in self._failed:
                        self.pacing.lose(name)
                observation = self.pacing.next(self.now())
                if observation is not None:
                    timing, due = observation.timing, observation.time + self.zero
                    newest = None if timing.newest is None else timing.newest + self.zero
                    return replace(observation, timing=replace(timing, due=due, newest=newest))
                left = (self.pacing.deadline - self.now()) / SECOND
                self.changed.wait(min(max(left, 0), _LOOK))
        return None

    @property
    def chooses(self) -> bool:
        return any(isinstance(d, CameraFace) and d.chooses for d in self._running.values())

    def follow(self, person: int) -> None:
        cameras = [device for device in self._running.values() if isinstance(device, CameraFace)]
        if not cameras:
            super().follow(person)
        for camera in cameras:
            camera.follow(person)

    def stop(self) -> None:
        with self.changed:
            self.stopped = True
            self.changed.notify_all()

    def close(self) -> None:
        self.stop()
        self._stack.close()
        self.aligner.finish()

    def _keep(self, material: Picture | Sound) -> None:
        if self._media is None or self.zero is None:
            return
        at = material.originating_time - self.zero
        if isinstance(material, Sound):
            self._media.sound(Sound(at, material.samples))
        else:
            self._media.picture(at, material.data)


def _line(error: BaseException) -> str:
    if isinstance(error, UserError):
        return str(error)
    return one_line(" ".join(f"{type(error).__name__}: {error}".removesuffix(": ").split()))
