"""Face features, schema `face/1`: blendshapes, head rotation and position of the person that is followed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....contracts.schemas import FACE
from ...streams.samples import View
from .clock import MILLISECOND, StreamClock
from .networks import Networks
from .person import Follower, Policy
from .pose import Pose, yaw_pitch_roll
from .quality import quality_of
from .region import extent
from .tracker import Face, Tracker


class FaceFeatures:
    """Extracts the features of one person's face from a stream of pictures.

    Faces are tracked and smoothed over time, so each stream needs its own instance; equal pictures at equal
    intervals give equal bytes. Positions assume a vertical field of view of 63°, as MediaPipe does: another
    lens scales x, y and z by one factor.

    Args:
        model: `face_landmarker.task`; see `model_file.find_face_model`.
        person, handover: whom to follow, see `person.Follower`.
        people: how many people's features are wanted, that one's included.

    Attributes:
        landmarks: float32 `[478, 2]` of the person in the last picture, x from its left and y from its top as
            fractions of its width and height; None if the person is not in view.
        others: likewise of the other people in that picture, by id.

    Raises:
        UserError: LiteRT is not installed, or cannot load the model.
    """

    def __init__(
        self,
        model: Path,
        person: Policy | int = "largest",
        handover: float | None = None,
        people: int = 1,
    ) -> None:
        self._networks = Networks(model)
        self._pose = Pose(self._networks.geometry)
        self._tracker = Tracker(self._networks)
        self._clock = StreamClock()
        self._follower, self._people = Follower(person, handover), people
        self.landmarks: NDArray[np.float32] | None = None
        self.others: Mapping[int, NDArray[np.float32]] = {}

    def extract(self, picture: NDArray[np.uint8], time: int) -> tuple[NDArray[np.float32] | None, View]:
        """Features of the person's face in the next picture of the stream, and who is in view.

        Args:
            picture: uint8 `[height, width, 3]`, RGB, of any size.
            time: ns; one not later than the one before counts as 1 ms later.

        Returns:
            float32 `[57]` in the order of `face/1`; None if the person is not in view, or the face is not
            good enough: see `View.problem`.
        """
        height, width = picture.shape[:2]
        at = self._clock(time) * MILLISECOND
        faces = self._tracker.track(picture, at)
        face = self._follower.choose(faces, width, at)
        rest = [one for one in faces if one is not face and one.id]
        self.others = {one.id: _shares(one, width, height) for one in rest}
        wanted = rest[: self._people - 1]
        others = tuple(self._view(one, len(faces), width, height) for one in wanted)
        if face is None:
            self.landmarks = None
            return None, View(len(faces), self._follower.person, others=others)
        self.landmarks = _shares(face, width, height)
        view = self._view(face, len(faces), width, height)
        return view.values, replace(view, values=None, others=others)

    def _view(self, face: Face, faces: int, width: int, height: int) -> View:
        """Of one face, with its features where they are good enough."""
        values = self._features(face, width, height)
        quality, problem = quality_of(face, values, width, height)
        box = box_of(face.landmarks / (width, height, width))
        return View(faces, face.id, box, quality, problem, values if problem is None else None)

    def _features(self, face: Face, width: int, height: int) -> NDArray[np.float32]:
        rotation, position = self._pose(face.landmarks, width, height)
        values = np.empty(FACE.dim, np.float32)
        values[:-6] = self._networks.blendshapes(face.landmarks)[1:]  # without `_neutral`
        values[-6:-3] = yaw_pitch_roll(rotation)
        values[-3:] = position
        return values

    def follow(self, person: int) -> None:
        """Follow the person with this id from now on; from any thread."""
        self._follower.follow(person)

    def close(self) -> None:
        """Does nothing: the memory is freed with the object."""


def _shares(face: Face, width: int, height: int) -> NDArray[np.float32]:
    return np.divide(face.landmarks[:, :2], (width, height), dtype=np.float32)


def box_of(landmarks: NDArray[np.floating]) -> tuple[float, float, float, float]:
    """Left, top, width and height of landmarks `[n, ≥2]`."""
    left, right, top, bottom = extent(landmarks)
    return left, top, right - left, bottom - top
