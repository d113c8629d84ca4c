"""Faces in a picture: BlazeFace, decoded from its anchors, and weighted non-maximum suppression.

Source: V. Bazarevsky et al., "BlazeFace: sub-millisecond neural face detection on mobile GPUs", CVPR
workshop 2019. Constants are those of the short-range network in MediaPipe's face_detector_graph (Apache-2.0).
"""

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from .region import EXPANSION, Region

SIZE: Final = 128  # pixels of the network's input
ANCHORS: Final = 896
COORDINATES: Final = 16  # of an anchor: x, y, width, height, and six points
MIN_SCORE: Final = 0.5
MAX_OVERLAP: Final = 0.5  # intersection over union above which two boxes are one face
_LAYERS: Final = ((8, 2), (16, 6))  # stride, anchors at each place

# Pixels `[128, 128, 3]` from -1 to 1 to `[896, 16]` and `[896]`.
Network = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]


class Detection(NamedTuple):
    """A face that was found.

    Attributes:
        score: 0..1.
        region: where to look for its landmarks.
    """

    score: float
    region: Region


def anchors() -> NDArray[np.float32]:
    """Centres of the anchors, `[896, 2]`, x and y as shares of the input."""
    places = []
    for stride, each in _LAYERS:
        n = SIZE // stride
        y, x = np.mgrid[:n, :n]
        places.append(((np.stack([x.ravel(), y.ravel()], 1) + 0.5) / n).repeat(each, 0))
    return np.concatenate(places).astype(np.float32)


_ANCHORS: Final = anchors()


def detect(network: Network, picture: NDArray[np.uint8]) -> list[Detection]:
    """Faces in a picture (uint8 `[height, width, 3]`, RGB), the one with the best score first."""
    height, width = picture.shape[:2]
    side = float(max(height, width))
    whole = Region(width / 2, height / 2, side, side, 0.0)
    pixels = whole.crop(picture, SIZE, cv2.BORDER_CONSTANT).astype(np.float32)
    raw, logits = network(pixels * np.float32(2 / 255) - 1)
    found = np.flatnonzero(logits >= math.log(MIN_SCORE / (1 - MIN_SCORE)))
    if not found.size:
        return []
    scores = (1 / (1 + np.exp(-np.clip(logits[found], -100, 100)))).astype(np.float32)
    values = raw[found].reshape(-1, COORDINATES // 2, 2) / np.float32(SIZE)
    # pairs of x and y: centre, size, six points
    sizes = values[:, 1].copy()
    values += _ANCHORS[found, None]
    centres, points = values[:, 0], values[:, 2:]
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], 1)
    scale = whole.axes()
    faces = []
    for score, box, eyes in suppressed(scores, boxes, points):
        (left, top), (right, bottom) = (box.reshape(2, 2) @ scale[:, :2].T + scale[:, 2]).tolist()
        across = (eyes[1] - eyes[0]).tolist()
        faces.append(
            Detection(
                score,
                Region(
                    (left + right) / 2,
                    (top + bottom) / 2,
                    EXPANSION * (right - left),
                    EXPANSION * (bottom - top),
                    math.atan2(across[1], across[0]),
                ),
            )
        )
    return faces


def suppressed(
    scores: NDArray[np.float32], boxes: NDArray[np.float32], points: NDArray[np.float32]
) -> list[tuple[float, NDArray[np.float32], NDArray[np.float32]]]:
    """Weighted non-maximum suppression: boxes that overlap the best one are averaged by their scores.

    Args:
        scores: `[n]`.
        boxes: `[n, 4]`, left, top, right, bottom.
        points: `[n, 6, 2]`.

    Returns:
        Score of the best box, average box `[4]` and average points `[6, 2]` of each face, best first.
    """
    order = np.argsort(-scores, kind="stable")
    faces = []
    while order.size:
        best, rest = boxes[order[0]], boxes[order]
        size = np.minimum(best[2:], rest[:, 2:]) - np.maximum(best[:2], rest[:, :2])
        shared = np.maximum(size, 0).prod(1)
        areas = (rest[:, 2:] - rest[:, :2]).prod(1)
        same = shared / (areas + areas[0] - shared) > MAX_OVERLAP
        same[0] = True  # a box without area overlaps nothing
        weights = scores[order[same]] / scores[order[same]].sum()
        box = weights @ boxes[order[same]]
        faces.append((float(scores[order[0]]), box, np.tensordot(weights, points[order[same]], 1)))
        order = order[~same]
    return faces
