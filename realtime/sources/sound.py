"""What a device heard, by its own count of samples, as 16 kHz mono sound on the session's clock."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..features.resampling import Resampler
from ..features.steady import Steady
from ..streams.clock import DeviceClock
from ..streams.counts import Counts
from ..streams.samples import SECOND, Sound

WAITING: Final = 1000  # stretches of sound that wait to be taken; 10 s of blocks of 10 ms


class DeviceSound:
    """One thread pushes blocks, another takes sound.

    Args:
        keep: called with all sound, taken or not, by the thread that pushes.
        waiting: stretches of sound that may wait.

    Attributes:
        counts: blocks; captured = used (taken) + dropped by reason + waiting, at any time. Dropped: `full`
            (nobody took them in time), `overlap` (an estimate of the clock was too late, and their time had
            been given away), `after_end` (not taken before the end).
    """

    def __init__(self, keep: Callable[[Sound], None] | None = None, waiting: int = WAITING) -> None:
        self.counts = Counts()
        self._keep, self._most = keep, waiting
        self._clock = DeviceClock()
        self._steady = Steady()
        self._resampler = Resampler(1)
        self._ended = False
        self._changed = threading.Condition()  # guards what follows and the counts
        self._waiting: deque[tuple[Sound, int]] = deque()  # with the number of blocks in it
        self._unsent = 0  # blocks that are in filters

    @property
    def drift(self) -> float:
        """How much more the session's clock advances than the device's, as a ratio: 100e-6 is 100 ppm."""
        return self._clock.drift

    def begin_anew(self, rate: int) -> None:
        """What comes now is at `rate` Hz, after an unknown number of lost samples; also at the beginning."""
        self._clock.begin_anew()
        self._resampler = Resampler(rate)

    def push(self, index: int, host: int, samples: NDArray[np.float32]) -> None:
        """Take a block `[n]`, mono.

        Args:
            index: of its first sample, by the device's count.
            host: what the session's clock showed when that sample was heard, or later; ns.
        """
        device = index * SECOND // self._resampler.rate
        self._clock.observe(device, host)
        with self._changed:
            self.counts.captured += 1
            self._unsent += 1
            for sound in self._resampler.push(device, samples):
                at = self._clock.time(sound.originating_time)
                if at is None:
                    self.counts.dropped["overlap"] += self._unsent
                    self._unsent = 0
                    continue
                for steady in self._steady.push(Sound(at, sound.samples)):
                    if self._keep is not None:
                        self._keep(steady)
                    self._waiting.append((steady, self._unsent))
                    self._unsent = 0
            while len(self._waiting) > self._most:
                self.counts.dropped["full"] += self._waiting.popleft()[1]
            self._changed.notify_all()

    def take(self, timeout: float) -> Sound | None:
        """The next sound, in order; None if there is none within `timeout` seconds, or after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended, timeout)
            if not self._waiting or self._ended:
                return None
            sound, blocks = self._waiting.popleft()
            self.counts.used += blocks
            return sound

    def end(self) -> None:
        """Nothing is taken any more."""
        with self._changed:
            self._ended = True
            self.counts.dropped["after_end"] += self.counts.waiting
            self._waiting.clear()
            self._changed.notify_all()
