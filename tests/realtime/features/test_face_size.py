"""How large a face has to be."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from enrapt.realtime.features.face import FaceOptions
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
    _, view = FaceOptions(model).open().extract(picture, 0)
    return None if view.box is None else view.box[2] * picture.shape[1]


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
