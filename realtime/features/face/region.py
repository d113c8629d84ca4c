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
        low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
        size = EXPANSION * float((high - low).max())
        x, y = ((low + high) / 2).tolist()
        across = landmarks[_LEFT_EYE, :2] - landmarks[_RIGHT_EYE, :2]
        return cls(x, y, size, size, math.atan2(across[1], across[0]))

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
        matrix = self.axes()
        matrix[:, :2] /= size
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped: NDArray[np.uint8] = cv2.warpAffine(
            picture, matrix, (size, size), flags=flags, borderMode=border
        )
        return warped

    def overlap(self, other: "Region") -> float:
        """Intersection over union of the two, 0..1, as if both were upright."""
        across = _shared(self.x, self.width, other.x, other.width)
        down = _shared(self.y, self.height, other.y, other.height)
        both = across * down
        return both / (self.width * self.height + other.width * other.height - both)


def _shared(a: float, a_size: float, b: float, b_size: float) -> float:
    """Length that two intervals share, given their centres and lengths."""
    return max(0.0, min(a + a_size / 2, b + b_size / 2) - max(a - a_size / 2, b - b_size / 2))
