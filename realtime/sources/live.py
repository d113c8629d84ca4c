"""Devices go in, an observation a tick comes out, for as long as one likes.

Each device has a thread of its own that extracts features and delivers samples; nothing queues between it and
the tick. Ticks come at their rate whether or not anything arrives. Times are ns, 0 at the first tick.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...bundle.metadata import ModalitySpec
from ..store.media import MediaWriter
from ..streams.alignment import Aligner
from ..streams.counts import Counts
from ..streams.pacing import MAX_WAIT, Pacing
from ..streams.samples import SECOND, Observation, Sample, Sound
from .camera import Picture
from .device import Device
from .source import Offer, Source, Wanted

_LOOK: Final = 0.1  # s; how often devices are checked while nothing arrives


class LiveSource(Source):
    """Cameras, microphones, streams and pushed features, live.

    Args:
        devices: of one modality each; those that the run has no use for are not opened.
        max_wait: s after its time at which a tick is emitted at the latest.
        clock: the session's clock, ns.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        max_wait: float = MAX_WAIT / SECOND,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.name = "live"
        self._all, self._max_wait, self.session_clock = devices, round(max_wait * SECOND), clock
        self.clock = self.now
        self._media: MediaWriter | None = None
        self.changed = threading.Condition()  # guards what follows, and the pacing and aligner
        self.zero: int | None = None  # ns on the session's clock; the time of the first tick
        self.failure: BaseException | None = None
        self.arrivals: list[tuple[Sample, int]] | None = None
        self.extract: dict[str, dict[int, float]] = {}  # ms, by modality and tick
        self._stack = ExitStack()
        self._running: Mapping[str, Device] = {}

    def offers(self, inputs: Sequence[ModalitySpec]) -> Sequence[Offer]:
        self._offers = [Offer(d.offer_name, d.schema, d.dim, d.required) for d in self._all]
        return self._offers

    def open(self, wanted: Sequence[Wanted], rate: int) -> None:
        self.aligner = Aligner(0, rate, {w.name: w.max_age for w in wanted})
        running = {w.name: w for w in wanted if w.offer is not None}
        self.pacing = Pacing(self.aligner, list(running), self._max_wait)
        self._running = {
            name: device
            for name, w in running.items()
            for device, offer in zip(self._all, self._offers, strict=True)
            if offer is w.offer
        }
        self.devices = {device.name: device for device in self._running.values()}
        with ExitStack() as stack:  # what was opened is closed again if the rest cannot be
            for name, device in self._running.items():
                if self.keeps_media:
                    device.keep = self._keep
                device.open(LiveInlet(self, running[name]))
                stack.callback(device.close)
            self._stack = stack.pop_all()

    def now(self) -> int:
        """ns since the first tick; 0 before it."""
        return 0 if self.zero is None else self.session_clock() - self.zero

    def keep_media(self, media: MediaWriter) -> None:
        """Keep pictures and sound from now on, with times since the first tick."""
        self._media = media

    @property
    def materials(self) -> set[str]:
        """What of `pictures` and `sound` the open devices capture."""
        return {device.material for device in self.devices.values() if device.material is not None}

    @property
    def counts(self) -> Mapping[str, Counts]:
        return self.aligner.counts

    def __iter__(self) -> Iterator[Observation]:
        self.zero = self.session_clock()
        while (observation := self._next()) is not None:
            yield observation

    def _next(self) -> Observation | None:
        """The next observation, when it is due; None after the end."""
        assert self.zero is not None
        with self.changed:
            while not self.stopped:
                if self.failure is not None:
                    raise self.failure
                for name, device in self._running.items():
                    if self.paused or device.state.name == "lost":
                        self.pacing.lose(name)
                observation = self.pacing.next(self.now())
                if observation is not None:
                    return self._timed(observation)
                left = (self.pacing.deadline - self.now()) / SECOND
                self.changed.wait(min(max(left, 0), _LOOK))
        return None

    def _timed(self, observation: Observation) -> Observation:
        assert self.zero is not None
        extract = {}
        for name, by_tick in self.extract.items():
            for tick in [tick for tick in by_tick if tick <= observation.tick]:
                extract[name] = by_tick.pop(tick)
        timing = observation.timing
        newest = None if timing.newest is None else timing.newest + self.zero
        return replace(
            observation,
            timing=replace(timing, due=observation.time + self.zero, newest=newest, extract=extract),
        )

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


class LiveInlet:
    """Where one device delivers; see `device.Inlet`."""

    def __init__(self, source: LiveSource, wanted: Wanted) -> None:
        self._source, self.modality = source, wanted.name
        self.schema, self.dim, self.max_age = wanted.schema, wanted.dim, wanted.max_age
        self._sequence = 0
        self._extract: dict[int, float] = {}
        source.extract[wanted.name] = self._extract

    @property
    def unwanted(self) -> str | None:
        source = self._source
        if source.zero is None:
            return "before_start"
        return "after_end" if source.stopped else "paused" if source.paused else None

    def clock(self) -> int:
        return self._source.session_clock()

    def next_tick(self, time: int) -> int:
        aligner, zero = self._source.aligner, self._source.zero or 0
        return aligner.time(aligner.first_tick(time - zero)) + zero

    def sample(
        self,
        values: NDArray[np.float32] | None,
        time: int,
        reached: int | None = None,
        extract_ms: float | None = None,
    ) -> None:
        source = self._source
        if (reason := self.unwanted) is not None:  # since its extraction began
            self.drop(reason)
            return
        assert source.zero is not None
        if values is not None and values.shape != (self.dim,):
            raise ValueError(f"{self.modality} has shape {values.shape}, expected ({self.dim},)")
        at = time - source.zero
        sample = Sample(self.modality, at, values, self._sequence)
        self._sequence += 1
        with source.changed:
            now = source.now()
            if source.arrivals is not None:
                source.arrivals.append((sample, now))
            if extract_ms is not None:
                self._extract[source.aligner.first_tick(at)] = extract_ms
            source.pacing.push(sample, at if reached is None else reached - source.zero, now)
            source.changed.notify_all()

    def advance(self, reached: int) -> None:
        source = self._source
        if source.zero is not None:
            with source.changed:
                source.pacing.advance(self.modality, reached - source.zero, source.now())
                source.changed.notify_all()

    def drop(self, reason: str, n: int = 1) -> None:
        with self._source.changed:
            self._source.aligner.counts[self.modality].drop(reason, n)

    def warn(self, line: str) -> None:
        self._source.warn(line)

    def fail(self, error: BaseException) -> None:
        with self._source.changed:
            self._source.failure = error
            self._source.changed.notify_all()
