"""The sound of a recording."""

import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from enrapt.realtime.features.resampling import RATE
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.samples import SECOND
from tests.support.recordings import create, joined, read, tone, write


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("layout", ["mono", "stereo", "5.1"])
def test_sound_of_any_rate_and_channel_count(tmp_path: Path, rate: int, layout: str) -> None:
    file = write(tmp_path / "a.wav", sound=(0, 2), rate=rate, layout=layout)
    recording = Recording(file)
    frames, sounds = read(recording)
    assert frames == []
    start, samples = joined(sounds)
    assert start == 0
    assert samples.size == 2 * RATE
    assert samples.dtype == np.float32
    inner = slice(400, -400)
    np.testing.assert_allclose(samples[inner], tone(np.arange(2 * RATE) / RATE)[inner], atol=4e-5)
    assert recording.video is None
    assert recording.audio is not None
    assert recording.duration == pytest.approx(2, abs=1e-3)


@pytest.mark.parametrize(
    ("suffix", "codec", "tolerance"),
    [
        ("flac", "flac", 4e-5),
        ("mp3", "libmp3lame", 0.03),
        ("m4a", "aac", 0.03),
        ("mka", "libopus", 0.02),
    ],
)
def test_sound_alone_of_any_codec(tmp_path: Path, suffix: str, codec: str, tolerance: float) -> None:
    if codec == "flac":
        file = write(tmp_path / "a.flac", sound=(0, 2), sound_codec="flac")
    else:
        file = tmp_path / f"a.{suffix}"
        rate = 48_000
        with create(file) as container:
            audio = container.add_stream(codec, rate=rate)
            audio.layout, audio.bit_rate = "mono", 128_000
            block = av.AudioFrame.from_ndarray(tone(np.arange(2 * rate) / rate)[None], "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = rate, 0, Fraction(1, rate)
            resampler = av.AudioResampler(audio.format, "mono", rate, frame_size=audio.frame_size)
            for part in [*resampler.resample(block), *resampler.resample(None)]:
                container.mux(audio.encode(part))
            container.mux(audio.encode(None))
    start, samples = joined(read(Recording(file))[1])
    assert start == 0
    assert samples.size == pytest.approx(2 * RATE, abs=0.05 * RATE)
    inner = slice(RATE // 4, 7 * RATE // 4)
    np.testing.assert_allclose(samples[inner], tone(np.arange(2 * RATE) / RATE)[inner], atol=tolerance)


def test_channels_are_averaged_and_steps_scaled(tmp_path: Path) -> None:
    channels = {"left": 0.5, "right": 0.25}
    for name, kind, full_scale in [
        ("pcm_s16le", np.int16, 2.0**15),
        ("pcm_s32le", np.int32, 2.0**31),
        ("pcm_f32le", np.float32, 1.0),
        ("pcm_f64le", np.float64, 1.0),
        ("pcm_u8", np.uint8, 2.0**7),
    ]:
        offset = 128 if kind is np.uint8 else 0
        values = np.tile([v * full_scale + offset for v in channels.values()], 16_000).astype(kind)
        layouts = {np.int16: "s16", np.int32: "s32", np.float32: "flt", np.float64: "dbl", np.uint8: "u8"}
        file = tmp_path / f"{name}.wav"
        with create(file) as container:
            audio = container.add_stream(name, rate=16_000)
            audio.layout = "stereo"
            block = av.AudioFrame.from_ndarray(values[None], layouts[kind], "stereo")
            block.sample_rate = 16_000
            container.mux(audio.encode(block) + audio.encode(None))
        _, samples = joined(read(Recording(file))[1])
        np.testing.assert_allclose(samples[400:-400], 0.375, atol=1e-6)


def test_what_is_not_a_number_is_silence(tmp_path: Path) -> None:
    values = np.full(16_000, 0.25, np.float32)
    values[8_000:8_100] = np.nan
    values[9_000] = np.inf
    file = tmp_path / "a.wav"
    with create(file) as container:
        audio = container.add_stream("pcm_f32le", rate=16_000)
        audio.layout = "mono"
        block = av.AudioFrame.from_ndarray(values[None], "flt", "mono")
        block.sample_rate = 16_000
        container.mux(audio.encode(block) + audio.encode(None))
    _, samples = joined(read(Recording(file))[1])
    np.testing.assert_array_equal(samples, np.where(np.isfinite(values), values, 0))


def test_a_gap_in_the_sound_is_a_gap_in_its_times(tmp_path: Path) -> None:
    file = write(tmp_path / "a.nut", sound=(0, 3), missing=(1.0, 2.0))
    _, sounds = read(Recording(file))
    ends = [sound.originating_time + sound.samples.size * SECOND // RATE for sound in sounds]
    starts = [sound.originating_time for sound in sounds[1:]]
    [(before, after)] = [(a, b) for a, b in zip(ends, starts, strict=False) if abs(b - a) > 1]
    block = 1024 / 48_000
    assert before / SECOND == pytest.approx(math.ceil(1 / block) * block, abs=1e-4)
    assert after / SECOND == pytest.approx(math.ceil(2 / block) * block, abs=1e-4)
    at = np.concatenate([s.originating_time / SECOND + np.arange(s.samples.size) / RATE for s in sounds])
    samples = np.concatenate([sound.samples for sound in sounds])
    clear = [np.abs(at - edge) > 0.02 for edge in (0, before / SECOND, after / SECOND, 3)]
    inner = np.logical_and.reduce(clear)
    np.testing.assert_allclose(samples[inner], tone(at)[inner], atol=1e-4)
