import math
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from enrapt.contracts.errors import UserError
from enrapt.realtime.features.downmix import Downmix

RATE = 48_000
STEREO = ["FL", "FR"]
FIVE_ONE = ["FL", "FR", "FC", "LFE", "BL", "BR"]
ANTIPHASE = "the two channels of the sound are in antiphase: the second was inverted"
Signal = NDArray[np.float64]


def noise(seconds: float = 2.0, level: float = -24.8, seed: int = 1) -> Signal:
    """White, of that level in dBFS."""
    n = round(seconds * RATE)
    return np.random.default_rng(seed).uniform(-1, 1, n) * math.sqrt(3) * 10 ** (level / 20)


def channels(*signals: Signal | float) -> NDArray[np.float32]:
    """`[n, channels]`; a number for one that is constant."""
    return np.stack(np.broadcast_arrays(*signals), axis=1).astype(np.float32)


def mixed(sound: NDArray[np.float32], downmix: Downmix, size: int = 1024) -> NDArray[np.float32]:
    blocks = [downmix.push(sound[i : i + size], RATE) for i in range(0, len(sound), size)]
    return np.concatenate(blocks)


def level(signal: NDArray[np.floating]) -> float:
    return float(10 * np.log10(np.mean(np.square(signal, dtype=np.float64))))


# Levels


@pytest.mark.parametrize("layout", [STEREO, FIVE_ONE, ["FL", "FR", "BL", "BR"], None, ["NONE"] * 3])
def test_a_voice_on_any_one_channel_keeps_its_level(layout: list[str] | None) -> None:
    count = 4 if layout is None else len(layout)
    for k in range(count):
        if layout is not None and layout[k] == "LFE":
            continue
        downmix = Downmix(layout)
        voice = noise()
        sound = channels(*(voice if i == k else 0.0 for i in range(count)))
        np.testing.assert_allclose(mixed(sound, downmix), sound[:, k], rtol=1e-6)
        others = [str(i + 1) for i in range(count) if i != k and (layout is None or layout[i] != "LFE")]
        which = (
            f"channel {others[0]} of 2 is" if count == 2 else f"channels {', '.join(others)} of {count} are"
        )
        assert downmix.notes == [f"{which} silent: left out"]


@pytest.mark.parametrize("layout", [STEREO, FIVE_ONE, ["FC"], None, ["NONE"] * 3])
def test_the_same_sound_on_all_channels_keeps_its_level(layout: list[str] | None) -> None:
    voice = noise()
    downmix = Downmix(layout)
    sound = channels(*[voice] * (2 if layout is None else len(layout)))
    np.testing.assert_allclose(mixed(sound, downmix), voice, rtol=1e-5, atol=1e-8)
    assert downmix.notes == []


def test_stereo_is_the_mean_bit_for_bit() -> None:
    sound = channels(noise(seed=1), 0.3 * noise(seed=2))
    mean = sound.mean(axis=1, dtype=np.float64).astype(np.float32)
    downmix = Downmix(STEREO)
    np.testing.assert_array_equal(mixed(sound, downmix), mean)
    np.testing.assert_array_equal(mixed(sound, Downmix()), mean)
    assert downmix.notes == []


def test_a_voice_in_the_centre_keeps_its_level_among_others() -> None:
    voice = noise()
    room = [noise(level=-50, seed=k) for k in range(2, 7)]
    mono = mixed(channels(room[0], room[1], voice, *room[2:]), Downmix(FIVE_ONE))
    assert level(mono) == pytest.approx(-24.8, abs=0.1)


