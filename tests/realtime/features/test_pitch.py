import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from enrapt.realtime.features.pitch import VOICED, WINDOW, pitch
from enrapt.realtime.features.resampling import RATE

SECONDS = np.arange(WINDOW) / RATE


def semitones(f: float, reference: float) -> float:
    return float(12 * np.log2(f / reference))


def stack(f: float, amplitudes: NDArray[np.float64], phases: NDArray[np.float64]) -> NDArray[np.float64]:
    harmonics = 2 * np.pi * f * np.outer(np.arange(1, len(amplitudes) + 1), SECONDS)
    return amplitudes @ np.sin(harmonics + phases[:, None])


@given(f=st.floats(72, 490), phase=st.floats(0, 2 * np.pi), scale=st.floats(1e-4, 1e4))
def test_a_sine_is_its_frequency(f: float, phase: float, scale: float) -> None:
    frequency, strength = pitch(scale * np.sin(2 * np.pi * f * SECONDS + phase))
    assert semitones(frequency, f) == pytest.approx(0, abs=0.1)
    assert strength > 0.95


@given(f=st.floats(62, 490), seed=st.integers(0, 2**32 - 1), fundamental=st.floats(0, 1))
def test_harmonics_give_their_fundamental_however_weak_it_is(f: float, seed: int, fundamental: float) -> None:
    rng = np.random.default_rng(seed)
    n = int(7000 // f)
    amplitudes = rng.uniform(0.2, 1, n)
    amplitudes[0] = fundamental
    frequency, strength = pitch(stack(f, amplitudes, rng.uniform(0, 2 * np.pi, n)))
    assert semitones(frequency, f) == pytest.approx(0, abs=0.02)
    assert strength > 0.95


def test_a_missing_fundamental_is_found() -> None:
    amplitudes = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 1])
    assert pitch(stack(120, amplitudes, np.zeros(10)))[0] == pytest.approx(120, rel=1e-3)


@pytest.mark.parametrize("rate", [-120, 120, 300])  # Hz/s; speech changes by up to about 300
def test_a_sweep_is_its_frequency_in_the_middle_of_the_window(rate: float) -> None:
    middle = SECONDS - WINDOW / RATE / 2
    for f in np.linspace(90, 400, 63):
        phase = 2 * np.pi * (f * middle + rate * middle**2 / 2)
        frequency, strength = pitch(np.sin(phase) + np.sin(2 * phase) / 2 + np.sin(3 * phase) / 3)
        assert semitones(frequency, f) == pytest.approx(0, abs=0.35)
        assert strength > VOICED


def test_a_voice_with_noise_ten_decibels_below_has_no_octave_error() -> None:
    rng = np.random.default_rng(0)
    for f in rng.uniform(80, 400, 300):
        n = int(4000 // f)
        voice = stack(f, 1 / np.arange(1, n + 1), rng.uniform(0, 2 * np.pi, n))
        noise = rng.normal(scale=voice.std() * 10 ** (-10 / 20), size=WINDOW)
        assert semitones(pitch(voice + noise)[0], f) == pytest.approx(0, abs=1)


def test_strength_is_the_periodic_share_of_power() -> None:
    rng = np.random.default_rng(0)
    voice = stack(150, np.ones(20), rng.uniform(0, 2 * np.pi, 20))
    noise = rng.normal(scale=voice.std(), size=(400, WINDOW))
    strengths = [pitch(voice + n)[1] for n in noise]
    assert np.mean(strengths) == pytest.approx(0.5, abs=0.05)


def test_white_noise_is_unvoiced() -> None:
    strengths = [pitch(window)[1] for window in np.random.default_rng(0).normal(size=(1000, WINDOW))]
    assert max(strengths) < VOICED


def test_rumble_below_the_floor_is_unvoiced() -> None:
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.normal(size=(1000, WINDOW + 1600)))
    spectrum[:, np.fft.rfftfreq(WINDOW + 1600, 1 / RATE) > 30] *= 0.003
    windows = np.fft.irfft(spectrum)[:, 800 : 800 + WINDOW]
    assert np.mean([pitch(window)[1] >= VOICED for window in windows]) < 0.01


@pytest.mark.parametrize("window", [np.zeros(WINDOW), np.full(WINDOW, 0.3), np.linspace(-1, 1, WINDOW)])
def test_aperiodic_windows_are_unvoiced(window: NDArray[np.float64]) -> None:
    assert pitch(window)[1] < VOICED


def test_an_offset_changes_nothing() -> None:
    voice = stack(150, np.ones(20), np.zeros(20))
    assert pitch(voice + 100) == pytest.approx(pitch(voice))
