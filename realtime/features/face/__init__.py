"""The face in pictures: found, followed, and turned into the features of `face/1`.

picture ─ detector ─ region ─ networks (landmarks) ─ smoothing ─┬─ pose ────────┐
                        └──────── tracker, identity ────────────┼─ blendshapes ─┴─ extractor ─ features
                                              person, quality ──┘
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ....contracts.errors import UserError
from ...streams.samples import View
from .model_file import find_face_model
from .person import Policy

Backend = Literal["litert", "mediapipe"]


class Extractor(Protocol):
    """Extracts the features of a face from a stream of pictures; see `extractor.FaceFeatures`."""

    landmarks: NDArray[np.float32] | None
    others: Mapping[int, NDArray[np.float32]]

    def extract(self, picture: NDArray[np.uint8], time: int) -> tuple[NDArray[np.float32] | None, View]: ...
    def follow(self, person: int) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class FaceOptions:
    """How to extract face features.

    Attributes:
        model: the face model's file, or a function that finds it once it is needed.
        person, handover: whom to follow, see `person.Follower`.
        people: how many people's features are wanted, that one's included.
        backend: our tracker, or MediaPipe's, which has no choice of person and no quality.
    """

    model: Path | Callable[[], Path] = find_face_model
    person: Policy | int = "largest"
    handover: float | None = None
    people: int = 1
    backend: Backend = "litert"

    @property
    def chooses(self) -> bool:
        """Whether a person can be chosen."""
        return self.backend == "litert"

    def open(self) -> Extractor:
        """An extractor, of one stream of pictures.

        Raises:
            UserError: the model or a library is missing, or the options do not fit.
        """
        model = self.model if isinstance(self.model, Path) else self.model()
        if self.backend == "mediapipe":
            from .mediapipe import MediaPipeFaceFeatures

            if self.people > 1:
                raise UserError("--face-backend mediapipe gives one person: leave out --people, or it")
            return MediaPipeFaceFeatures(model)
        from .extractor import FaceFeatures

        return FaceFeatures(model, self.person, self.handover, self.people)


FOLLOW_LARGEST: Final = FaceOptions()