def test_weights_of_a_known_layout() -> None:
    # Unrelated sounds: powers add. The centre is far the loudest, so that the mix is not limited.
    levels = np.array([-30, -34, -20, -10, -32, -31])
    parts = [noise(5, db, seed=k) for k, db in enumerate(levels)]
    mono = mixed(channels(*parts), Downmix(FIVE_ONE))
    weights = np.array([0.5, 0.5, 1, 0, 0.5 / math.sqrt(2), 0.5 / math.sqrt(2)])
    expected = sum(w * part for w, part in zip(weights, parts, strict=True))
    gain = float(mono @ expected / (expected @ expected))
    np.testing.assert_allclose(mono, gain * expected, atol=5e-3 * np.abs(expected).max())
    assert gain == pytest.approx(10 ** ((-20 - level(expected)) / 20), rel=2e-3)  # as loud as the centre


def test_loud_bass_does_not_make_a_quiet_voice_silent() -> None:
    voice = noise(level=-61)
    mono = mixed(channels(0.0, 0.0, voice, noise(level=-10, seed=2), 0.0, 0.0), Downmix(FIVE_ONE))
    np.testing.assert_allclose(mono, voice, rtol=1e-5, atol=1e-9)


# Silent channels


def test_a_channel_with_faint_hum_is_left_out() -> None:
    voice = noise()
    hum = 1e-4 * np.sin(2 * np.pi * 50 * np.arange(voice.size) / RATE)  # −83 dBFS
    downmix = Downmix(STEREO)
    np.testing.assert_allclose(mixed(channels(hum, voice), downmix), voice, rtol=1e-5, atol=1e-9)
    assert downmix.notes == ["channel 1 of 2 is silent: left out"]


def test_two_quiet_channels_are_both_heard() -> None:
    a, b = noise(level=-70, seed=1), noise(level=-90, seed=2)
    mono = mixed(channels(a, b), Downmix(STEREO))
    np.testing.assert_allclose(mono, (a + b) / 2, rtol=1e-5, atol=1e-9)


def test_a_channel_that_begins_to_sound_is_heard_at_once_and_left_out_after_ten_seconds() -> None:
    voice, other = noise(20), noise(20, seed=2)
    at = np.arange(voice.size) / RATE
    other[(at < 3) | (at >= 4)] = 0
    downmix = Downmix(STEREO)
    mono = mixed(channels(voice, other), downmix, size=960)
    np.testing.assert_allclose(mono[at < 3], voice[at < 3], rtol=1e-5)
    both = (at >= 3.005) & (at < 9)
    np.testing.assert_allclose(mono[both], ((voice + other) / 2)[both], rtol=1e-4, atol=1e-7)
    late = at > 14.01
    np.testing.assert_allclose(mono[late], voice[late], rtol=1e-5)
    (note,) = downmix.notes
    assert note.startswith("channel 2 of 2 is silent: left out for ")
    assert note.endswith(" of 20.0 s")


def test_weights_change_without_a_click() -> None:
    at = np.arange(2 * RATE) / RATE
    left = 0.5 * np.sin(2 * np.pi * 100 * at)
    right = np.where(at < 1, 0, 0.01 * np.sin(2 * np.pi * 150 * at))
    mono = mixed(channels(left, right), Downmix(STEREO), size=960)
    steepest = np.abs(np.diff(left)).max()
    assert np.abs(np.diff(mono)).max() < 1.5 * steepest
    assert np.abs(mono[round(1.006 * RATE) :]).max() < 0.26


def test_digital_silence_keeps_the_decision() -> None:
    voice = noise(30)
    voice[5 * RATE : 25 * RATE] = 0
    downmix = Downmix(STEREO)
    np.testing.assert_allclose(mixed(channels(0.0, voice), downmix), voice, rtol=1e-6)
    assert downmix.notes == ["channel 1 of 2 is silent: left out"]


def test_silence_has_no_notes() -> None:
    downmix = Downmix(STEREO)
    assert not mixed(channels(np.zeros(RATE), 0.0), downmix).any()
    assert downmix.notes == []
    assert Downmix(STEREO).notes == []


# Antiphase


def test_antiphase_is_noticed_from_the_first_block() -> None:
    voice = noise()
    downmix = Downmix(STEREO)
    np.testing.assert_allclose(mixed(channels(voice, -voice), downmix), voice, rtol=1e-6)
    assert downmix.notes == [ANTIPHASE]


