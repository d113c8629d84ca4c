"""Files that are not recordings, and damaged recordings."""

import hashlib
import itertools
import math
import time
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.features.resampling import RATE
from enrapt.realtime.sources.demux import BrokenRecording
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.samples import SECOND, Frame
from tests.support.recordings import MS, content, create, every, joined, read, times, write

# Bad input


def message(path: Path, start: float = 0.0, end: float | None = None) -> str:
    with pytest.raises(UserError) as caught:
        list(Recording(path, start, end))
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_file_that_is_no_recording_is_an_error_of_one_line(tmp_path: Path) -> None:
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
        (tmp_path / "none.mp4", "no such file"),
        (tmp_path, "not a file"),
        (empty, "empty"),
        (text, "not a recording, or its beginning is damaged"),
        (broken_header, "not a recording, or its beginning is damaged"),
        (readme, "text, not a recording"),
        (subtitles, "not a recording"),
        (tmp_path / ("a" * 300), "cannot be opened"),
    ]:
        error = message(path)
        assert error.startswith(f"{path}: ")
        assert expected in error


def test_a_colon_in_a_name_is_not_a_protocol(tmp_path: Path) -> None:
    file = write(tmp_path / "http:a.wav", sound=(0, 1))
    assert Recording(file).duration == pytest.approx(1, abs=1e-3)


def test_invalid_start_and_end(tmp_path: Path) -> None:
    file = write(tmp_path / "a.wav", sound=(0, 2))
    assert "0 or more" in message(file, -1)
    assert "0 or more" in message(file, math.nan)
    assert "after the start" in message(file, 1, 1)
    assert "after the start" in message(file, 1, math.nan)
    assert "ends at 2.00 s" in message(file, 2)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "flv"])
def test_the_error_of_a_truncated_file_has_its_position(tmp_path: Path, suffix: str) -> None:
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
    # A part before the damage can be read.
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
    pytest.fail("no damage reported")


@pytest.mark.parametrize("seconds", [3.0, 5.0])
def test_streams_of_different_lengths_are_not_damage(tmp_path: Path, seconds: float) -> None:
    for suffix in ("mp4", "mkv"):
        file = tmp_path / f"a.{suffix}"
        write(file, pictures=every(0.04, 100), codec="libx264", sound=(0, seconds), rate=16_000)
        frames, sounds = read(Recording(file))
        assert len(frames) == 100
        assert joined(sounds)[1].size == seconds * RATE


def test_a_file_that_cannot_be_decoded_at_all(tmp_path: Path) -> None:
    options = {"movflags": "faststart"}
    file = write(tmp_path / "a.mp4", pictures=every(0.04, 50), codec="libx264", options=options)
    data = bytearray(file.read_bytes())
    media = data.index(b"mdat") + 4
    data[media:] = bytes(255 for _ in data[media:])
    file.write_bytes(data)
    frames, position = read_until_broken(Recording(file))
    assert (frames, position) == ([], 0)


def test_video_without_a_container_has_the_times_of_ffmpeg(tmp_path: Path) -> None:
    file = write(tmp_path / "a.m2v", pictures=every(0.04, 100), codec="mpeg2video")
    frames, _ = read(Recording(file))
    assert len(frames) == 100
    assert {b - a for a, b in itertools.pairwise(times(frames))} == {40 * MS}
    assert times(read(Recording(file, 2.0))[0]) == [t for t in times(frames) if t >= 2 * SECOND]


def test_a_truncated_mpeg_file_ends_without_an_error(shared: Path, tmp_path: Path) -> None:
    data = (shared / "clips" / "grid_lbbc2a.mpg").read_bytes()
    cut = tmp_path / "cut.mpg"
    cut.write_bytes(data[: len(data) // 2])
    frames, sounds = read(Recording(cut))
    assert 30 < len(frames) < 45
    assert sounds


def test_a_damaged_file_gives_the_same_result_each_time(tmp_path: Path) -> None:
    whole = write(
        tmp_path / "a.mp4", pictures=every(0.04, 200), size=(160, 120), codec="libx264", sound=(0, 8),
        options={"movflags": "faststart"},
    )  # fmt: skip
    data = whole.read_bytes()
    rng = np.random.default_rng(0)
    outcomes = []
    # With more, FFmpeg makes up what nothing says from memory that it did not clear.
    for flipped in [1, 1, 10, 10, 100, 100, 100]:
        damaged = bytearray(data)
        for i in rng.integers(len(data) // 3, len(data), flipped):
            damaged[i] ^= int(rng.integers(1, 256))
        file = tmp_path / "damaged.mp4"
        file.write_bytes(damaged)
        outcome = outcome_of(file)
        assert outcome == outcome_of(file)
        outcomes.append(outcome)
    assert any(dropped["corrupt"] for _, _, dropped in outcomes)


def outcome_of(file: Path) -> tuple[str, float | None, Counter[str]]:
    """Hash of the content, position of the damage, counts of what was dropped."""
    recording = Recording(file)
    digest = hashlib.sha256()
    position = None
    try:
        for item in recording:
            digest.update(content(item).tobytes())
    except BrokenRecording as broken:
        position = broken.position
    return digest.hexdigest(), position, recording.found.pictures


def test_decoding_takes_less_than_10_ms_per_picture(tmp_path: Path) -> None:
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
    print(f"media: {1000 * per_picture:.2f} ms per picture of 640×480")
    assert per_picture < 0.01
