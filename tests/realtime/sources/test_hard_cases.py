"""The hard cases are what they say, by FFmpeg's own reading."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from tests.support import hard_cases
from tests.support.hard_cases import Track
from tests.support.recordings import every, write


def stamps(path: Path, kind: str = "audio") -> np.ndarray:
    with av.open(str(path)) as container:
        packets = container.demux(next(s for s in container.streams if s.type == kind))
        return np.array([float(p.pts * p.time_base) for p in packets if p.pts is not None])


def decoded(path: Path, kind: str) -> tuple[list[Any], int]:
    """Frames, and how many packets could not be decoded."""
    frames: list[Any] = []
    failed = 0
    with av.open(str(path)) as container:
        for packet in container.demux(next(s for s in container.streams if s.type == kind)):
            try:
                frames += packet.decode()
            except av.error.FFmpegError:
                failed += 1
    return frames, failed


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_jittered_sound(tmp_path: Path, name: str) -> None:
    off = stamps(hard_cases.jittered(tmp_path / name)) - 1024 / 44_100 * np.arange(518)
    assert 0.01 < off.std() < 0.025
    assert (tmp_path / name).exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_bursty_sound(tmp_path: Path) -> None:
    steps = np.diff(stamps(hard_cases.bursty(tmp_path / "a.mkv")))
    assert (steps < 0.0015).mean() == pytest.approx(0.75, abs=0.01)
    assert steps.max() == pytest.approx(4 * 1024 / 44_100, abs=0.004)


def test_far_first_picture(tmp_path: Path) -> None:
    at = stamps(hard_cases.far_first_picture(tmp_path / "a.mkv"), "video")
    assert at[0] == 0
    assert at[1] == pytest.approx(3 * 86_400 + 0.04, abs=0.01)
    assert at.size == 75


@pytest.mark.parametrize(
    ("name", "codecs"), [("a.ts", ("mpeg2video", "mp2")), ("a.mkv", ("ffv1", "pcm_s16le"))]
)
def test_joined(tmp_path: Path, name: str, codecs: tuple[str, str]) -> None:
    path = hard_cases.joined(
        tmp_path / name, pictures=every(0.04, 25), codec=codecs[0], sound=(0, 1), sound_codec=codecs[1]
    )
    part = tmp_path / f"part_{name}"
    assert path.read_bytes() == 2 * part.read_bytes()
    if name == "a.ts":
        assert (np.diff(stamps(path, "video")) < 0).sum() == 1


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_a_damaged_packet(tmp_path: Path, name: str) -> None:
    path = write(
        tmp_path / name, pictures=every(0.04, 75), codec="mpeg4", sound=(0, 3), sound_codec="aac", rate=16_000
    )
    size, whole = path.stat().st_size, len(decoded(path, "audio")[0])
    assert hard_cases.damaged_packet(path, 20) == pytest.approx(20 * 1024 / 16_000, abs=0.1)
    frames, failed = decoded(path, "audio")
    assert path.stat().st_size == size
    assert whole - 2 <= len(frames) + failed <= whole
    assert len(decoded(path, "video")[0]) == 75


@pytest.mark.parametrize("ratio", [Fraction(4, 3), Fraction(16, 15), Fraction(8, 9), Fraction(1)])
@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.mkv", "libx264", "yuv420p"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.mov", "qtrle", "rgb24"),
    ],
)
def test_anamorphic(tmp_path: Path, name: str, codec: str, pixels: str, ratio: Fraction) -> None:
    shown = np.zeros((96, 128, 3), np.uint8)
    shown[:, 64:] = 255
    path = hard_cases.anamorphic(tmp_path / name, shown, ratio, pictures=3, codec=codec, pixels=pixels)
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        frames = list(container.decode(video))
        assert video.sample_aspect_ratio == ratio
        assert video.width * video.sample_aspect_ratio == pytest.approx(128, abs=1.5)
    assert len(frames) == 3
    image = frames[0].to_ndarray(format="rgb24")
    edge = video.width // 2
    assert image[:, : edge - 8].max() < 8
    assert image[:, edge + 8 :].min() > 247


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_anamorphic_turned_with_full_range(tmp_path: Path, name: str) -> None:
    shown = np.zeros((96, 128, 3), np.uint8)
    shown[:, 64:] = 255
    quarter = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    path = hard_cases.anamorphic(tmp_path / name, shown, matrix=quarter, pictures=3, full_range=True)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
    assert frame.color_range == 2
    assert abs(frame.rotation) == 90
    luma = frame.to_ndarray()[:96]
    assert (luma.min(), luma.max()) == (0, 255)


def test_exif_and_truncated_jpegs(tmp_path: Path) -> None:
    path = hard_cases.exif_avi(tmp_path / "a.avi")
    with av.open(str(path)) as container:
        packets = [bytes(p) for p in container.demux() if p.size]
        assert container.streams.video[0].average_rate == 25
    assert len(packets) == 25
    assert all(b"Exif\0\0" in p for p in packets)
    assert len(decoded(path, "video")[0]) == 25
    np.testing.assert_allclose(stamps(path, "video"), every(0.04, 25))

    path = hard_cases.truncated_jpeg_avi(tmp_path / "b.avi")
    with av.open(str(path)) as container:
        whole = [bytes(p).rstrip(b"\0").endswith(b"\xff\xd9") for p in container.demux() if p.size]
    assert whole == [k % 3 != 2 for k in range(25)]


def test_tracks(tmp_path: Path) -> None:
    path = hard_cases.multi_track(
        tmp_path / "a.mkv",
        [
            Track("video", 40, "screen"),
            Track("video", 200, "camera", default=True),
            Track("audio", 0, "desktop"),
            Track("audio", 300, "microphone", default=True),
            Track("audio", 0, "empty", seconds=0),
        ],
    )
    with av.open(str(path)) as container:
        found = [
            (s.type, s.metadata["title"], Disposition.default in s.disposition) for s in container.streams
        ]
        packets = [0] * len(found)
        for packet in container.demux():
            packets[packet.stream.index] += packet.dts is not None
    assert found == [
        ("video", "screen", False),
        ("video", "camera", True),
        ("audio", "desktop", False),
        ("audio", "microphone", True),
        ("audio", "empty", False),
    ]
    assert packets == [50, 50, 32, 32, 0]
