"""How far a face can be trusted: 1 for a good picture of it, 0 where the features say little.

Each limit was measured as the change of the blendshapes against the same face in the good picture, see
`benchmarks/face_quality.py`: quality begins to fall where the one that changes most does so by 0.05, and is 0
where they do so on average. For the head's angles it is 0 where the network begins to lose the face.
"""

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from ....contracts.schemas import FACE
from .region import EXPANSION, extent
from .tracker import GREY, Face

# Good from here on, and useless.
WIDTH: Final = (64.0, 20.0)  # pixels
SHARPNESS: Final = (0.22, 0.09)  # standard deviation of the Laplacian over that of the face, 85 pixels wide
BRIGHTNESS: Final = (20.0, 4.0)  # mean of 0..255
OUTSIDE: Final = (0.1, 0.4)  # share of the face beyond the edge of the picture
YAW: Final = (math.radians(25), math.radians(55))
PITCH: Final = (math.radians(20), math.radians(45))

_INNER: Final = slice(round(GREY * (1 - 1 / EXPANSION) / 2), round(GREY * (1 + 1 / EXPANSION) / 2))
_YAW, _PITCH = FACE.index("yaw"), FACE.index("pitch")


def quality_of(face: Face, values: NDArray[np.float32], width: int, height: int) -> tuple[float, str | None]:
    """Quality of a face, 0..1, and where it is 0, why.

    Args:
        values: float32 `[57]`, its features.
        width, height: of the picture, pixels.
    """
    inner = face.grey[_INNER, _INNER]
    (brightness,), (contrast,) = cv2.meanStdDev(inner)
    _, (detail,) = cv2.meanStdDev(cv2.Laplacian(inner, cv2.CV_16S))
    sharpness = float(detail[0]) / (float(contrast[0]) + 1)
    qualities = {
        "too small": _ramp(math.log(max(face.width, 1.0)), *map(math.log, WIDTH)),
        "partly out of view": _ramp(_outside(face, width, height), *OUTSIDE),
        "too dark": _ramp(float(brightness[0]), *BRIGHTNESS),
        "blurred": _ramp(math.log(max(sharpness, 1e-3)), *map(math.log, SHARPNESS)),
        "turned away": min(_ramp(abs(float(values[_YAW])), *YAW), _ramp(abs(float(values[_PITCH])), *PITCH)),
    }
    problem, quality = min(qualities.items(), key=lambda item: item[1])
    return quality, problem if quality == 0 else None


def _ramp(x: float, good: float, useless: float) -> float:
    """From 1 at `good` to 0 at `useless`."""
    return min(1.0, max(0.0, (x - useless) / (good - useless)))


def _outside(face: Face, width: int, height: int) -> float:
    """Share of the box of the landmarks that is beyond the edges of the picture."""
    left, right, top, bottom = extent(face.landmarks)
    across = max(0.0, min(right, width) - max(left, 0.0)) / (right - left)
    down = max(0.0, min(bottom, height) - max(top, 0.0)) / (bottom - top)
    return 1.0 - across * down
