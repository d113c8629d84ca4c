"""Sound of any sampling rate to 16 kHz, with times from counting samples."""

from collections.abc import Iterator
from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray

from ..streams.samples import SECOND, Sound

RATE: Final = 16_000  # samples/s
TOLERANCE: Final = SECOND // 50  # ns: 20 ms; time stamps of containers and drivers jitter by less

_EMPTY: Final = np.empty(0, np.float32)


class Resampler:
    """Resamples a stream of mono sound at `rate` to 16 kHz without delay: an event keeps its time.

    The first time stamp sets the time; later ones are used only where they depart from the count of samples
    by more than 20 ms. There the stream ends and another begins, so that the gap, or the step back, is in the
    times of the output. Smaller deviations are jitter of the container."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._soxr: soxr.ResampleStream | None = None
        self._start = 0  # ns; of this stream
        self._taken = 0  # samples in, at `rate`
        self._given = 0  # samples out, at 16 kHz

    def push(self, time: int | None, samples: NDArray[np.float32]) -> Iterator[Sound]:
        """Process the next samples `[n]`; `time`: ns, of the first of them, None if unknown."""
        expected = self._start + self._taken * SECOND // self.rate
        if self._soxr is None or (time is not None and abs(time - expected) > TOLERANCE):
            yield from self.flush()
            self._soxr = soxr.ResampleStream(self.rate, RATE, 1, dtype="float32")
            self._start, self._taken, self._given = expected if time is None else time, 0, 0
        self._taken += samples.size
        yield from self._give(self._soxr.resample_chunk(samples))

    def flush(self) -> Iterator[Sound]:
        """End the stream: the samples that the filter holds back."""
        if self._soxr is not None:
            yield from self._give(self._soxr.resample_chunk(_EMPTY, last=True))
            self._soxr = None

    def _give(self, samples: NDArray[np.float32]) -> Iterator[Sound]:
        if samples.size:
            time = self._start + self._given * SECOND // RATE
            self._given += samples.size
            yield Sound(time, samples)
