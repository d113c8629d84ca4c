"""A portrait that moves: a mesh of face landmarks, displaced by blendshapes and turned by a head's pose.

The mesh has the 478 landmarks of the face model, rings of hair and neck around them, and fixed points of the
background.
Each action moves a few landmarks by some centimetres; between these a Gaussian radial basis spreads the
movement. Triangles are drawn from far to near, each with its part of the portrait.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from enrapt.realtime.features.face.networks import Networks
from enrapt.realtime.features.face.pose import FIELD_OF_VIEW, Pose
from enrapt.realtime.features.face.tracker import Tracker

Array = NDArray[np.float64]

SIZE: Final = (640, 480)
# Size of a ring, share of the head's motion.
RINGS: Final = ((1.15, 1.0), (1.4, 1.0), (1.75, 0.6), (2.2, 0.15))

# Landmarks of the face model, from the picture's left to its right.
UPPER_LIP: Final = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_LIP: Final = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
UPPER_EDGE: Final = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LOWER_EDGE: Final = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
CHIN: Final = (152, 148, 377, 176, 400, 199, 175, 18, 200, 201, 421, 83, 313)
CHEEKS: Final = (2, 50, 280, 205, 425, 58, 288, 98, 327, 132, 361, 4, 64, 294, 149, 378)
NOSE: Final = (1, 5, 195, 6, 45, 275, 48, 278, 115, 344, 203, 423)
EYES: Final = {  # upper lid, lower lid, iris; the person's right is on the picture's left
    "Right": ((246, 161, 160, 159, 158, 157, 173), (7, 163, 144, 145, 153, 154, 155), range(468, 473)),
    "Left": ((466, 388, 387, 386, 385, 384, 398), (249, 390, 373, 374, 380, 381, 382), range(473, 478)),
}
CORNERS: Final = {"Right": (33, 133), "Left": (263, 362)}
BROWS: Final = {  # inner, outer
    "Right": ((107, 55, 66, 65), (105, 52, 63, 53, 70, 46)),
    "Left": ((336, 285, 296, 295), (334, 282, 293, 283, 300, 276)),
}
STILL: Final = {"Right": (33, 133, 159, 158, 160, 6, 10, 127), "Left": (263, 362, 386, 385, 387, 6, 10, 356)}

# Centimetres at a blendshape of 1.
JAW, BROW, SIDEWAYS, UP = 3.0, 0.9, 0.8, 0.45
CLOSED_CORNER: Final = (0.75, -0.45)  # from the portrait's smile to lips at rest: inwards, down


class Portrait:
    """Pictures of a portrait whose face moves.

    Args:
        picture: uint8 `[h, w, 3]`, RGB, with one face.
        view: x and y of its centre and width, pixels of `picture`.
        model: `face_landmarker.task`.
    """

    def __init__(self, picture: NDArray[np.uint8], view: tuple[float, float, float], model: Path) -> None:
        self._bases: dict[tuple[tuple[int, ...], float], Array] = {}
        networks = Networks(model)
        zoom = SIZE[0] / view[2]
        place = np.array([[zoom, 0, SIZE[0] / 2 - zoom * view[0]], [0, zoom, SIZE[1] / 2 - zoom * view[1]]])
        self._texture = cv2.resize(picture, None, fx=2.0, fy=2.0, interpolation=cv2.INTER_LANCZOS4)
        start = cv2.warpAffine(picture, place, SIZE, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        tracker = Tracker(networks)
        for k in range(10):  # smoothed over time
            (face,) = tracker.track(start, 40 * k)
        pose = Pose(networks.geometry)
        rotation, self._position = pose(face.landmarks, *SIZE)
        self._rotation = rotation / np.cbrt(np.linalg.det(rotation))
        face_cm = pose.metric(face.landmarks, *SIZE, slice(None))
        self._face = (face_cm - self._position) @ self._rotation  # on the head's axes
        self._rings()
        around = self._project(self._head @ self._rotation.T + self._position)
        right, bottom = SIZE
        margin = 400
        edges = [(x, y) for x in np.linspace(-margin, right + margin, 9) for y in (-margin, bottom + margin)]
        edges += [(x, y) for y in np.linspace(-margin, bottom + margin, 9) for x in (-margin, right + margin)]
        inside = [p for p in np.mgrid[0 : right + 1 : 80, 0 : bottom + 1 : 80].reshape(2, -1).T
                  if np.abs(around - p).sum(1).min() > 70 and self._outside(p, around)]  # fmt: skip
        self._fixed = np.unique(np.array([*edges, *inside], float), axis=0)
        rest = np.vstack([around, self._fixed])
        self._triangles = Delaunay(rest).simplices
        self._source = (rest - place[:, 2]) / zoom * 2 + 0.5  # on the texture

    def _rings(self) -> None:
        """Points of hair and neck around the face, on the head's axes."""
        oval = cv2.convexHull(self._face[:468, :2].astype(np.float32), returnPoints=False).ravel()
        edge, centre = self._face[oval], self._face[:468].mean(0)
        rings = [self._face]
        weights = [np.ones(len(self._face))]
        for size, weight in RINGS:
            ring = centre + size * (edge - centre)
            ring[:, 2] = edge[:, 2].mean() - 1.5 * (size - 1)
            rings.append(ring)
            below = np.clip((centre[1] - 3 - ring[:, 1]) / 6, 0, 1)  # the neck moves less than the head
            weights.append(weight * (1 - 0.8 * below))
        self._head, self._moves = np.vstack(rings), np.concatenate(weights)[:, None]

    @staticmethod
    def _outside(point: Array, around: Array) -> bool:
        hull = cv2.convexHull(around.astype(np.float32))
        return cv2.pointPolygonTest(hull, (float(point[0]), float(point[1])), False) < 0

    def _project(self, points: Array) -> Array:
        """Centimetres on the camera's axes to pixels."""
        focal = SIZE[1] / (2 * math.tan(FIELD_OF_VIEW / 2))
        return np.array(SIZE) / 2 + focal * points[:, :2] * (1, -1) / -points[:, 2:]

    def moved(self, shapes: Mapping[str, float], turn: Sequence[float], shift: Sequence[float]) -> Array:
        """All vertices, `[n, 2]` pixels; see `picture`."""
        head = self._head.copy()
        head[:478, :2] += self.displacement(shapes)
        before = head @ self._rotation.T + self._position
        after = head @ (rotation_of(*turn) @ self._rotation).T + self._position + shift
        seen = before + self._moves * (after - before)
        self._depth = seen[:, 2]
        return np.vstack([self._project(seen), self._fixed])

    def picture(
        self, shapes: Mapping[str, float], turn: Sequence[float], shift: Sequence[float], pan: Array
    ) -> NDArray[np.uint8]:
        """The picture, uint8 `[480, 640, 3]`.

        Args:
            shapes: blendshapes, 0 to 1; for all but the smile relative to the portrait's.
            turn: yaw, pitch and roll from the portrait's, rad.
            shift: x, y and z from the portrait's place, cm; all on the axes of `face/1`.
            pan: the camera's turn, a map of pixels `[2, 3]`.
        """
        target = self.moved(shapes, turn, shift) @ pan[:, :2].T + pan[:, 2]
        corners, sources = target[self._triangles], self._source[self._triangles]
        depth = np.concatenate([self._depth, np.full(len(self._fixed), -1e3)])
        order = np.argsort(depth[self._triangles].mean(1))
        which = np.full(SIZE[::-1], -1, np.int32)
        for k in order:
            cv2.fillConvexPoly(which, np.round(corners[k] * 16).astype(np.int32), int(k), shift=4)
        a = corners[:, 1:] - corners[:, :1]  # [n, 2, 2], edges in rows
        area = a[:, 0, 0] * a[:, 1, 1] - a[:, 0, 1] * a[:, 1, 0]
        a[np.abs(area) < 1e-2] += np.eye(2)
        into = np.linalg.solve(a, sources[:, 1:] - sources[:, :1])
        offset = sources[:, 0] - np.einsum("ni,nij->nj", corners[:, 0], into)
        y, x = np.mgrid[: SIZE[1], : SIZE[0]].astype(np.float32)
        m, b = into.astype(np.float32)[which], offset.astype(np.float32)[which]
        at = [x * m[..., 0, i] + y * m[..., 1, i] + b[..., i] for i in (0, 1)]
        return np.asarray(
            cv2.remap(self._texture, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), np.uint8
        )

    def displacement(self, shapes: Mapping[str, float]) -> Array:
        """Of the landmarks, cm on the head's axes, `[478, 2]`."""
        face = self._face[:, :2]
        out = np.zeros((478, 2))
        # Lips at rest are a seam; the portrait smiles with its teeth showing.
        rest = 1 - np.clip(shapes["smile"], 0, 1)
        gap = (face[list(UPPER_LIP), 1] - face[list(LOWER_LIP), 1])[:, None] * (0, 1)
        middle, half = face[[13, 14], 0].mean(), np.abs(face[[61, 291], 0] - face[13, 0]).mean()

        def inwards(points: Sequence[int]) -> Array:
            side = (face[list(points), 0] - middle) / half
            return np.column_stack([-CLOSED_CORNER[0] * side, CLOSED_CORNER[1] * side**2])

        narrow = {p: inwards([p])[0] for row in (UPPER_LIP, LOWER_LIP, UPPER_EDGE, LOWER_EDGE) for p in row}
        moves = dict.fromkeys(CHEEKS + NOSE, np.zeros(2)) | {p: np.zeros(2) for p in CHIN}
        for row, share in ((UPPER_LIP, -0.35), (LOWER_LIP, 0.65), (UPPER_EDGE, -0.25), (LOWER_EDGE, 0.4)):
            moves |= {p: narrow[p] + share * g for p, g in zip(row, gap, strict=True)}
        out += rest * self._spread(moves, 1.2)

        jaw = dict.fromkeys(CHEEKS + NOSE, np.zeros(2)) | dict.fromkeys(UPPER_LIP, np.zeros(2))
        for row in (LOWER_LIP, LOWER_EDGE):
            jaw |= {p: np.array([0, -(1 - (k / 5 - 1) ** 2)]) for k, p in enumerate(row)}
        jaw |= dict.fromkeys(CHIN, np.array([0, -0.6]))
        out += JAW * shapes["jaw"] * self._spread(jaw, 1.5)

        for side, (inner, outer) in BROWS.items():
            brow = dict.fromkeys(STILL[side], np.zeros(2)) | dict.fromkeys(inner, np.array([0, 1.0]))
            brow |= dict.fromkeys(outer[:2], np.array([0, 0.4]))
            rise = shapes["browInner"] * self._spread(brow, 1.0)
            brow = dict.fromkeys(STILL[side], np.zeros(2)) | dict.fromkeys(outer, np.array([0, 1.0]))
            out += BROW * (rise + shapes[f"browOuter{side}"] * self._spread(brow, 1.0))
        for side, (upper, lower, iris) in EYES.items():
            out += self._eye(shapes, side, upper, lower, iris)
        return out

    def _eye(
        self,
        shapes: Mapping[str, float],
        side: str,
        upper: Sequence[int],
        lower: Sequence[int],
        iris: Sequence[int],
    ) -> Array:
        face, blink = self._face[:, :2], np.clip(shapes[f"blink{side}"], -0.3, 1)
        look = np.array([SIDEWAYS * shapes["right"], UP * shapes["up"]])
        lid = (face[list(lower)] - face[list(upper)]) * blink + 0.6 * look * (0, 1)
        edge = dict.fromkeys([*CORNERS[side], *sum(BROWS[side], ()), 6, *lower], np.zeros(2))
        out = self._spread(edge | dict(zip(upper, lid, strict=True)), 0.5)
        out[list(iris)] = 0
        floor = face[list(lower), 1].mean()
        for point in iris:  # squeezed with the lids
            moved = face[point] + look
            out[point] = look * (1, 1 - max(blink, 0)) + (0, (floor - moved[1]) * max(blink, 0))
        return out

    def _spread(self, moves: Mapping[int, Array], width: float) -> Array:
        """Displacements of all landmarks, `[478, 2]`: exactly `moves` at its landmarks, and between these by
        a Gaussian kernel of that width, cm."""
        key = (tuple(moves), width)
        if key not in self._bases:
            face, at = self._face[:, :2], self._face[list(moves), :2]
            kernel = np.exp(-((face[:, None] - at) ** 2).sum(-1) / (2 * width**2))
            inverse = np.linalg.inv(kernel[list(moves)] + 1e-3 * np.eye(len(at)))
            self._bases[key] = kernel @ inverse
        return np.asarray(self._bases[key] @ np.array(list(moves.values())))


def rotation_of(yaw: float, pitch: float, roll: float) -> Array:
    """R = Ry(yaw) Rx(pitch) Rz(roll), as in `face/1`."""
    (sy, sx, sz), (cy, cx, cz) = np.sin([yaw, pitch, roll]), np.cos([yaw, pitch, roll])
    y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(y @ x @ z)
