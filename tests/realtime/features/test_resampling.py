import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from enrapt.realtime.features.resampling import RATE, Resampler
from enrapt.realtime.streams.samples import SECOND, Sound

Signal = NDArray[np.float32]


def sine(time: NDArray[np.float64] | Signal, frequency: float = 440.0) -> Signal:
    wave: Signal = (0.5 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)
    return wave


def joined(sounds: list[Sound]) -> tuple[int, Signal]:
    """One stretch, whose pieces must follow each other exactly."""
    for a, b in itertools.pairwise(sounds):
        assert b.originating_time - sounds[0].originating_time == pytest.approx(
            a.originating_time - sounds[0].originating_time + a.samples.size * SECOND // RATE, abs=1
        )
    return sounds[0].originating_time, np.concatenate([sound.samples for sound in sounds])


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000])
def test_a_tone_keeps_its_time_and_length(rate: int) -> None:
    source = sine(np.arange(2 * rate) / rate)
    resampler = Resampler(rate)
    sounds: list[Sound] = []
    for i in range(0, source.size, 1000):
        sounds += resampler.push(7 + i * SECOND // rate, source[i : i + 1000])
    time, samples = joined([*sounds, *resampler.flush()])
    assert time == 7
    assert samples.size == 2 * RATE
    inner = slice(400, -400)  # away from the sudden start and end
    np.testing.assert_allclose(samples[inner], sine(np.arange(2 * RATE) / RATE)[inner], atol=2e-6)


NOISE = np.random.default_rng(0).normal(size=30_000).astype(np.float32)


@given(
    cuts=st.lists(st.integers(0, NOISE.size), max_size=30),
    jitter=st.lists(st.integers(-20_000_000, 20_000_000), min_size=31, max_size=31),
)
def test_pieces_and_jitter_have_no_effect(cuts: list[int], jitter: list[int]) -> None:
    whole = Resampler(44_100)
    expected = joined([*whole.push(0, NOISE), *whole.flush()])
    resampler = Resampler(44_100)
    sounds: list[Sound] = []
    for k, (a, b) in enumerate(itertools.pairwise([0, *sorted(cuts), NOISE.size])):
        sounds += resampler.push(a * SECOND // 44_100 + (jitter[k] if k else 0), NOISE[a:b])
    time, samples = joined([*sounds, *resampler.flush()])
    assert time == expected[0]
    np.testing.assert_array_equal(samples, expected[1])


@pytest.mark.parametrize("step", [20_000_001, 3 * SECOND, -20_000_001])
def test_a_step_in_the_times_is_in_the_times_of_the_result(step: int) -> None:
    resampler = Resampler(48_000)
    second = np.zeros(48_000, np.float32)
    sounds = [*resampler.push(0, second)]
    sounds += resampler.push(SECOND + step, second)
    sounds += resampler.flush()
    starts = [0, *(b.originating_time for a, b in itertools.pairwise(sounds) if broken(a, b))]
    assert starts == [0, SECOND + step]
    assert sum(sound.samples.size for sound in sounds) == 2 * RATE


def broken(a: Sound, b: Sound) -> bool:
    return abs(b.originating_time - a.originating_time - a.samples.size * SECOND // RATE) > 1


def test_without_times_samples_are_counted() -> None:
    resampler = Resampler(16_000)
    sounds = [*resampler.push(5, NOISE[:1000]), *resampler.push(None, NOISE[1000:2000]), *resampler.flush()]
    time, samples = joined(sounds)
    assert time == 5
    np.testing.assert_allclose(samples, NOISE[:2000], atol=1e-6)
