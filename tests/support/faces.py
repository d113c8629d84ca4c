"""Pictures of faces, and face features from a stand-in."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from enrapt.realtime.features.face import Extractor, FaceOptions

Picture = NDArray[np.uint8]
PORTRAIT: Final = Path(__file__).with_name("portrait.jpg")
FRAME: Final = 40_000_000  # ns, at 25 frames/s


@dataclass(frozen=True)
class FacesFrom(FaceOptions):
    """Every stream of pictures takes its features from this extractor."""

    extractor: Any = field(default=None, kw_only=True)

    def open(self) -> Extractor:
        return self.extractor


def pictures(clip: Path) -> Iterator[Picture]:
    """Those of a video, RGB."""
    with av.open(clip) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


@cache
def portrait() -> Picture:
    """The portrait of the demo clip, 640×480: a head and its shoulders, the face 146 pixels wide.

    NASA's of the astronaut Eileen Collins, in the public domain.
    """
    return np.asarray(cv2.cvtColor(cv2.imread(str(PORTRAIT)), cv2.COLOR_BGR2RGB), np.uint8)


def moved(
    picture: Picture, degrees: float = 0.0, zoom: float = 1.0, right: float = 0.0, down: float = 0.0
) -> Picture:
    """The picture rotated counter-clockwise about its centre, scaled, then moved by pixels."""
    height, width = picture.shape[:2]
    transform = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, zoom)
    transform[:, 2] += right, down
    turned = cv2.warpAffine(picture, transform, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(turned, dtype=np.uint8)


def head(stretch: float = 1.0, mirrored: bool = False) -> Picture:
    """The portrait's head, 290 pixels high, its face in the middle; another person by another width."""
    cut = portrait()[:, ::-1][:290, 208:498] if mirrored else portrait()[:290, 142:432]
    return np.asarray(cv2.resize(cut, (round(290 * stretch), 290), interpolation=cv2.INTER_AREA), np.uint8)


def scene(*people: tuple[Picture, float], size: tuple[int, int] = (320, 800)) -> Picture:
    """People before a grey wall, each with the x of its middle; the last one is in front."""
    picture = np.full((*size, 3), 120, np.uint8)
    for person, x in people:
        height, width = person.shape[:2]
        left = round(x - width / 2)
        begin, end = max(left, 0), min(left + width, size[1])
        if begin < end:
            picture[size[0] - height :, begin:end] = person[:, begin - left : end - left]
    return picture
