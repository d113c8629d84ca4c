"""The head's rotation and position in centimetres, from landmarks and the canonical face.

Landmarks give x and y in the picture and a relative depth. The canonical face has known sizes: the scale and
rotation that best take it to the landmarks, twice, give the distance; a third fit gives the pose.

Source: MediaPipe's face_geometry (Apache-2.0), steps 1 to 5 of `ScreenToMetricSpaceConverter`; the fit is the
weighted orthogonal Procrustes problem, D. Akca, "Generalized Procrustes analysis and its applications in
photogrammetry", 2003, section 2.4.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ....bundle.protobuf import fields, integers, nested

FIELD_OF_VIEW: Final = math.radians(63)  # vertical; what MediaPipe assumes of a camera
POINTS: Final = 468  # landmarks without those of the irises
_VERTEX: Final = 5  # numbers: x, y, z and two of texture
# GeometryPipelineMetadata
_MESH, _BASIS = 1, 2
# Mesh3d; WeightedLandmarkRef
_VERTICES = 3
_LANDMARK, _WEIGHT = 1, 2


class Pose:
    """Fits the canonical face to landmarks.

    Args:
        geometry: `geometry_pipeline_metadata_landmarks.binarypb` of the face model.

    Raises:
        ValueError: it is damaged.
    """

    def __init__(self, geometry: bytes) -> None:
        message = memoryview(geometry)
        (mesh,) = nested(message, _MESH)
        floats = b"".join(bytes(f.value) for f in fields(mesh) if f.number == _VERTICES)
        vertices = np.frombuffer(floats, "<f4").reshape(POINTS, _VERTEX)
        weights = {}
        for reference in nested(message, _BASIS):
            (landmark,) = integers(reference, _LANDMARK)
            (weight,) = (bytes(f.value) for f in fields(reference) if f.number == _WEIGHT)
            weights[landmark] = np.frombuffer(weight, "<f4")[0]
        self._basis = np.array(sorted(weights))
        w = np.array([weights[i] for i in self._basis], np.float64)
        self._weights = w / w.sum()
        canonical = vertices[self._basis, :3].astype(np.float64)
        self._centre = self._weights @ canonical
        centred = canonical - self._centre
        self._weighted = self._weights[:, None] * centred  # [basis, 3]
        self._variance = float((self._weighted * centred).sum())

    def __call__(
        self, landmarks: NDArray[np.float32], width: int, height: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rotation `[3, 3]` and position `[3]` (cm) of the canonical face, on the axes of `face/1`.

        Args:
            landmarks: `[478, 3]`, pixels; z on the scale of x.
            width, height: of the picture, pixels.
        """
        points = self.metric(landmarks, width, height, self._basis)
        scale, rotation, position = self._fit(points)
        return scale * rotation, position

    def metric(
        self,
        landmarks: NDArray[np.float32],
        width: int,
        height: int,
        which: NDArray[np.int64] | slice = slice(POINTS),
    ) -> NDArray[np.float64]:
        """Landmarks in centimetres on the same axes, `[n, 3]`, for an average size of heads."""
        near = 2 * math.tan(FIELD_OF_VIEW / 2) / height  # at distance 1, the size of a pixel
        centre = width / 2, height / 2, landmarks[:POINTS, 2].mean(dtype=np.float64)
        # Depths are negative away from the camera: the metric axes are right-handed, the picture's are not.
        flat = (landmarks[self._basis] - centre) * (near, -near, -near)
        first = self._fit(flat)[0]
        second = self._fit(self._unprojected(flat, first))[0]
        chosen = (landmarks[which] - centre) * (near, -near, -near)
        return self._unprojected(chosen, first * second)

    @staticmethod
    def _unprojected(flat: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
        z = (1 - flat[:, 2]) / scale
        return np.column_stack([flat[:, :2] * z[:, None], -z])

    def _fit(self, target: NDArray[np.float64]) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """Scale, rotation and translation that best take the canonical face to these points."""
        product = target.T @ self._weighted
        u, _, v = np.linalg.svd(product)
        if _determinant(product) < 0:  # a reflection: singular values are not negative
            u[:, 2] *= -1
        rotation = u @ v
        scale = float(((self._weighted @ rotation.T) * target).sum()) / self._variance
        return scale, rotation, self._weights @ target - scale * rotation @ self._centre


def _determinant(matrix: NDArray[np.float64]) -> float:
    """Of `[3, 3]`; NumPy's general one takes ten times as long."""
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    return float(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))


def yaw_pitch_roll(rotation: NDArray[np.floating]) -> tuple[float, float, float]:
    """Angles of R = Ry(yaw) Rx(pitch) Rz(roll), in radians.

    Args:
        rotation: `[3, 3]`, a rotation, or a rotation times a positive factor.

    Returns:
        yaw and roll in (-π, π], pitch in [-π/2, π/2]. At pitch = ±π/2 yaw and roll have the same axis, and
        only their sum or difference is defined.
    """
    r = rotation.astype(np.float64)
    # R's second row is cos(pitch) sin(roll), cos(pitch) cos(roll), -sin(pitch); its third column is
    # sin(yaw) cos(pitch), -sin(pitch), cos(yaw) cos(pitch).
    yaw = np.arctan2(r[0, 2], r[2, 2])
    pitch = np.arctan2(-r[1, 2], np.hypot(r[1, 0], r[1, 1]))
    roll = np.arctan2(r[1, 0], r[1, 1])
    return float(yaw), float(pitch), float(roll)
