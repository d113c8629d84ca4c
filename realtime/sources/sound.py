"""From a device's blocks of sound to samples of `audio/1` at its inlet."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..features.audio import TICK, AudioFeatures
from ..features.resampling import Resampler
from ..features.steady import Steady
from ..streams.clock import DeviceClock
from ..streams.samples import SECOND, Sound
from .device import Inlet

# ns after a sample in which no other comes: they come every 40 ms, by a clock that may be a little fast.
_REACHED: Final = 39 * SECOND // 1000


class DeviceSound:
    """Blocks of mono sound, by a device's own count of samples, to 16 kHz on the session's clock. Pure.

    Attributes:
        overlap: samples at 16 kHz dropped because the estimate of the device's clock had been too late, and
            their time was taken by others.
    """

    def __init__(self) -> None:
        self.overlap = 0
        self._clock = DeviceClock()
        self._steady = Steady()
        self._resampler = Resampler(1)

    @property
    def drift(self) -> float:
        """How much more the session's clock advances than the device's, as a ratio: 100e-6 is 100 ppm."""
        return self._clock.drift

    def restart(self, rate: int) -> None:
        """The next block is at `rate` Hz, and the first one or after an unknown number of lost samples."""
        self._clock.restart()
        self._resampler = Resampler(rate)

    def push(self, index: int, host: int, samples: NDArray[np.float32]) -> list[Sound]:
        """Take a block `[n]`; give the sound that it completes.

        Args:
            index: of its first sample, by the device's count.
            host: what the session's clock showed when that sample was captured, or later; ns.
        """
        device = index * SECOND // self._resampler.rate
        self._clock.observe(device, host)
        sounds: list[Sound] = []
        for sound in self._resampler.push(device, samples):
            at = self._clock.time(sound.originating_time)
            if at is None:
                self.overlap += sound.samples.size
            else:
                sounds.extend(self._steady.push(Sound(at, sound.samples)))
        return sounds


class SoundDelivery:
    """Delivers the audio features of a device's sound, in the thread that pushes.

    The inlet counts samples of features, 40 ms each: sound that is dropped counts as one for every 40 ms.

    Args:
        keep: called with all sound that the inlet wants.
    """

    def __init__(self, inlet: Inlet, keep: Callable[[Sound], None] | None) -> None:
        self._inlet, self._keep = inlet, keep
        self._sound = DeviceSound()
        self._features = AudioFeatures(inlet.modality)
        self._dropped: Counter[str] = Counter()  # samples at 16 kHz that are not counted yet, by reason
        self.restart = self._sound.restart

    @property
    def drift(self) -> float:
        """See `DeviceSound`."""
        return self._sound.drift

    def push(self, index: int, host: int, samples: NDArray[np.float32]) -> None:
        """Take a block; see `DeviceSound.push`."""
        overlap = self._sound.overlap
        for sound in self._sound.push(index, host, samples):
            if (unwanted := self._inlet.unwanted) is not None:
                self.drop(unwanted, sound.samples.size)
                continue
            if self._keep is not None:
                self._keep(sound)
            began = time.perf_counter_ns()
            for sample in self._features.push(sound):
                at, extract_ms = sample.originating_time, (time.perf_counter_ns() - began) / 1e6
                self._inlet.sample(sample.values, at, at + _REACHED, extract_ms)
        self.drop("overlap", self._sound.overlap - overlap)

    def drop(self, reason: str, samples: int) -> None:
        """Count so many samples at 16 kHz as dropped."""
        self._dropped[reason] += samples
        n, self._dropped[reason] = divmod(self._dropped[reason], TICK)
        if n:
            self._inlet.drop(reason, n)
