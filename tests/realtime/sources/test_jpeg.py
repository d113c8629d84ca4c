"""A JPEG that was cut off is no picture; one that decodes completely is, whatever surrounds it."""

import cv2
import numpy as np
import pytest

from enrapt.realtime.sources.decoded import decode_jpeg
from tests.support.mjpeg import with_exif

KINDS = {
    "baseline": [],
    "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    "restart markers": [cv2.IMWRITE_JPEG_RST_INTERVAL, 4],
    "4:4:4": [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
}
END = b"\xff\xd9"


@pytest.fixture(params=[*KINDS, "grey", "thumbnail in EXIF"])
def jpeg(request: pytest.FixtureRequest) -> bytes:
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 255, (24, 32, 3), np.uint8), (320, 240))
    options = [cv2.IMWRITE_JPEG_QUALITY, 80, *KINDS.get(request.param, [])]
    data = cv2.imencode(".jpg", image[:, :, 0] if request.param == "grey" else image, options)[1].tobytes()
    if request.param == "thumbnail in EXIF":  # it has an end marker of its own
        small = cv2.imencode(".jpg", cv2.resize(image, (40, 30)))[1].tobytes()
        data = with_exif(data, small)
    return data


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.98])
@pytest.mark.parametrize("end", [b"", END, bytes(50_000)], ids=["cut", "ended", "padded"])
def test_cut_off(jpeg: bytes, part: float, end: bytes) -> None:
    assert decode_jpeg(jpeg[: round(part * len(jpeg))] + end) is None


def test_cut_off_and_another_begins(jpeg: bytes) -> None:
    """A camera's buffer with the rest of an older picture."""
    assert decode_jpeg(jpeg[: len(jpeg) * 3 // 4] + jpeg) is None


def test_whole(jpeg: bytes) -> None:
    image = decode_jpeg(jpeg)
    assert image is not None
    assert image.shape == (240, 320, 3)
    for same in (
        jpeg + bytes(500),
        jpeg + b"\r\n",
        jpeg[:-2],  # the camera leaves the end marker out
        jpeg[:-2] + b"excess" + END,
        jpeg[:2] + b"\xff\xe2\0\4xx" + jpeg[2:],  # some block of a maker's
        with_exif(jpeg, b"\xff" * 50),
    ):
        np.testing.assert_array_equal(decode_jpeg(same), image)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"no picture", bytes(1000)])
def test_no_jpeg(data: bytes) -> None:
    assert decode_jpeg(data) is None
