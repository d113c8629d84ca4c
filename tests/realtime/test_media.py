import hashlib
import itertools
import math
import time
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from enrapt.contracts.errors import UserError
from enrapt.realtime.media import BrokenRecording, Recording, upright
from enrapt.realtime.resampling import RATE
from enrapt.realtime.samples import SECOND, Frame, Sound

MS = SECOND // 1000

# Files to read. Picture k is gray of brightness 2 k mod 256, so that it can be told which one it is; sound is
# a sine whose phase is 0 at the file's time 0, so that each sample tells its time.


def create(path: Path, options: dict[str, str] | None = None) -> Any:  # PyAV's types know no codec's name
    return av.open(str(path), "w", options=options or {})


def write(
    path: Path,
    *,
    pictures: Sequence[float] = (),  # s
    codec: str = "ffv1",
    pixels: str = "yuv420p",
    size: tuple[int, int] = (32, 24),
    matrix: Sequence[int] | None = None,
    sound: tuple[float, float] | None = None,  # s, from and to
    sound_codec: str = "pcm_s16le",
    rate: int = 48_000,
    layout: str = "mono",
    missing: tuple[float, float] = (0.0, 0.0),  # s; packets of sound within are left out
    gop: int = 12,
    options: dict[str, str] | None = None,
) -> Path:
    with create(path, options) as container:
        packets: list[Any] = []
        if pictures:
            video = container.add_stream(codec, rate=25)
            video.width, video.height = size
            video.pix_fmt = pixels
            base = Fraction(1, 25 if codec in ("mpeg2video", "mpeg4") else 12_000)
            video.time_base = video.codec_context.time_base = base
            video.gop_size = gop
            if matrix is not None:
                video.set_display_matrix(matrix)
            for k, at in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture(k, size)).reformat(format=pixels, threads=1)
                frame.pts, frame.time_base = round(at / base), base
                packets += video.encode(frame)
            packets += video.encode(None)
        if sound is not None:
            audio = container.add_stream(sound_codec, rate=rate)
            audio.layout = layout
            channels = len(audio.layout.channels)
            first, last = (round(t * rate) for t in sound)
            for i in range(first, last, 1024):
                n = min(1024, last - i)
                values = tone(np.arange(i, i + n) / rate)
                if sound_codec.startswith("pcm_s16"):
                    data = np.repeat(np.rint(values * 32768).astype(np.int16), channels)[None]
                    block = av.AudioFrame.from_ndarray(data, "s16", layout)
                else:
                    data = np.repeat(values[None], channels, axis=0)
                    block = av.AudioFrame.from_ndarray(data, "fltp", layout)
                block.sample_rate, block.pts, block.time_base = rate, i, Fraction(1, rate)
                if not missing[0] <= i / rate < missing[1]:
                    packets += audio.encode(block)
            packets += audio.encode(None)
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            container.mux(packet)
    return path


