"""MediaPipe's FaceLandmarker as the reference: read in memory, equal to its own Python interface."""

from pathlib import Path

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import BLENDSHAPES
from enrapt.realtime.features.face.mediapipe import MediaPipeFaceFeatures
from tests.support.faces import FRAME, portrait


def test_features_and_landmarks_equal_those_of_its_python_interface(face_model: Path) -> None:
    from mediapipe import Image, ImageFormat
    from mediapipe.tasks.python import BaseOptions
    from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions, RunningMode

    options = FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(face_model)),
        running_mode=RunningMode.VIDEO,
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    features = MediaPipeFaceFeatures(face_model)
    with FaceLandmarker.create_from_options(options) as landmarker:
        for k in range(5):
            picture = np.ascontiguousarray(np.roll(portrait(), 3 * k, axis=1))
            ours, view = features.extract(picture, k * FRAME)
            theirs = landmarker.detect_for_video(Image(ImageFormat.SRGB, picture), 1 + k * FRAME // 1_000_000)
            scores = {shape.category_name: shape.score for shape in theirs.face_blendshapes[0]}
            assert ours is not None
            assert view.faces == 1
            assert np.array_equal(ours[:51], np.float32([scores[name] for name in BLENDSHAPES]))
            assert np.array_equal(ours[-3:], theirs.facial_transformation_matrixes[0][:3, 3])
            assert features.landmarks is not None
            assert features.landmarks.tolist() == [[p.x, p.y] for p in theirs.face_landmarks[0]]
    features.close()


def test_extracting_after_close_is_an_error(face_model: Path) -> None:
    features = MediaPipeFaceFeatures(face_model)
    features.close()
    with pytest.raises(ValueError, match="close"):
        features.extract(portrait(), 0)


def test_there_is_no_choice_of_people(face_model: Path) -> None:
    features = MediaPipeFaceFeatures(face_model)
    with pytest.raises(UserError, match="--face-backend"):
        features.follow(1)
    features.close()
