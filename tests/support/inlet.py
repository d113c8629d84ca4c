"""An inlet that records the calls of a device."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from enrapt.realtime.sources.inlet import Inlet
from enrapt.realtime.streams.samples import SECOND


class Delivered(NamedTuple):
    values: NDArray[np.float32] | None
    time: int
    reached: int
    extract_ms: float | None
    arrived: int


class FakeInlet:
    """An inlet of the modality `modality`, whose clock started 5 s before it was made.

    Attributes:
        unwanted: None; set it to a reason to have samples dropped.
        samples: those delivered, in order.
        dropped: by reason.
        reached: the latest watermark.
        lateness: of the last samples, ns; set by a test.
        warnings, errors: given to `warn` and `fail`.
    """

    def __init__(
        self, dim: int, schema: str | None = None, max_age: float = 0.25, unwanted: str | None = None
    ) -> None:
        self.modality, self.offset = "modality", 0
        self.dim, self.schema, self.max_age, self.unwanted = dim, schema, round(max_age * SECOND), unwanted
        self.max_wait, self.lateness = 0, []
        self.shift = 5 * SECOND - time.monotonic_ns()
        self.tick = SECOND // 25
        self.samples: list[Delivered] = []
        self.dropped: Counter[str] = Counter()
        self.reached = 0
        self.warnings: list[str] = []
        self.errors: list[BaseException] = []
        self.changed = threading.Condition()

    @property
    def captured(self) -> int:
        with self.changed:
            return len(self.samples) + self.dropped.total()

    def clock(self) -> int:
        return time.monotonic_ns() + self.shift

    def next_tick(self, time: int) -> int:
        return -(-time // self.tick) * self.tick

    plausible, lost_after = Inlet.plausible, Inlet.lost_after

    def sample(
        self,
        values: NDArray[np.float32] | None,
        time: int,
        reached: int | None = None,
        extract_ms: float | None = None,
    ) -> None:
        with self.changed:
            reached = time if reached is None else reached
            self.samples.append(Delivered(values, time, reached, extract_ms, self.clock()))
            self.reached = max(self.reached, reached)
            self.changed.notify_all()

    def advance(self, reached: int) -> None:
        self.reached = max(self.reached, reached)

    def drop(self, reason: str, n: int = 1) -> None:
        with self.changed:
            self.dropped[reason] += n
            self.changed.notify_all()

    def warn(self, line: str) -> None:
        self.warnings.append(line)

    def fail(self, error: BaseException) -> None:
        self.errors.append(error)

    def wait(self, n: int, seconds: float = 10) -> list[Delivered]:
        """The next `n` samples from now on."""
        with self.changed:
            first = len(self.samples)
            assert self.changed.wait_for(lambda: len(self.samples) >= first + n, seconds), self.dropped
            return self.samples[first : first + n]


def until(condition: Callable[[], object], seconds: float) -> float:
    """How long it took until the condition held, s; fails after `seconds`."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "not in time"
        time.sleep(0.005)
    return time.monotonic() - began