def picture(k: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.full((size[1], size[0], 3), 2 * k % 256, np.uint8)


def tone(at: NDArray[np.float64]) -> NDArray[np.float32]:
    wave: NDArray[np.float32] = (0.5 * np.sin(2 * np.pi * 100 * at)).astype(np.float32)
    return wave


def read(recording: Recording) -> tuple[list[Frame], list[Sound]]:
    frames: list[Frame] = []
    sounds: list[Sound] = []
    for item in recording:
        if isinstance(item, Frame):
            frames.append(item)
        else:
            sounds.append(item)
    return frames, sounds


def times(frames: list[Frame]) -> list[int]:
    return [frame.originating_time for frame in frames]


def joined(sounds: list[Sound]) -> tuple[float, NDArray[np.float32]]:
    """Start in seconds and samples of sound without a gap."""
    for a, b in itertools.pairwise(sounds):
        assert abs(b.originating_time - a.originating_time - a.samples.size * SECOND // RATE) <= 1
    return sounds[0].originating_time / SECOND, np.concatenate([sound.samples for sound in sounds])


def every(period: float, n: int, start: float = 0.0) -> list[float]:
    return [start + k * period for k in range(n)]


# Pictures


@pytest.mark.parametrize("rate", [5, 25, 30, 120])
def test_pictures_bear_their_presentation_times(tmp_path: Path, rate: int) -> None:
    file = write(tmp_path / "a.mp4", pictures=every(1 / rate, 50), codec="libx264")
    recording = Recording(file)
    frames, sounds = read(recording)
    assert sounds == []
    # Presentation times are kept in 12,000ths of a second.
    assert times(frames) == [round(k * 12_000 / rate) * SECOND // 12_000 for k in range(50)]
    assert recording.frame_rate == pytest.approx(rate, rel=0.1)  # the last has no successor
    assert recording.duration == pytest.approx(50 / rate, rel=0.1)
    assert (recording.has_video, recording.has_audio, recording.frame_size) == (True, False, (32, 24))
    assert not recording.counts


def test_pictures_at_varying_intervals(tmp_path: Path) -> None:
    at = [0.0, 0.04, 0.05, 0.25, 1.25, 1.26, 2.0]
    frames, _ = read(Recording(write(tmp_path / "a.mkv", pictures=at, pixels="yuv444p")))
    assert times(frames) == [round(1000 * t) * MS for t in at]
    assert [round(frame.image.mean() / 2) for frame in frames] == list(range(7))


@pytest.mark.parametrize("width", [32, 90, 360, 361])
def test_pictures_are_rgb_without_padding(tmp_path: Path, width: int) -> None:
    file = write(tmp_path / "a.mkv", pictures=[0, 0.1], size=(width, 48), pixels="yuv444p")
    frames, _ = read(Recording(file))
    for k, frame in enumerate(frames):
        assert frame.image.shape == (48, width, 3)
        assert frame.image.dtype == np.uint8
        assert frame.image.flags.c_contiguous
        np.testing.assert_array_equal(frame.image, picture(k, (width, 48)))


@pytest.mark.parametrize(
    "pixels", ["gray", "gray16le", "yuv420p10le", "yuv422p", "yuva420p", "bgra", "rgb48le", "gbrp10le"]
)
def test_every_pixel_format_comes_out_as_rgb(tmp_path: Path, pixels: str) -> None:
    file = write(tmp_path / "a.mkv", pictures=every(0.1, 60), pixels=pixels)
    frames, _ = read(Recording(file))
    for k, frame in enumerate(frames):
        np.testing.assert_allclose(frame.image.astype(int), picture(k, (32, 24)), atol=2)


F = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
ONE = 1 << 16


@pytest.mark.parametrize(
    ("a", "b", "c", "d", "expected"),
    [
        (ONE, 0, 0, ONE, F),
        (0, ONE, -ONE, 0, np.rot90(F, -1)),  # a telephone held upright: a quarter turn clockwise
        (-ONE, 0, 0, -ONE, np.rot90(F, 2)),
        (0, -ONE, ONE, 0, np.rot90(F, 1)),
        (-ONE, 0, 0, ONE, F[:, ::-1]),  # a mirror
        (ONE, 0, 0, -ONE, F[::-1]),
        (0, ONE, ONE, 0, F.transpose(1, 0, 2)),
        (0, -ONE, -ONE, 0, np.rot90(F.transpose(1, 0, 2), 2)),
        (ONE, 3000, -3000, ONE, F),  # a turn by 2.6 degrees
    ],
)
def test_upright(a: int, b: int, c: int, d: int, expected: NDArray[np.uint8]) -> None:
    matrix = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], np.int32)
    np.testing.assert_array_equal(upright(F, matrix), expected)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_recording_that_says_so_is_turned_upright(tmp_path: Path, suffix: str) -> None:
    matrix = [0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30]
    codec = "libx264" if suffix == "mp4" else "ffv1"
    file = write(tmp_path / f"a.{suffix}", pictures=[0, 0.1], size=(48, 32), matrix=matrix, codec=codec)
    recording = Recording(file)
    frames, _ = read(recording)
    assert [frame.image.shape for frame in frames] == [(48, 32, 3)] * 2
    assert all(frame.image.flags.c_contiguous for frame in frames)
    assert recording.frame_size == (48, 32)


def test_duplicate_and_backward_pictures_are_dropped_and_counted(tmp_path: Path) -> None:
    # Of raw pictures in Matroska, presentation times may be anything.
    file = tmp_path / "a.mkv"
    with create(file) as container:
        video = container.add_stream("rawvideo", rate=1000)
        video.width, video.height, video.pix_fmt = 32, 24, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        for dts, pts in enumerate([0, 40, 40, 80, 60, 120, 80, 160]):
            frame = av.VideoFrame.from_ndarray(picture(dts, (32, 24))).reformat(format="yuv420p", threads=1)
            frame.pts, frame.time_base = 40 * dts, Fraction(1, 1000)
            for packet in video.encode(frame):
                packet.pts, packet.dts = pts, min(pts, dts)
                container.mux(packet)
    recording = Recording(file)
    for _ in range(2):  # counts are those of the latest iteration
        frames, _ = read(recording)
        assert times(frames) == [t * MS for t in (0, 40, 80, 120, 160)]
        assert recording.counts == {"duplicate": 1, "backward": 2}


def test_cover_art_is_not_video(tmp_path: Path) -> None:
    file = tmp_path / "a.flac"
    write(tmp_path / "plain.flac", sound=(0, 1), sound_codec="flac")
    with av.open(str(tmp_path / "plain.flac")) as source, create(file) as container:
        audio = container.add_stream_from_template(source.streams.audio[0])
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 24, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        for packet in cover.encode(av.VideoFrame.from_ndarray(picture(9, (32, 24)))) + cover.encode(None):
            container.mux(packet)
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = audio
                container.mux(packet)
    with av.open(str(file)) as container:
        assert len(container.streams.video) == 1
    recording = Recording(file)
    assert (recording.has_video, recording.has_audio) == (False, True)
    assert read(recording)[0] == []


# Sound


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
    assert (recording.has_video, recording.has_audio) == (False, True)
    assert (recording.frame_size, recording.frame_rate) == (None, None)
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
    channels = {"left": 0.5, "right": -0.25}
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
        np.testing.assert_allclose(samples[400:-400], 0.125, atol=1e-6)


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


# Both


@pytest.mark.parametrize(
    ("pictures", "sound"),
    [
        (every(0.04, 50), (0.0, 2.0)),
        (every(0.04, 50, start=0.5), (0.0, 2.0)),
        (every(0.04, 50), (0.4, 2.0)),
        (every(0.04, 25), (0.0, 3.0)),
        (every(0.04, 75), (0.0, 0.5)),
        (every(0.04, 50, start=1.0), (1.2, 2.0)),  # both late: time 0 is the earlier one's start
    ],
)
def test_the_streams_keep_their_offset_and_lengths(
    tmp_path: Path, pictures: list[float], sound: tuple[float, float]
) -> None:
    file = write(tmp_path / "a.mkv", pictures=pictures, sound=sound, rate=16_000)
    frames, sounds = read(Recording(file))
    zero = min(pictures[0], sound[0])
    assert times(frames) == [round(1000 * (t - zero)) * MS for t in pictures]
    start, samples = joined(sounds)
    assert start == pytest.approx(sound[0] - zero, abs=1e-3)
    assert samples.size == round((sound[1] - sound[0]) * RATE)


SPANS = [(0.0, None), (0.3, 0.35), (2.5, None), (0.0, 1.0), (3.21, 4.5), (5.02, 100.0), (4.0, math.inf)]


@pytest.mark.parametrize(("start", "end"), SPANS)
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_a_part_is_the_same_part_of_the_whole(
    tmp_path: Path, suffix: str, start: float, end: float | None
) -> None:
    codec = {"mp4": "libx264", "mkv": "libx264", "ts": "mpeg2video", "avi": "mpeg4"}[suffix]
    sound_codec = {"mp4": "pcm_s16le", "mkv": "pcm_s16le", "ts": "mp2", "avi": "pcm_s16le"}[suffix]
    file = tmp_path / f"a.{suffix}"
    write(file, pictures=every(0.04, 150), codec=codec, sound=(0, 6), sound_codec=sound_codec)
    frames, sounds = read(Recording(file))
    some_frames, some_sounds = read(Recording(file, start, end))
    low, high = start * SECOND, SECOND * (math.inf if end is None else end)
    expected = [frame for frame in frames if low <= frame.originating_time < high]
    assert expected
    assert times(some_frames) == times(expected)
    for a, b in zip(some_frames, expected, strict=True):
        np.testing.assert_array_equal(a.image, b.image)

    # Matroska keeps times in milliseconds, so that sound read from elsewhere may be off by one.
    slack = 0.001 if suffix == "mkv" else 0.0
    some_start, some = joined(some_sounds)
    whole_start, whole = joined(sounds)
    at = some_start + np.arange(some.size) / RATE
    whole_at = whole_start + np.arange(whole.size) / RATE
    assert 0 <= at[0] - max(start, whole_start) < 1.01 / RATE + slack
    assert abs(min(high / SECOND, whole_at[-1] + 1 / RATE) - at[-1]) < 2 / RATE + slack
    clear = (at > 0.05) & (at < 5.9)
    expected_sound = np.interp(at, whole_at, whole)
    tolerance = 0.5 * 2 * np.pi * 100 * slack + 0.002
    np.testing.assert_allclose(some[clear], expected_sound[clear], atol=tolerance)


def test_a_part_of_a_clip_of_people(shared: Path) -> None:
    file = shared / "clips" / "grid_lbbc2a.mpg"
    frames, sounds = read(Recording(file))
    some_frames, some_sounds = read(Recording(file, 1.5, 2.5))
    assert times(frames) == [k * 40 * MS for k in range(75)]
    assert times(some_frames) == times(frames)[38:63]
    np.testing.assert_array_equal(some_frames[0].image, frames[38].image)
    assert sum(sound.samples.size for sound in some_sounds) == RATE
    assert sum(sound.samples.size for sound in sounds) / RATE == pytest.approx(2.98, abs=0.01)


def test_iterating_again_gives_the_same(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mkv", pictures=every(0.04, 30), sound=(0, 1))
    recording = Recording(file)
    for a, b in zip(recording, recording, strict=True):
        assert (type(a), a.originating_time) == (type(b), b.originating_time)
        np.testing.assert_array_equal(content(a), content(b))


def content(item: Frame | Sound) -> NDArray[np.uint8] | NDArray[np.float32]:
    return item.image if isinstance(item, Frame) else item.samples


# Bad input


def message(path: Path, start: float = 0.0, end: float | None = None) -> str:
    with pytest.raises(UserError) as caught:
        Recording(path, start, end)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_what_is_no_recording_is_said_in_one_line(tmp_path: Path) -> None:
    good = write(tmp_path / "good.mp4", pictures=every(0.04, 50), codec="libx264")
    broken_header = tmp_path / "header.mp4"
    broken_header.write_bytes(good.read_bytes()[:400])
    text = tmp_path / "text.mp4"
    text.write_text("Dear diary,\n" * 100)
    subtitles = tmp_path / "a.srt"
    subtitles.write_text("1\n00:00:01,000 --> 00:00:02,000\nHello\n")
    readme = tmp_path / "readme.txt"
    readme.write_text("Dear diary,\n" * 100)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    for path, expected in [
        (tmp_path / "none.mp4", "there is no such file"),
        (tmp_path, "not a file"),
        (empty, "empty"),
        (text, "can't be read as a recording"),
        (broken_header, "can't be read as a recording"),
        (readme, "text, not a recording"),
        (subtitles, "no video and no sound"),
        (tmp_path / ("a" * 300), "can't be opened"),
    ]:
        said = message(path)
        assert said.startswith(f"{path}: ")
        assert expected in said


def test_a_colon_in_a_name_is_not_a_protocol(tmp_path: Path) -> None:
    file = write(tmp_path / "http:a.wav", sound=(0, 1))
    assert Recording(file).duration == pytest.approx(1, abs=1e-3)


def test_parts_that_do_not_fit(tmp_path: Path) -> None:
    file = write(tmp_path / "a.wav", sound=(0, 2))
    assert "0 or more" in message(file, -1)
    assert "0 or more" in message(file, math.nan)
    assert "after the start" in message(file, 1, 1)
    assert "after the start" in message(file, 1, math.nan)
    assert "ends at 2.00 s" in message(file, 2)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "flv"])