def test_antiphase_after_silence_in_a_long_block() -> None:
    voice = noise(3)
    voice[:RATE] = 0
    sound = channels(voice, -0.7 * voice + noise(3, level=-45, seed=2) * (voice != 0))
    mono = mixed(sound, Downmix(STEREO), size=RATE)
    np.testing.assert_allclose(mono[RATE + 240 :], (sound[:, 0] - sound[:, 1])[RATE + 240 :] / 2, rtol=1e-4)


def test_antiphase_of_two_live_channels_among_six() -> None:
    voice = noise()
    downmix = Downmix(FIVE_ONE)
    mono = mixed(channels(voice, -voice, 0.0, 0.0, 0.0, 0.0), downmix)
    np.testing.assert_allclose(mono, voice, rtol=1e-6)
    assert downmix.notes[-1] == ANTIPHASE


def test_what_is_no_longer_in_antiphase_is_not_inverted() -> None:
    voice = noise(30)
    second = np.where(np.arange(voice.size) < 5 * RATE, -voice, voice)
    mono = mixed(channels(voice, second), Downmix(STEREO))
    np.testing.assert_allclose(mono[20 * RATE :], voice[20 * RATE :], rtol=1e-6)


def test_unrelated_channels_are_not_inverted() -> None:
    downmix = Downmix(STEREO)
    mixed(channels(noise(), noise(seed=2)), downmix)
    assert downmix.notes == []


# One channel


def test_one_channel_is_taken_alone() -> None:
    sound = channels(noise(), noise(seed=2), 0.0)
    for k in (1, 2, 3):
        downmix = Downmix(channel=k)
        np.testing.assert_array_equal(mixed(sound, downmix), sound[:, k - 1])
        assert downmix.notes == []


@pytest.mark.parametrize("channel", [0, -1, 3])
def test_a_channel_that_is_not_there(channel: int) -> None:
    message = f"channel {channel} of the sound: there are channels 1 to 2; give one of them"
    with pytest.raises(UserError, match=message):
        Downmix(STEREO, channel)
    with pytest.raises(UserError, match=message):
        Downmix(channel=channel).push(np.zeros((10, 2), np.float32), RATE)
    with pytest.raises(UserError, match="there is one channel"):
        Downmix(["FC"], 2)


# Robustness


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 8), st.lists(st.integers(0, 3000), max_size=12), st.integers(0, 99))
def test_any_block_sizes_give_finite_sound(count: int, sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    downmix = Downmix(None if seed % 2 else FIVE_ONE[:count])
    for size in sizes:
        block = rng.normal(size=(size, count)).astype(np.float32) * rng.choice([0, 1e-4, 1, 1e37], count)
        block[rng.random(block.shape) < 0.01] = rng.choice([np.nan, np.inf, -np.inf])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            mono = downmix.push(block.astype(np.float32), RATE)
        assert mono.shape == (size,)
        assert mono.dtype == np.float32
        assert np.isfinite(mono).all()


def test_what_is_not_finite_is_silence() -> None:
    sound = channels(noise(0.1), noise(0.1))
    sound[100], sound[200, 0], sound[300, 1] = np.nan, np.inf, -np.inf
    mono = mixed(sound, Downmix(STEREO))
    np.testing.assert_array_equal(mono, np.nan_to_num(sound, posinf=0, neginf=0).mean(axis=1))


def test_one_channel_passes_unchanged() -> None:
    sound = channels(noise())
    np.testing.assert_array_equal(mixed(sound, Downmix(["FC"])), sound[:, 0])


def test_it_takes_less_than_a_hundredth_of_real_time() -> None:
    sound = channels(noise(20), noise(20, seed=2))
    best = math.inf
    for _ in range(3):
        began = time.process_time()
        mixed(sound, Downmix(STEREO))
        best = min(best, time.process_time() - began)
    print(f"stereo downmix: {best / 20:.3%} of real time")
    assert best < 0.2
