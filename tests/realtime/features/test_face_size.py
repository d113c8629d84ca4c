"""How large a face is, and how large it has to be."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from enrapt.realtime.features.face import FaceFeatures
from enrapt.realtime.sources.camera_face import SMALLEST


@pytest.fixture(scope="module")
def portrait(shared: Path) -> NDArray[np.uint8]:
    with av.open(shared / "clips" / "pyfeat_single_face.mp4") as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def scaled(picture: NDArray[np.uint8], zoom: float, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture so much larger, in the corner of a grey one of that height and width."""
    small = cv2.resize(picture, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)[: size[0], : size[1]]
    canvas = np.full((*size, 3), 90, np.uint8)
    canvas[: small.shape[0], : small.shape[1]] = small
    return canvas


def width(model: Path, picture: NDArray[np.uint8]) -> float | None:
    """Of the face in it, pixels."""
    with FaceFeatures(model) as features:
        features.extract(picture, 0)
        assert features.landmarks is None
        return None if features.width is None else features.width * picture.shape[1]


def test_the_width_is_that_of_the_last_face(face_model: Path, portrait: NDArray[np.uint8]) -> None:
    whole = width(face_model, portrait)
    assert whole is not None
    half = scaled(portrait, 0.5, (480, 640))
    assert width(face_model, half) == pytest.approx(0.5 * whole, rel=0.05)
    with FaceFeatures(face_model) as features:
        assert features.width is None
        features.extract(portrait, 0)
        assert features.extract(np.zeros_like(portrait), 40_000_000) is None
        assert features.width == pytest.approx(whole / portrait.shape[1])


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (720, 1280)])
def test_a_face_is_found_from_an_eighth_of_the_longer_side(
    face_model: Path, portrait: NDArray[np.uint8], size: tuple[int, int]
) -> None:
    whole = width(face_model, portrait)
    assert whole is not None
    smallest = SMALLEST * max(size)
    assert width(face_model, scaled(portrait, 0.5 * smallest / whole, size)) is None
    found = width(face_model, scaled(portrait, 1.1 * smallest / whole, size))
    assert found == pytest.approx(1.1 * smallest, rel=0.1)
