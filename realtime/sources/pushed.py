"""Features that the program itself measures and pushes."""

import threading
import time as clocks
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...contracts.errors import UserError
from ..streams.cadence import Cadence
from ..streams.counts import Counts
from ..streams.samples import SECOND
from .device import Device
from .offer import Offer
from .stream_kind import vector

LOST: Final = SECOND  # ns without a sample, or the inlet's `lost_after` if that is more: the device is lost


class Pushed(Device):
    """A modality whose samples are pushed from Python, from any threads.

        gaze = Pushed("gaze", dim=3)
        …
        gaze.push([0.1, -0.2, 0.9])

    It has no thread. While nothing is pushed it is lost: its modality is missing and no tick waits for it.
    Dropped samples are counted by reason: `wrong_time` (later than now, or more than 10 s ago), and the
    inlet's reasons.

    Args:
        modality: the bundle's name for it.
        schema: its feature schema, if it has one.
        dim: numbers in a sample; what the bundle expects if not given.
    """

    def __init__(self, modality: str, schema: str | None = None, dim: int | None = None) -> None:
        super().__init__()
        self.name = modality
        self.offer = Offer(modality, schema, dim, required=True)
        self.source = "pushed"
        self._lock = threading.Lock()  # held while a sample is delivered
        self._opened = False
        self._shift = 0  # ns; from `monotonic_ns` to the session's clock
        self._lost_after = LOST
        self._pushed_at = 0  # ns; when the newest sample came
        self._cadence = Cadence()
        self._warned = False  # that times are wrong
        self._ahead = 0  # ns; of the last wrong time, from now

    @property
    def lost(self) -> bool:
        return self._lost or self._inlet.clock() - self._pushed_at > self._lost_after

    def _open(self) -> None:
        dim = self.offer.dim
        if dim not in (None, self._inlet.dim):
            raise UserError(f"{self.name}: pushes {dim} numbers, and the bundle expects {self._inlet.dim}")
        self._format = self.offer.schema or f"{self._inlet.dim} numbers"
        with self._lock:
            self._shift = self._inlet.clock() - clocks.monotonic_ns()
            self._lost_after = max(LOST, self._inlet.lost_after)
            self._opened = True

    def close(self) -> None:
        with self._lock:
            self._opened = False

    def push(self, values: Sequence[float] | NDArray[np.generic] | None, time: int | None = None) -> None:
        """Deliver a sample; does not wait. Without effect before the run begins and after its end.

        Args:
            values: `[dim]`, copied; missing if any of them is not finite, or None.
            time: its originating time, ns of `time.monotonic_ns()`; now if not given.

        Raises:
            UserError: it has another number of values, or they are not numbers.
        """
        now = clocks.monotonic_ns()
        with self._lock:
            if not self._opened:
                return
            inlet = self._inlet
            features = None if values is None else self._checked(values, inlet.dim)
            time = now if time is None else time
            at = time + self._shift
            if not inlet.plausible(at):
                inlet.drop("wrong_time")
                self._ahead = time - now
                if not self._warned:
                    self._warned = True
                    off = (time - now) / SECOND
                    inlet.warn(f"{self.name}: pushed {off:+.0f} s from now; times are time.monotonic_ns()")
                return
            self._pushed_at = now + self._shift
            self._lost = False
            if (reason := inlet.unwanted) is not None:
                inlet.drop(reason)
                return
            self._cadence.add(at)
            inlet.sample(features, at, at + self._cadence.quiet)

    def why_missing(self, kind: str, recent: Counts, span: int) -> str:
        if kind == "nothing":
            return "nothing is pushed"
        if kind == "wrong_time":
            return self.why_wrong_time(self._ahead)
        return super().why_missing(kind, recent, span)

    def _checked(self, values: Sequence[float] | NDArray[np.generic], dim: int) -> NDArray[np.float32] | None:
        try:
            numbers = np.array(values, np.float64)
        except (TypeError, ValueError):
            numbers = np.empty(0)
        if numbers.shape != (dim,):
            raise UserError(f"{self.name}: push {dim} number{'s' * (dim != 1)}, not {values!r:.80}")
        return vector(numbers)
