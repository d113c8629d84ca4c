"""Where a face is in a picture: a rectangle that turns with the head, and its pixels as a network's input.

Source: the calculators DetectionsToRects, RectTransformation, ImageToTensor and LandmarkProjection of
MediaPipe (Apache-2.0), whose constants the networks were trained with.
"""

import math
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

EXPANSION: Final = 1.5  # of the face's size: it may move until the next picture
_RIGHT_EYE, _LEFT_EYE = 33, 263  # landmarks; the person's outer corners, on the left and right of the picture


class Region(NamedTuple):
    """A rectangle in a picture, in pixels from its top left corner.

    Attributes:
        x, y: centre.
        width, height: along its own axes.
        angle: radians, clockwise in the picture; 0 for an upright face.
    """

    x: float
    y: float
    width: float
    height: float
    angle: float

    @classmethod
    def around(cls, landmarks: NDArray[np.float32]) -> "Region":
        """The square in which to look for the same face in the next picture.

        Args:
            landmarks: `[478, ≥2]`, pixels.
        """
        left, right, top, bottom = extent(landmarks)
        size = EXPANSION * max(right - left, bottom - top)
        across, down = (landmarks[_LEFT_EYE, :2] - landmarks[_RIGHT_EYE, :2]).tolist()
        return cls((left + right) / 2, (top + bottom) / 2, size, size, math.atan2(down, across))

    def axes(self) -> NDArray[np.float32]:
        """`[2, 3]`, from shares of the rectangle, 0..1 from its top left corner, to pixels of the picture."""
        c, s = math.cos(self.angle), math.sin(self.angle)
        a, b = self.width, self.height
        return np.array(
            [
                [a * c, -b * s, self.x + (b * s - a * c) / 2],
                [a * s, b * c, self.y - (b * c + a * s) / 2],
            ],
            np.float32,
        )

    def crop(self, picture: NDArray[np.uint8], size: int, border: int) -> NDArray[np.uint8]:
        """Its pixels, uint8 `[size, size, 3]`; `border` is what lies beyond the picture, as in OpenCV."""
        height, width = picture.shape[:2]
        half_x = (abs(math.cos(self.angle)) * self.width + abs(math.sin(self.angle)) * self.height) / 2 + 2
        half_y = (abs(math.sin(self.angle)) * self.width + abs(math.cos(self.angle)) * self.height) / 2 + 2
        left, right = _clipped(self.x, half_x, width)
        top, bottom = _clipped(self.y, half_y, height)
        matrix = self.axes()
        matrix[:, :2] /= size
        matrix[:, 2] -= left, top
        # OpenCV 5 takes half the time for four channels that it takes for three.
        part = cv2.cvtColor(picture[top:bottom, left:right], cv2.COLOR_RGB2RGBA)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(part, matrix, (size, size), flags=flags, borderMode=border)
        pixels: NDArray[np.uint8] = cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB)
        return pixels


def extent(landmarks: NDArray[np.floating]) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of landmarks `[n, ≥2]`."""
    x, y = landmarks[:, 0], landmarks[:, 1]  # along the rows it takes four times as long
    return float(x.min()), float(x.max()), float(y.min()), float(y.max())


def _clipped(centre: float, half: float, size: int) -> tuple[int, int]:
    """Where a stretch of pixels begins and ends, within the picture and not empty."""
    begin = min(max(math.floor(centre - half), 0), size - 1)
    return begin, max(min(math.ceil(centre + half), size), begin + 1)
