"""Where a live device delivers its samples."""

from collections import deque
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ..streams.samples import SECOND, Sample

if TYPE_CHECKING:
    from .live import LiveSource
    from .source import Wanted


# ns from now; an originating time later or earlier than that is of another clock.
AHEAD: Final = SECOND // 10
BEHIND: Final = 10 * SECOND
OFFSET: Final = 60 * SECOND  # ns; samples wait for their ticks, and older ones than that are of no use

RECENT: Final = 128  # samples; some seconds


class Inlet:
    """Takes the samples of one device; every method may be called from any thread.

    All times are ns on the session's clock, as the device has them: `offset` is added here. The live source's
    times begin at its first tick.

    Attributes:
        modality, schema, dim, max_age, offset: see `Wanted`.
        max_wait: ns; the longest that a tick waits for late samples.
    """

    def __init__(self, source: "LiveSource", wanted: "Wanted") -> None:
        self._source, self.modality, self.offset = source, wanted.name, wanted.offset
        self.schema, self.dim, self.max_age = wanted.schema, wanted.dim, wanted.max_age
        self.max_wait = source.max_wait
        self._sequence = 0
        self._lateness: deque[int] = deque(maxlen=RECENT)

    @property
    def unwanted(self) -> str | None:
        """None while samples are wanted, else why not: `before_start`, `paused` or `after_end`. What a device
        captures then it neither extracts nor keeps, and counts with `drop(reason)`."""
        source = self._source
        if source.zero is None:
            return "before_start"
        return "after_end" if source.stopped else "paused" if source.paused else None

    @property
    def lost_after(self) -> int:
        """ns without a sample after which a stream is lost. One that sends in bursts is not between them, if
        the run waits for it: ticks that wait are released when a source is lost."""
        return self.max_wait + 2 * self.max_age

    @property
    def lateness(self) -> list[int]:
        """ns from originating time to arrival, of the last samples with values."""
        with self._source.changed:
            return list(self._lateness)

    def clock(self) -> int:
        """The session's clock now."""
        return self._source.session_clock()

    def next_tick(self, time: int) -> int:
        """The time of the first tick that a sample of that originating time can serve."""
        aligner, start = self._source.aligner, (self._source.zero or 0) - self.offset
        return aligner.time(aligner.first_tick(time - start)) + start

    def plausible(self, time: int) -> bool:
        """Whether an originating time, with the offset, is near enough to now to be of the same clock."""
        now = self.clock()
        return now - BEHIND <= time + self.offset <= now + AHEAD + max(0, self.offset)

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
            reached: no other sample with an originating time up to this is expected; `time` if not given.
            extract_ms: how long feature extraction took.
        """
        source = self._source
        if (reason := self.unwanted) is not None:  # since its extraction began
            self.drop(reason)
            return
        assert source.zero is not None
        if values is not None and values.shape != (self.dim,):
            raise ValueError(f"{self.modality} has shape {values.shape}, expected ({self.dim},)")
        start = source.zero - self.offset
        sample = Sample(self.modality, time - start, values, self._sequence)
        self._sequence += 1
        with source.changed:
            now = source.now()
            if values is not None:
                self._lateness.append(now - sample.originating_time)
            if source.arrivals is not None:
                source.arrivals.append((sample, now))
            source.pacing.push(sample, (time if reached is None else reached) - start, now, extract_ms)
            source.changed.notify_all()

    def advance(self, reached: int) -> None:
        """No sample with an originating time ≤ `reached` is expected any more."""
        source = self._source
        if source.zero is not None:
            with source.changed:
                source.pacing.advance(self.modality, reached + self.offset - source.zero, source.now())
                source.changed.notify_all()

    def drop(self, reason: str, n: int = 1) -> None:
        """Count samples as captured and dropped."""
        with self._source.changed:
            self._source.counts[self.modality].drop(reason, n)

    def warn(self, line: str) -> None:
        """Show the user one line about this device; the run continues."""
        self._source.warn(line)

    def fail(self, error: BaseException) -> None:
        """The device's thread has ended with this error; the session continues without the device."""
        self._source.fail(self.modality, error)