def test_a_file_that_was_cut_says_where(tmp_path: Path, suffix: str) -> None:
    whole = tmp_path / f"whole.{suffix}"
    options = {"movflags": "faststart"} if suffix == "mp4" else {}
    sound = None if suffix == "flv" else (0.0, 10.0)
    write(whole, pictures=every(0.04, 250), codec="libx264", sound=sound, options=options)
    data = whole.read_bytes()
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(data[: len(data) // 2])
    frames, position = read_until_broken(Recording(cut))
    assert 2 < position < 8
    assert position == pytest.approx(frames[-1].originating_time / SECOND, abs=0.5)
    original = read(Recording(whole))[0]
    assert times(frames) == times(original)[: len(frames)]
    # The last picture may be incomplete.
    for a, b in zip(frames[:-1], original, strict=False):
        np.testing.assert_array_equal(a.image, b.image)
    # A part that is there is not broken.
    assert len(read(Recording(cut, 0.5, 1.5))[0]) == 25
    with pytest.raises(BrokenRecording, match=f"breaks off at {position:.2f} s"):
        read(Recording(cut, 0.5, 9.5))


def read_until_broken(recording: Recording) -> tuple[list[Frame], float]:
    frames = []
    try:
        for item in recording:
            if isinstance(item, Frame):
                frames.append(item)
    except BrokenRecording as broken:
        return frames, broken.position
    pytest.fail("it isn't broken")


@pytest.mark.parametrize("seconds", [3.0, 5.0])
def test_streams_of_unlike_length_are_not_broken(tmp_path: Path, seconds: float) -> None:
    for suffix in ("mp4", "mkv"):
        file = tmp_path / f"a.{suffix}"
        write(file, pictures=every(0.04, 100), codec="libx264", sound=(0, seconds), rate=16_000)
        frames, sounds = read(Recording(file))
        assert len(frames) == 100
        assert joined(sounds)[1].size == seconds * RATE


def test_a_file_of_which_nothing_can_be_decoded_is_broken(tmp_path: Path) -> None:
    options = {"movflags": "faststart"}
    file = write(tmp_path / "a.mp4", pictures=every(0.04, 50), codec="libx264", options=options)
    data = bytearray(file.read_bytes())
    media = data.index(b"mdat") + 4
    data[media:] = bytes(255 for _ in data[media:])
    file.write_bytes(data)
    frames, position = read_until_broken(Recording(file))
    assert (frames, position) == ([], 0)


def test_bare_video_has_the_times_that_ffmpeg_makes_up(tmp_path: Path) -> None:
    file = write(tmp_path / "a.m2v", pictures=every(0.04, 100), codec="mpeg2video")
    frames, _ = read(Recording(file))
    assert len(frames) == 100
    assert {b - a for a, b in itertools.pairwise(times(frames))} == {40 * MS}
    assert times(read(Recording(file, 2.0))[0]) == [t for t in times(frames) if t >= 2 * SECOND]


def test_a_cut_mpeg_file_just_ends(shared: Path, tmp_path: Path) -> None:
    data = (shared / "clips" / "grid_lbbc2a.mpg").read_bytes()
    cut = tmp_path / "cut.mpg"
    cut.write_bytes(data[: len(data) // 2])
    frames, sounds = read(Recording(cut))
    assert 30 < len(frames) < 45
    assert sounds


def test_flipped_bytes_give_what_is_left_and_always_the_same(tmp_path: Path) -> None:
    whole = write(
        tmp_path / "a.mp4", pictures=every(0.04, 200), size=(160, 120), codec="libx264", sound=(0, 8),
        options={"movflags": "faststart"},
    )  # fmt: skip
    data = whole.read_bytes()
    rng = np.random.default_rng(0)
    outcomes = []
    for flipped in [1, 1, 10, 10, 100, 100, 1000]:
        damaged = bytearray(data)
        for i in rng.integers(len(data) // 3, len(data), flipped):
            damaged[i] ^= int(rng.integers(1, 256))
        file = tmp_path / "damaged.mp4"
        file.write_bytes(damaged)
        outcome = outcome_of(file)
        assert outcome == outcome_of(file)
        outcomes.append(outcome)
    assert any(position is not None for _, position, _ in outcomes)
    assert any(position is None and dropped["corrupt"] for _, position, dropped in outcomes)


def outcome_of(file: Path) -> tuple[str, float | None, Counter[str]]:
    """What the pictures look like, where the file breaks, and what was dropped."""
    recording = Recording(file)
    digest = hashlib.sha256()
    position = None
    try:
        for item in recording:
            digest.update(content(item).tobytes())
    except BrokenRecording as broken:
        position = broken.position
    return digest.hexdigest(), position, recording.counts


def test_a_picture_takes_a_few_milliseconds(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    file = tmp_path / "a.mp4"
    with create(file) as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "23"})
        video.width, video.height, video.pix_fmt = 640, 480, "yuv420p"
        for k in range(100):
            image = np.roll(noise, k // 4, axis=1).repeat(16, axis=0).repeat(16, axis=1)
            container.mux(video.encode(av.VideoFrame.from_ndarray(image)))
        container.mux(video.encode(None))
    start = time.process_time()
    assert sum(isinstance(item, Frame) for item in Recording(file)) == 100
    per_picture = (time.process_time() - start) / 100
    print(f"media: {1000 * per_picture:.2f} ms a picture of 640×480")
    assert per_picture < 0.01
