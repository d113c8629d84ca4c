"""The pictures of a recording."""

import gc
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from enrapt.realtime.sources.decoded import decode_jpeg
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.sources.upright import upright
from enrapt.realtime.streams.samples import SECOND
from tests.support import hard_cases
from tests.support.recordings import MS, create, every, picture, read, times, write


@pytest.mark.parametrize("rate", [5, 25, 30, 120])
def test_pictures_have_their_presentation_times(tmp_path: Path, rate: int) -> None:
    file = write(tmp_path / "a.mp4", pictures=every(1 / rate, 50), codec="libx264")
    recording = Recording(file)
    frames, sounds = read(recording)
    assert sounds == []
    # The file's time base is 1/12,000 s.
    assert times(frames) == [round(k * 12_000 / rate) * SECOND // 12_000 for k in range(50)]
    assert recording.duration == pytest.approx(50 / rate, rel=0.1)  # the last has no successor
    assert (recording.video is not None, recording.audio is not None, frames[0].image.shape) == (
        True,
        False,
        (24, 32, 3),
    )
    assert not recording.found.pictures


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
def test_every_pixel_format_becomes_rgb(tmp_path: Path, pixels: str) -> None:
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
        (0, ONE, -ONE, 0, np.rot90(F, -1)),  # a phone held upright: a quarter turn clockwise
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
    np.testing.assert_array_equal(upright(F, (a, b, c, d)), expected)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_the_display_matrix_is_applied(tmp_path: Path, suffix: str) -> None:
    matrix = [0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30]
    codec = "libx264" if suffix == "mp4" else "ffv1"
    file = write(tmp_path / f"a.{suffix}", pictures=[0, 0.1], size=(48, 32), matrix=matrix, codec=codec)
    frames, _ = read(Recording(file))
    assert [frame.image.shape for frame in frames] == [(48, 32, 3)] * 2
    assert all(frame.image.flags.c_contiguous for frame in frames)


def test_a_picture_is_freed_with_its_last_use() -> None:
    """Nothing is left for the garbage collector, which would let some hundred of them wait."""
    jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), 100, np.uint8))[1].tobytes()
    assert decode_jpeg(jpeg) is not None
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            decode_jpeg(jpeg)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_duplicate_and_backward_pictures_are_dropped_and_counted(tmp_path: Path) -> None:
    # Matroska accepts any presentation times of raw pictures.
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
        assert recording.found.pictures == {"duplicate": 1, "backward": 2}


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
    assert (recording.video is not None, recording.audio is not None) == (False, True)
    assert read(recording)[0] == []


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize("turned", [None, 90, 180])
@pytest.mark.parametrize("ratio", ["1", "4/3", "16/15", "8/9", "64/45", "1/2", "2"])
@pytest.mark.parametrize(
    ("suffix", "codec", "pixels"),
    [("mp4", "libx264", "yuv420p"), ("mkv", "mpeg4", "yuv420p"), ("mov", "qtrle", "rgb24")],
)
def test_pixels_are_square_whatever_else_changes_the_picture(
    tmp_path: Path, suffix: str, codec: str, pixels: str, ratio: str, turned: int | None, full_range: bool
) -> None:
    """The same picture as with square pixels, whichever side of them is longer, turned, of any range."""
    if pixels == "rgb24" and full_range:
        return  # it has no other
    y, x = np.mgrid[:192, :256]
    shown = np.stack((x, y, 255 - x), axis=-1).astype(np.uint8)
    shown[60:130, 90:160] = (200, 30, 60)
    matrix = {None: None, 90: (0, 1 << 16, -(1 << 16), 0), 180: (-(1 << 16), 0, 0, -(1 << 16))}[turned]
    whole = None if matrix is None else (*matrix[:2], 0, *matrix[2:], 0, 0, 0, 1 << 30)
    what = {"pictures": 1, "codec": codec, "pixels": pixels, "matrix": whole, "full_range": full_range}
    file = hard_cases.anamorphic(tmp_path / f"a.{suffix}", shown, Fraction(ratio), **what)
    [frame] = read(Recording(file))[0]
    image = cv2.resize(frame.image, (192, 256) if turned == 90 else (256, 192), interpolation=cv2.INTER_AREA)
    expected = np.rot90(shown, {None: 0, 90: -1, 180: 2}[turned])
    across, down = frame.image.shape[1] / expected.shape[1], frame.image.shape[0] / expected.shape[0]
    assert across == pytest.approx(down, rel=0.01)
    assert np.abs(image.astype(int) - expected).mean() < 4
