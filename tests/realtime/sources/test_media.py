"""Both streams of a recording, and parts of a recording."""

import math
from pathlib import Path

import numpy as np
import pytest

from enrapt.realtime.features.resampling import RATE
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.samples import SECOND
from tests.support.recordings import MS, content, every, joined, read, times, write


@pytest.mark.parametrize(
    ("pictures", "sound"),
    [
        (every(0.04, 50), (0.0, 2.0)),
        (every(0.04, 50, start=0.5), (0.0, 2.0)),
        (every(0.04, 50), (0.4, 2.0)),
        (every(0.04, 25), (0.0, 3.0)),
        (every(0.04, 75), (0.0, 0.5)),
        (every(0.04, 50, start=1.0), (1.2, 2.0)),  # both late: time 0 is the start of the earlier one
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

    # Matroska has times in milliseconds: sound after a seek may be off by one.
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


def test_a_part_of_a_real_clip(shared: Path) -> None:
    file = shared / "clips" / "grid_lbbc2a.mpg"
    frames, sounds = read(Recording(file))
    some_frames, some_sounds = read(Recording(file, 1.5, 2.5))
    assert times(frames) == [k * 40 * MS for k in range(75)]
    assert times(some_frames) == times(frames)[38:63]
    np.testing.assert_array_equal(some_frames[0].image, frames[38].image)
    assert sum(sound.samples.size for sound in some_sounds) == RATE
    assert sum(sound.samples.size for sound in sounds) / RATE == pytest.approx(2.98, abs=0.01)


@pytest.mark.parametrize("suffix", ["mkv", "webm", "mp4", "ts"])
def test_the_duration_counts_from_the_first_picture(tmp_path: Path, suffix: str) -> None:
    codec = {"webm": "libvpx-vp9", "ts": "mpeg2video"}.get(suffix, "libx264")
    file = write(tmp_path / f"a.{suffix}", pictures=every(0.04, 50, start=7.0), codec=codec)
    recording = Recording(file)
    assert recording.duration == pytest.approx(2.0, abs=0.05)
    frames, _ = read(recording)
    assert [times(frames)[0], times(frames)[-1]] == pytest.approx([0.0, 1.96e9], abs=1e6)


def test_a_second_iteration_gives_the_same(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mkv", pictures=every(0.04, 30), sound=(0, 1))
    recording = Recording(file)
    for a, b in zip(recording, recording, strict=True):
        assert (type(a), a.originating_time) == (type(b), b.originating_time)
        np.testing.assert_array_equal(content(a), content(b))
