"""The audio features of a recorded stream of sound."""

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..features.audio import TICK, AudioFeatures
from ..features.downmix import Downmix
from ..features.resampling import RATE, Resampler
from ..features.steady import Steady
from ..streams.axis_arrays import Stream, Times
from ..streams.samples import SECOND, Sample, Sound
from .stream_kind import full_scale

GAP: Final = SECOND // 4  # ns between two samples of sound, of which some are missing

_PIECE: Final = 10  # a second; sound is taken in such pieces


class RecordedSound:
    """Sound timed by its count of samples: through the times of each stretch without a gap goes a line.

    Attributes:
        samples: of `audio/1`.
        dropped: samples at 16 kHz that are in none of them, by reason.
        notes: what was found when it was mixed to mono.
    """

    def __init__(self, modality: str, stream: Stream, series: NDArray[Any], rate: int) -> None:
        """
        Args:
            stream: the times of its samples.
            series: `[n, channels]`; the samples.
            rate: samples/s, nominally.
        """
        self._rate = rate
        features, steady, downmix = AudioFeatures(modality), Steady(), Downmix()
        self.samples: list[Sample] = []
        kept = series if stream.kept.all() else series[stream.kept]
        short = 0
        for begin, end in itertools.pairwise(_edges(stream.own)):
            if (end - begin) * RATE < TICK * rate:  # too short for a vector; there may be millions
                short += end - begin
                continue
            for sound in self._stretch(downmix, kept[begin:end], stream.placed[begin:end]):
                for even in steady.push(sound):
                    self.samples += features.push(even)
            for even in steady.flush():
                self.samples += features.push(even)
        features.finish()
        self.notes = downmix.notes
        outliers = stream.kept.size - stream.own.size
        self.dropped: Counter[str] = features.dropped + Counter(
            outlier=outliers * RATE // rate, unfinished=short * RATE // rate
        )

    def _stretch(self, downmix: Downmix, series: NDArray[Any], times: Times) -> Iterator[Sound]:
        rate, first, period = self._rate, *_line(times, self._rate)
        resampler = Resampler(rate)
        for begin in range(0, len(series), rate // _PIECE):
            mixed = downmix.push(full_scale(series[begin : begin + rate // _PIECE]), rate)
            yield from self._timed(resampler.push(None, mixed), first, period)
        yield from self._timed(resampler.flush(), first, period)

    def _timed(self, sounds: Iterator[Sound], first: int, period: float) -> Iterator[Sound]:
        for sound in sounds:
            count = sound.originating_time * self._rate / SECOND  # of samples before it
            yield Sound(first + round(count * period), sound.samples)


def _edges(times: Times) -> list[int]:
    """Where stretches without a gap begin, and the end of the last one."""
    (gaps,) = np.nonzero(np.abs(np.diff(times)) > GAP)
    return [0, *(gaps + 1).tolist(), times.size] if times.size else []


def _line(times: Times, rate: int) -> tuple[int, float]:
    """The time of the first sample and of a period, ns, by least squares."""
    n = times.size
    if n == 1:
        return int(times[0]), SECOND / rate
    index = np.arange(n) - (n - 1) / 2
    rest = times - times[0]
    period = float(index @ rest) / (n * (n * n - 1) / 12)
    return int(times[0]) + round(float(rest.mean()) - period * (n - 1) / 2), period
