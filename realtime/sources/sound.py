"""From a device's blocks of sound to samples of `audio/1`, or `speaking/1`, at its inlet."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...contracts.schemas import OWN, SPEAKING
from ..features.audio import TICK, AudioFeatures
from ..features.resampling import Resampler
from ..features.speaking import SpeakingFeatures
from ..features.steady import Steady
from ..streams.clock import DeviceClock
from ..streams.samples import SECOND, Sound
from .inlet import Inlet

# ns after a sample in which no other comes: they come every 40 ms, by a clock that may be a little fast.
_REACHED: Final = 39 * SECOND // 1000

# Why sound has no features; for the user.
SILENCE: Final = "the sound is digital silence; unmute the microphone, or choose another"


class SoundDelivery:
    """Delivers the audio features of a device's sound, in the thread that pushes.

    The sound, timed by the device's own count of samples, is brought to 16 kHz on the session's clock. The
    inlet counts samples of features, 40 ms each: sound that is dropped counts as one for every 40 ms. It is
    dropped as `overlap` where the estimate of the device's clock had been too late, and its time was taken.

    Args:
        keep: called with all sound that the inlet wants.
    """

    def __init__(self, inlet: Inlet, keep: Callable[[Sound], None] | None) -> None:
        self._inlet, self._keep = inlet, keep
        self.clock = DeviceClock()
        self._resampler = Resampler(1)
        self._steady = Steady()
        if (
            inlet.schema == SPEAKING.name
        ):  # the person's own microphone is muted by hand, a robot's channel is not
            self._features: AudioFeatures = SpeakingFeatures(inlet.modality, silent=inlet.modality != OWN)
        else:
            self._features = AudioFeatures(inlet.modality)
        self._dropped: Counter[str] = Counter()  # samples at 16 kHz that are not counted yet, by reason

    def restart(self, rate: int) -> None:
        """The next block is at `rate` Hz, and the first one or after an unknown number of lost samples."""
        self.clock.restart()
        self._resampler = Resampler(rate)

    def push(self, index: int, host: int, samples: NDArray[np.float32]) -> None:
        """Take a block `[n]` of mono sound.

        Args:
            index: of its first sample, by the device's count.
            host: what the session's clock showed when that sample was captured, or later; ns.
        """
        device = index * SECOND // self._resampler.rate
        self.clock.observe(device, host)
        for sound in self._resampler.push(device, samples):
            if (at := self.clock.time(sound.originating_time)) is None:
                self.drop("overlap", sound.samples.size)
                continue
            for steady in self._steady.push(Sound(at, sound.samples)):
                self._deliver(steady)

    def _deliver(self, sound: Sound) -> None:
        if (unwanted := self._inlet.unwanted) is not None:
            self.drop(unwanted, sound.samples.size)
            return
        if self._keep is not None:
            self._keep(sound)
        began = time.perf_counter_ns()
        for sample in self._features.push(sound):
            at, extract_ms = sample.originating_time, (time.perf_counter_ns() - began) / 1e6
            self._inlet.sample(sample.values, at, at + _REACHED, extract_ms)

    def drop(self, reason: str, samples: int) -> None:
        """Count so many samples at 16 kHz as dropped."""
        self._dropped[reason] += samples
        n, self._dropped[reason] = divmod(self._dropped[reason], TICK)
        if n:
            self._inlet.drop(reason, n)
