"""Sound at a device's rate to sound at the session's: asynchronous sample rate conversion.

Without it, 200 ppm of drift would be a gap, or 20 ms of sound twice, every 100 s.

Source: J. O. Smith, P. Gossett, "A flexible sampling-rate conversion method", ICASSP 1984 (a windowed sinc
from a table, evaluated at any position).
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..streams.samples import SECOND, Sound
from .resampling import RATE, TOLERANCE

MAX_STRETCH: Final = 1e-3  # a sixtieth of a semitone; crystals need a fifth of it
SETTLING: Final = 2 * RATE  # samples in which a deviation shrinks to 1/e

_PERIOD: Final = SECOND // RATE  # ns a sample, exactly
_TAPS: Final = 64  # flat to 7.5 kHz
_BETA: Final = 6.0  # of the Kaiser window
_LEFT: Final = _TAPS // 2 - 1  # taps before the position
_PHASES: Final = 1024  # positions between two samples; the nearest is used, 70 dB below the sound


def _table() -> NDArray[np.float32]:
    """One row of taps per position between two samples, the first and the last one whole sample apart."""
    position = np.linspace(0, 1, _PHASES + 1)[:, np.newaxis]
    t = np.arange(-_LEFT, _TAPS - _LEFT) - position
    kaiser = np.i0(_BETA * np.sqrt(np.clip(1 - (t / (_TAPS / 2)) ** 2, 0, 1)))
    taps = np.sinc(t) * kaiser
    table: NDArray[np.float32] = (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)
    return table


_TABLE: Final = _table()


class Steady:
    """Resamples sound so that its times follow each other by exactly 1/16,000 s a sample.

    Where the times of the input depart from that, the output is stretched or compressed, by a thousandth at
    most, until they agree. Input that is later than expected by more than 20 ms follows a gap: a new stretch
    begins, at its own time. Times never go back.
    """

    def __init__(self) -> None:
        self._time: int | None = None  # ns; of the next output sample
        self._samples = np.empty(0, np.float32)  # input that taps still need
        self._position = 0.0  # in them, of the next output sample

    def push(self, sound: Sound) -> Iterator[Sound]:
        """Process the next sound; its last 2 ms are held back."""
        deviation = 0
        if self._time is not None:
            expected = self._time + round((self._samples.size - self._position) * _PERIOD)
            deviation = sound.originating_time - expected
        if self._time is None or deviation > TOLERANCE:
            yield from self.flush()
            self._time, deviation = sound.originating_time, 0
            self._samples, self._position = np.zeros(_LEFT, np.float32), float(_LEFT)
        stretch = min(max(deviation / _PERIOD / SETTLING, -MAX_STRETCH), MAX_STRETCH)
        yield from self._take(sound.samples, 1 - stretch)

    def flush(self) -> Iterator[Sound]:
        """The sound that is held back, as if silence followed."""
        if self._time is not None:
            yield from self._take(np.zeros(_TAPS - _LEFT - 1, np.float32), 1.0)
            self._time = None

    def _take(self, samples: NDArray[np.float32], step: float) -> Iterator[Sound]:
        """Add input; give output at every `step` of the position."""
        assert self._time is not None
        self._samples = np.concatenate((self._samples, samples))
        last = self._samples.size - (_TAPS - _LEFT)  # the last position with all its taps
        n = max(0, int((last - self._position) / step) + 1) if self._position <= last else 0
        if n:
            if step == 1 and self._position.is_integer():
                first = int(self._position)
                output = self._samples[first : first + n]
            else:
                output = self._interpolated(self._position + np.arange(n) * np.float64(step))
            yield Sound(self._time, output)
            self._time += n * _PERIOD
            self._position += n * step
            used = int(self._position) - _LEFT
            self._samples = self._samples[used:]
            self._position -= used

    def _interpolated(self, positions: NDArray[np.float64]) -> NDArray[np.float32]:
        whole = positions.astype(np.int64)
        phases = np.rint((positions - whole) * _PHASES).astype(np.int64)
        windows = np.lib.stride_tricks.sliding_window_view(self._samples, _TAPS)[whole - _LEFT]
        samples: NDArray[np.float32] = np.einsum("nt,nt->n", windows, _TABLE[phases])
        return samples
