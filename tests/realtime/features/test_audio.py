import itertools
import shutil
import subprocess
import time
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from enrapt.contracts.schemas import AUDIO, MEL_BINS
from enrapt.realtime.features.audio import MUTED_AFTER, TICK, AudioFeatures
from enrapt.realtime.features.pitch import VOICED
from enrapt.realtime.features.resampling import RATE
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.samples import SECOND, Sample, Sound

Signal = NDArray[np.float32]
MS = SECOND // 1000
LEVEL, F0, VOICING, SPEECH = (AUDIO.index(name) for name in ("level", "f0", "voicing", "speech"))


def features(samples: Signal, start: int = 0) -> list[Sample]:
    return AudioFeatures("voice").push(Sound(start, samples))


def vectors(samples: Signal) -> Signal:
    """Features of a signal without missing ticks, `[ticks, 44]`."""
    values = [sample.values for sample in features(samples)]
    return np.array([v for v in values if v is not None])


def tone(frequency: float, seconds: float = 1.0, amplitude: float = 0.5) -> Signal:
    t = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * frequency * t)).astype(np.float32)


def noise(level: float, seconds: float = 1.0, seed: int = 0) -> Signal:
    """White noise; `level` in dBFS."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=round(seconds * RATE)) * 10 ** (level / 20)).astype(np.float32)


def silence(seconds: float) -> Signal:
    return np.zeros(round(seconds * RATE), np.float32)


def same(a: list[Sample], b: list[Sample]) -> bool:
    """Equal bit for bit."""

    def bits(s: Sample) -> tuple[str, int, bytes | None, int]:
        return s.modality, s.originating_time, None if s.values is None else s.values.tobytes(), s.sequence

    return [bits(s) for s in a] == [bits(s) for s in b]


# Times


def test_one_sample_per_40_ms_with_the_time_of_its_end() -> None:
    start = 1_234_567_891
    samples = features(tone(200), start)
    assert [s.originating_time for s in samples] == [start + n * 40 * MS for n in range(1, 26)]
    assert [s.sequence for s in samples] == list(range(25))
    assert {s.modality for s in samples} == {"voice"}
    for sample in samples:
        assert sample.values is not None
        assert sample.values.dtype == np.float32
        assert sample.values.shape == (AUDIO.dim,)


MIXED = np.concatenate([tone(180), silence(0.7), noise(-40), silence(0.03), tone(90, 0.31)])
WHOLE = features(MIXED, 5)


@settings(max_examples=40)
@given(st.lists(st.integers(0, MIXED.size), max_size=40))
def test_block_sizes_do_not_change_the_result(cuts: list[int]) -> None:
    extractor = AudioFeatures("voice")
    edges = [0, *sorted(cuts), MIXED.size]
    samples = []
    for a, b in itertools.pairwise(edges):
        samples += extractor.push(Sound(5 + a * SECOND // RATE, MIXED[a:b]))
    assert same(samples, WHOLE)


def test_later_sound_does_not_change_earlier_ticks() -> None:
    n = 20 * TICK
    other = np.concatenate([MIXED[:n], noise(-3, 1)])
    assert same(features(other, 5)[:20], WHOLE[:20])


@settings(max_examples=30)
@given(st.lists(st.integers(-20 * MS, 20 * MS), min_size=50, max_size=50))
def test_jitter_of_20_ms_is_ignored(jitter: list[int]) -> None:
    extractor = AudioFeatures("voice")
    samples = extractor.push(Sound(5, MIXED[:1000]))
    for i, j in enumerate(jitter, start=1):
        part = MIXED[i * 1000 : (i + 1) * 1000]
        samples += extractor.push(Sound(5 + i * 1000 * SECOND // RATE + j, part))
    assert same(samples, WHOLE[: 51_000 // TICK])


def test_a_gap_restarts_grid_and_state() -> None:
    extractor = AudioFeatures("voice")
    before = extractor.push(Sound(0, tone(300)[:15_900]))  # 24.5 ticks
    resumed = 993_750_000 + 20 * MS + 1  # just over 20 ms after the expected time
    after = extractor.push(Sound(resumed, MIXED))
    assert len(before) == 24
    assert [s.sequence for s in after] == list(range(24, 24 + len(WHOLE)))
    for sample, fresh in zip(after, WHOLE, strict=True):
        assert sample.originating_time - resumed == fresh.originating_time - 5
        np.testing.assert_array_equal(sample.values, fresh.values)


def test_overlapping_sound_is_cut() -> None:
    extractor = AudioFeatures("voice")
    samples = extractor.push(Sound(5, MIXED[:8000]))
    samples += extractor.push(Sound(5 + 300 * MS, MIXED[4800:9000]))  # its first 200 ms overlap
    samples += extractor.push(Sound(5 + 100 * MS, MIXED[1600:3200]))  # all of it overlaps
    samples += extractor.push(Sound(5 + 562_500_000, MIXED[9000:]))
    assert same(samples, WHOLE)
    assert extractor.dropped == {"overlap": 3200 + 1600}
    assert extractor.waiting == MIXED.size % TICK


# Conservation


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-400 * MS, 400 * MS), st.integers(0, 4000)), max_size=12),
    st.booleans(),
)
def test_every_sample_is_in_a_vector_dropped_or_waiting(
    blocks: list[tuple[int, int]], finished: bool
) -> None:
    extractor = AudioFeatures("voice")
    time_, pushed, vectors = 0, 0, 0
    for shift, size in blocks:  # ns from where the block before it ends
        time_ += shift
        vectors += len(extractor.push(Sound(time_, MIXED[:size])))
        time_ += size * SECOND // RATE
        pushed += size
        assert pushed == TICK * vectors + extractor.dropped.total() + extractor.waiting
    if finished:
        extractor.finish()
        assert extractor.waiting == 0
        assert pushed == TICK * vectors + extractor.dropped.total()
    assert set(extractor.dropped) <= {"overlap", "unfinished"}


def test_less_than_a_tick_before_a_gap_and_at_the_end_is_unfinished() -> None:
    extractor = AudioFeatures("voice")
    extractor.push(Sound(0, MIXED[: TICK + 100]))
    assert (extractor.waiting, extractor.dropped) == (100, {})
    assert len(extractor.push(Sound(SECOND, MIXED[: TICK + 30]))) == 1
    assert (extractor.waiting, extractor.dropped) == (30, {"unfinished": 100})
    extractor.finish()
    extractor.finish()
    assert (extractor.waiting, extractor.dropped) == (0, {"unfinished": 130})
    (sample,) = extractor.push(Sound(SECOND + 5, MIXED[:TICK]))  # a new grid, though the time steps back
    assert sample.originating_time == SECOND + 5 + 40 * MS


# Values


@pytest.mark.parametrize(
    ("signal", "level"),
    [
        (tone(1000, amplitude=1.0), -3.0103),
        (tone(1000, amplitude=0.1), -23.0103),
        (np.full(RATE, 0.5, np.float32) * np.tile([1, -1], RATE // 2).astype(np.float32), -6.0206),
        (np.full(RATE, 1e-7, np.float32), -96),
    ],
)
def test_level_of_signals_with_a_known_root_mean_square(signal: Signal, level: float) -> None:
    np.testing.assert_allclose(vectors(signal)[:, LEVEL], level, atol=1e-3)


def test_level_of_white_noise() -> None:
    levels = vectors(noise(-40, seconds=10))[:, LEVEL]
    assert levels.mean() == pytest.approx(-40, abs=0.05)
    assert levels.std() < 0.4  # 640 samples: 10 / ln 10 · √(2 / 640) = 0.24 dB


def mel(f: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return 1127 * np.log1p(np.asarray(f) / 700)


@pytest.mark.parametrize("frequency", [250, 440, 1000, 2000, 4000, 7000])
def test_a_tone_is_loudest_in_the_filter_around_it(frequency: float) -> None:
    centres = np.linspace(mel(20), mel(7600), MEL_BINS + 2)[1:-1]
    nearest = int(np.argmin(np.abs(centres - mel(frequency))))
    peaks = np.argmax(vectors(tone(frequency))[1:, :MEL_BINS], axis=1)  # the first tick holds the onset
    assert set(peaks) == {nearest}


def test_mel_is_natural_log_power() -> None:
    louder = (
        vectors(tone(1000, amplitude=0.5))[:, :MEL_BINS] - vectors(tone(1000, amplitude=0.05))[:, :MEL_BINS]
    )
    peak = int(np.argmax(vectors(tone(1000))[0, :MEL_BINS]))
    np.testing.assert_allclose(louder[:, peak], np.log(100), atol=1e-3)


def test_mel_averages_the_windows_that_end_within_the_tick() -> None:
    # A click at sample 2000 is in the windows [160 i, 160 i + 400) with i = 11 … 12, which end at 2160 and
    # 2320, in the fourth tick [1920, 2560); no other window has power.
    click = silence(0.4)
    click[2000] = 0.9
    power = vectors(click)[:, :MEL_BINS].sum(axis=1)
    assert np.flatnonzero(power).tolist() == [3]


def test_mel_of_silence_is_zero() -> None:
    values = vectors(silence(0.4))
    assert not values[:, :MEL_BINS].any()


@pytest.mark.parametrize("frequency", [80, 100, 123.4, 200, 311, 400])
def test_f0_of_a_tone(frequency: float) -> None:
    values = vectors(tone(frequency))[2:]
    np.testing.assert_allclose(values[:, F0], 12 * np.log2(frequency / 100), atol=0.1)
    assert values[:, VOICING].min() > 0.95


def test_f0_is_held_while_unvoiced() -> None:
    values = vectors(np.concatenate([noise(-20), tone(200), noise(-20)]))
    assert not values[:24, F0].any()
    np.testing.assert_allclose(values[27:50, F0], 12, atol=0.02)
    assert set(values[52:, F0]) == {values[52, F0]}
    assert abs(values[52, F0] - 12) < 0.5
    assert values[52:, VOICING].max() < VOICED


def test_below_60_decibels_nothing_is_voiced() -> None:
    assert not vectors(tone(100, amplitude=1e-3))[:, VOICING].any()
    assert (vectors(tone(100, amplitude=2e-3))[2:, VOICING] > VOICED).all()


def test_noise_is_not_speech() -> None:
    quiet = vectors(noise(-60, 3))[:, SPEECH]
    assert quiet[10:].mean() < 0.1
    assert set(quiet) <= {0, 0.25, 0.5, 0.75, 1}


# Missing


def missing(samples: Signal) -> list[bool]:
    return [sample.values is None for sample in features(samples)]


def test_half_a_second_without_signal_is_missing() -> None:
    flags = missing(np.concatenate([noise(-30), silence(1), noise(-30)]))
    # Tick 25 + n holds the last 40 n ms of silence; n = 13 is the first with 500 ms.
    assert flags == [False] * 37 + [True] * 13 + [False] * 25


def test_silence_from_the_start_is_missing_after_half_a_second() -> None:
    assert missing(silence(1)) == [False] * 12 + [True] * 13
    assert MUTED_AFTER == RATE // 2


def test_a_muted_microphone_may_have_an_offset_and_a_step_of_dither() -> None:
    steps = np.random.default_rng(0).integers(-1, 2, RATE)
    samples: Signal = (0.01 + steps / 32768).astype(np.float32)
    flags = missing(samples)
    assert flags == [False] * 12 + [True] * 13


@pytest.mark.parametrize("level", [-75, -80])
def test_a_quiet_room_is_present(level: float) -> None:
    rounded: Signal = (np.rint(noise(level, 3) * 32768) / 32768).astype(np.float32)
    assert not any(missing(rounded))


def test_the_demo_clip_has_one_silence() -> None:
    clip = Path(__file__).parents[3] / "cli" / "demo.mp4"
    assert clip.stat().st_size < 1.5e6
    extractor = AudioFeatures("voice")
    samples = [s for item in Recording(clip) if isinstance(item, Sound) for s in extractor.push(item)]
    assert len(samples) == 1625
    # Silence from 44 to 56 s; it counts as missing after half a second.
    assert [s.originating_time // (40 * MS) for s in samples if s.values is None] == list(range(1113, 1400))


# Speech


def spoken(file: Path) -> Signal:
    with av.open(str(file)) as container:
        resampler = av.AudioResampler("flt", "mono", RATE)
        parts = [r.to_ndarray()[0] for frame in container.decode(audio=0) for r in resampler.resample(frame)]
    return np.concatenate(parts)


def test_a_synthesised_voice_is_speech_with_its_pitch(tmp_path: Path) -> None:
    espeak = shutil.which("espeak-ng")
    if espeak is None:
        pytest.skip("espeak-ng is not installed")
    file = tmp_path / "voice.wav"
    # A monotone. Praat measures 78.4 to 80.7 Hz (5th and 95th percentile).
    text = "<prosody range='0'>Many men knew more and more about lunar minerals.</prosody>"
    subprocess.run([espeak, "-m", "-v", "en-us", "-p", "40", "-w", file, text], check=True)
    values = vectors(np.concatenate([spoken(file), noise(-80, 2)]))
    voice, quiet = values[5:-60], values[-30:]
    voiced = voice[:, VOICING] >= VOICED
    assert voiced.mean() > 0.8
    np.testing.assert_allclose(np.percentile(voice[voiced, F0], [5, 95]), 12 * np.log2(0.795), atol=0.5)
    assert voice[:, SPEECH].mean() > 0.9
    assert not quiet[:, SPEECH].any()


@pytest.mark.parametrize(
    ("clip", "quartiles", "voiced_share"),  # Hz; by Praat (autocorrelation, 60 to 500 Hz)
    [
        ("bbaf2n", (90, 143), 0.26),
        ("brbk7n", (181, 217), 0.42),
        ("id2_vcd_swwp2s", (93, 121), 0.34),
        ("lbax4n", (103, 119), 0.38),
        ("lbbc2a", (190, 211), 0.36),
        ("pwij3p", (81, 99), 0.31),
        ("sbia1a", (85, 116), 0.43),
    ],
)
def test_f0_of_real_voices_agrees_with_praat(
    shared: Path, clip: str, quartiles: tuple[float, float], voiced_share: float
) -> None:
    values = vectors(spoken(shared / "clips" / f"grid_{clip}.mpg"))
    voiced = values[:, VOICING] >= VOICED
    assert voiced.mean() == pytest.approx(voiced_share, abs=0.07)
    expected = 12 * np.log2(np.array(quartiles) / 100)
    np.testing.assert_allclose(np.percentile(values[voiced, F0], [25, 75]), expected, atol=0.6)
    assert 0.5 < values[:, SPEECH].mean() < 0.9  # a sentence with a pause before and after


def test_features_take_less_than_a_tenth_of_a_tick() -> None:
    signal = np.concatenate([tone(150, 4), noise(-30, 4)])
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        n = len(features(signal))
        best = min(best, (time.process_time() - start) / n)
    print(f"audio features: {1000 * best:.3f} ms a tick")
    assert best < 0.004  # s; about 0.3 ms on an idle machine
