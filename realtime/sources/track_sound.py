"""The decoded sound of a track as mono at 16 kHz, with times from a clock fitted to its stamps."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from ..features.downmix import Downmix
from ..features.resampling import RATE, Resampler
from ..features.steady import Steady
from ..streams.fitted import FittedClock, Placed
from ..streams.samples import SECOND, Sound
from .decoded import channels_of

MIN_RATE: Final = 2_000  # Hz; below, there is no speech in it
PAUSE: Final = 30 * SECOND  # ns; sound that is so far behind the pictures has ended, or pauses
_PERIOD: Final = SECOND // RATE  # ns a sample, exactly


class TrackSound:
    """Turns decoded frames into sound; where none is missing, each piece follows the one before it exactly.

    Args:
        channel: the only one to take, from 1; None for a mix of all.

    Attributes:
        overlap: samples at 16 kHz that were cut, as others had their time already.
        jitter: ns; how far a stamp was from the fitted clock at most.
        strays: stamps that were far from it.
        notes: what the mix found, a line each.
    """

    def __init__(self, channel: int | None = None) -> None:
        self._channel = channel
        self._format: tuple[int, tuple[str, ...]] | None = None  # rate, names of channels
        self._drift = 0  # ns; see `Placed`
        self._end: int | None = None  # ns; of what was given
        self.overlap = 0
        self.jitter = self.strays = 0
        self.notes: list[str] = []

    def push(self, time: int | None, frame: AudioFrame) -> Iterator[Sound]:
        """The sound that is settled by the next frame; `time`: ns, of its first sample, None if unknown."""
        names = tuple(channel.name for channel in frame.layout.channels)
        if self._format != (frame.sample_rate, names):
            yield from self.flush()
            self._format = frame.sample_rate, names
            self._downmix = Downmix(names, self._channel)
            self._clock: FittedClock[NDArray[np.float32]] = FittedClock(frame.sample_rate)
            self._resampler, self._steady = Resampler(frame.sample_rate), Steady()
        mono = self._downmix.push(channels_of(frame), frame.sample_rate)
        for placed in self._clock.push(time, mono.size, mono):
            yield from self._given(placed)

    def settle(self, time: int) -> Iterator[Sound]:
        """The sound that waits for more to come, if pictures have gone on to `time` (ns) without any."""
        if self._end is not None and time > self._end + PAUSE:
            yield from self.flush()

    def flush(self) -> Iterator[Sound]:
        """The sound that is still held back."""
        if self._format is None:
            return
        for placed in self._clock.flush():
            yield from self._given(placed)
        yield from self._stretch_end()
        self.jitter = max(self.jitter, self._clock.jitter)
        self.strays += self._clock.strays
        self.notes += [note for note in self._downmix.notes if note not in self.notes]
        self._format = None

    def _given(self, placed: Placed[NDArray[np.float32]]) -> Iterator[Sound]:
        rate = self._resampler.rate
        if placed.begins:
            yield from self._stretch_end()
            self._resampler, self._steady = Resampler(rate), Steady()
        self._drift = placed.drift
        yield from self._steadied(self._resampler.push(placed.time if placed.begins else None, placed.block))

    def _stretch_end(self) -> Iterator[Sound]:
        yield from self._steadied(self._resampler.flush())
        for steady in self._steady.flush():
            yield from self._without_overlap(steady)

    def _steadied(self, sounds: Iterator[Sound]) -> Iterator[Sound]:
        for sound in sounds:
            for steady in self._steady.push(Sound(sound.originating_time + self._drift, sound.samples)):
                yield from self._without_overlap(steady)

    def _without_overlap(self, sound: Sound) -> Iterator[Sound]:
        time, samples = sound.originating_time, sound.samples
        if self._end is not None and (early := self._end - time) >= _PERIOD:
            cut = min(-(-early // _PERIOD), samples.size)
            self.overlap += cut
            time, samples = time + cut * _PERIOD, samples[cut:]
        if samples.size:
            self._end = time + samples.size * _PERIOD
            yield Sound(time, samples)
