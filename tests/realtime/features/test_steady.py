import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.realtime.features.resampling import RATE, Resampler
from enrapt.realtime.features.steady import Steady
from enrapt.realtime.streams.clock import DeviceClock
from enrapt.realtime.streams.samples import SECOND, Sound

MS = SECOND // 1000


def true_time(device: int, ppm: float) -> int:
    return device + round(device * ppm * 1e-6)


def sounds(ppm: float, seconds: float, size: int = 160) -> list[Sound]:
    """A tone of 440 Hz by the session's clock, as sampled by a device whose clock is wrong by `ppm`."""
    n = round(seconds * RATE)
    times = np.arange(n) / RATE * (1 + ppm * 1e-6)
    tone = np.sin(2 * np.pi * 440 * times).astype(np.float32)
    return [
        Sound(true_time(i * SECOND // RATE, ppm), tone[i : i + size]) for i in range(0, n - size + 1, size)
    ]


def joined(given_: list[Sound]) -> tuple[int, np.ndarray]:
    for a, b in itertools.pairwise(given_):
        assert b.originating_time == a.originating_time + a.samples.size * SECOND // RATE
    return given_[0].originating_time, np.concatenate([sound.samples for sound in given_])


@pytest.mark.parametrize("ppm", [-200, 0, 200])
def test_steady_sound_has_the_tone_of_the_sessions_clock(ppm: float) -> None:
    steady = Steady()
    time, samples = joined([out for sound in sounds(ppm, 60) for out in steady.push(sound)])
    assert time == 0
    t = np.arange(samples.size) / RATE
    expected = np.sin(2 * np.pi * 440 * t)
    # What is left is the deviation that drives the stretching: 2 s of drift, 0.4 ms.
    shift = 2 * ppm * 1e-6
    np.testing.assert_allclose(samples[-RATE:], np.sin(2 * np.pi * 440 * (t + shift))[-RATE:], atol=2e-3)
    assert np.abs(samples[1000:]).max() < 1.001
    if ppm == 0:
        np.testing.assert_allclose(samples[1000:], expected[1000:], atol=1e-4)


@given(
    cuts=st.lists(st.integers(1, 3000), min_size=1, max_size=40),
    jitter=st.lists(st.integers(-100 * MS, 100 * MS), min_size=40, max_size=40),
)
def test_steady_times_never_go_back(cuts: list[int], jitter: list[int]) -> None:
    steady, start, end, n = Steady(), 0, -SECOND, 0
    for cut, late in zip(cuts, jitter, strict=False):
        for out in steady.push(Sound(start * SECOND // RATE + late, np.ones(cut, np.float32))):
            assert out.originating_time >= end
            end = out.originating_time + out.samples.size * SECOND // RATE
            n += out.samples.size
            assert out.samples.dtype == np.float32
        start += cut
    assert start - 64 * len(cuts) - 0.002 * start <= n <= start * 1.002 + 64


@pytest.mark.parametrize("ppm", [-200, 200])
def test_clicks_keep_their_time(ppm: float) -> None:
    """Clock, resampling and stretching together, as a microphone of 48 kHz uses them, whose host is busy."""
    clock, resampler, steady = DeviceClock(), Resampler(48_000), Steady()
    size, n = 480, 18_000
    late = np.random.default_rng(2).exponential(3e6, n).astype(int).tolist()
    clicks = [true_time(k * SECOND, ppm) for k in range(1, 180, 2)]  # at every second second of the device
    out: list[Sound] = []
    for k in range(n):
        block = np.zeros(size, np.float32)
        if k % 200 == 100:
            block[0] = 1
        device = k * size * SECOND // 48_000
        clock.observe(device, true_time(device, ppm) + late[k])
        for sound in resampler.push(device, block):
            at = clock.time(sound.originating_time)
            assert at is not None
            out += steady.push(Sound(at, sound.samples))
    start, samples = joined(out)
    loud = np.flatnonzero(samples > 0.1)
    found = [h for h in loud if samples[h] >= samples[h - 3 : h + 4].max()]
    assert len(found) == len(clicks)
    wrong = [start + h * SECOND // RATE - click for h, click in zip(found, clicks, strict=True)]
    assert max(map(abs, wrong)) < 20 * MS
    assert max(map(abs, wrong[30:])) < 3 * MS


def test_a_gap_is_in_the_times() -> None:
    steady = Steady()
    first, second = sounds(0, 1), sounds(0, 1)
    for sound in first:
        end = [out.originating_time for out in steady.push(sound)]
    later = [Sound(s.originating_time + SECOND + 300 * MS, s.samples) for s in second]
    begun = [out.originating_time for sound in later for out in steady.push(sound)]
    assert end[-1] < SECOND
    assert begun[0] == SECOND - 2 * MS  # what was held back
    assert begun[1] == SECOND + 300 * MS


def test_steady_passes_what_speech_has_and_adds_nothing() -> None:
    """The gain of tones up to 7 kHz, between the samples as on them."""
    for frequency in (100, 1000, 4000, 7000):
        steady = Steady()
        tone = np.sin(2 * np.pi * frequency * np.arange(10 * RATE) / RATE).astype(np.float32)
        out: list[Sound] = []
        for i in range(0, tone.size, 160):
            ahead = true_time(i * SECOND // RATE, 200)
            out += steady.push(Sound(ahead, tone[i : i + 160]))
        _, samples = joined(out)
        rms = np.sqrt(np.mean(samples[RATE:].astype(float).reshape(-1)[: 8 * RATE] ** 2))
        assert rms == pytest.approx(np.sqrt(0.5), rel=2e-3)
