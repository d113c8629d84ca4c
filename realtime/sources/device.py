"""What a live source is made of: devices that deliver samples, each in a thread of its own."""

from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class DeviceState(NamedTuple):
    """Attributes:
    name: `open` while something new comes, `lost` while nothing does.
    since: ns on the session's clock; originating time of the first or the last that came.
    """

    name: Literal["open", "lost"]
    since: int


class Inlet(Protocol):
    """Where a device delivers the samples of one modality; any method, from any thread.

    All times are ns on the session's clock (`clock`); the live source subtracts the time of the first tick.
    """

    @property
    def dim(self) -> int:
        """Numbers in a sample."""

    @property
    def max_age(self) -> int:
        """ns after its originating time during which a sample counts as present."""

    @property
    def ready(self) -> bool:
        """Whether samples are wanted: False before the first tick, while paused, and after the end. What a
        device captures then it neither extracts nor keeps, and counts with `drop(inlet.unwanted)`."""

    @property
    def unwanted(self) -> str:
        """Why not: `before_start`, `paused` or `after_end`."""

    def clock(self) -> int:
        """ns; the session's clock now."""

    def next_tick(self, time: int) -> int:
        """ns; the time of the first tick that a sample of that originating time can serve."""

    def sample(
        self,
        values: NDArray[np.float32] | None,
        time: int,
        reached: int | None = None,
        extract_ms: float | None = None,
    ) -> None:
        """Deliver a sample.

        Args:
            values: float32 `[dim]`; None where the sensor worked and there was nothing to measure.
            time: its originating time.
            reached: up to when no other sample is to be expected; `time` if not given.
            extract_ms: what extracting the features took.
        """

    def advance(self, reached: int) -> None:
        """No sample with an originating time ≤ `reached` is to be expected any more."""

    def drop(self, reason: str, n: int = 1) -> None:
        """Count samples as captured and dropped."""

    def fail(self, error: BaseException) -> None:
        """End the run: raised where the estimates are used."""


class Device(Protocol):
    """A camera, a microphone, a stream or pushed features: samples of one modality. It may be lost for a while.

    Its thread extracts features and calls the inlet itself: nothing queues between a device and the tick.

    Attributes:
        name: `camera`, `microphone`, or the modality that it stands for.
        offer_name, schema: see `Offer`.
        restarts: how often it was opened again.
    """

    name: str
    offer_name: str
    schema: str | None

    @property
    def restarts(self) -> int: ...

    @property
    def state(self) -> DeviceState: ...

    @property
    def given(self) -> str:
        """What it really gives, for people: `640×480 at 30 frames/s, MJPG`."""

    def open(self, inlet: Inlet) -> None:
        """Open it and start delivering; wait until something has come.

        Raises:
            UserError: it cannot be opened, and why; nothing is left open then.
        """

    def close(self) -> None:
        """End its thread and process. Nothing is delivered after it."""
