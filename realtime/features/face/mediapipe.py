"""Face features by MediaPipe's FaceLandmarker: the reference of our own tracker; needs enrapt[mediapipe].

It follows whichever face it found first, and takes any other one once that is lost.
"""

import ctypes
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....contracts.errors import UserError
from ....contracts.schemas import BLENDSHAPES
from ...streams.samples import View
from .clock import StreamClock
from .extractor import box_of
from .muted import muted
from .pose import yaw_pitch_roll


class MediaPipeFaceFeatures:
    """As `extractor.FaceFeatures`, by MediaPipe's own tracking, of one face. Close it after use.

    Args:
        model: `face_landmarker.task`; see `model_file.find_face_model`.

    Attributes:
        landmarks, others: see `extractor.FaceFeatures`; there are no others.

    Raises:
        UserError: MediaPipe is not installed, or cannot read the model.
    """

    def __init__(self, model: Path) -> None:
        with muted():
            try:
                mediapipe = import_mediapipe()
                from mediapipe.tasks.python import BaseOptions, vision
                from mediapipe.tasks.python.vision.face_landmarker import FaceLandmarkerResultC
            except ImportError as error:
                raise UserError(
                    f"MediaPipe is not installed ({error}): run `pip install 'enrapt[mediapipe]'`, or leave "
                    "out --face-backend; there is none for Linux on ARM"
                ) from error
            options = vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(model)),
                running_mode=vision.RunningMode.VIDEO,
                num_faces=1,
                output_face_blendshapes=True,
                output_facial_transformation_matrixes=True,
            )
            try:
                self._landmarker: Any = vision.FaceLandmarker.create_from_options(options)
            except (OSError, RuntimeError, ValueError) as error:
                raise UserError(
                    f"MediaPipe cannot load the face model {model} ({error}): run `enrapt doctor`"
                ) from error
        self._mediapipe = mediapipe
        self._result = FaceLandmarkerResultC
        self.landmarks: NDArray[np.float32] | None = None
        self.others: Mapping[int, NDArray[np.float32]] = {}
        self._clock = StreamClock()

    def extract(self, picture: NDArray[np.uint8], time: int) -> tuple[NDArray[np.float32] | None, View]:
        """Features of the face in the next picture of the stream; see `extractor.FaceFeatures.extract`."""
        if self._landmarker is None:  # closed, it would report a picture without a face
            raise ValueError("extract() after close()")
        pixels = np.ascontiguousarray(picture)  # MediaPipe ignores strides
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=pixels)
        # `detect_for_video` without its Python object per landmark (478), a tenth of its time. All MediaPipe
        # releases in the supported range have this interface.
        result = self._result()
        library, handle = self._landmarker._lib, self._landmarker._handle
        at = self._clock(time)
        library.MpFaceLandmarkerDetectForVideo(handle, image._image_ptr, None, at, ctypes.byref(result))
        try:
            self.landmarks = _landmarks(result)
            values = _features(result)
        finally:
            library.MpFaceLandmarkerCloseResult(ctypes.byref(result))
        if values is None or self.landmarks is None:
            return None, View(0)
        return values, View(1, None, box_of(self.landmarks))

    def follow(self, person: int) -> None:
        """MediaPipe follows whom it finds."""
        raise UserError("--face-backend mediapipe cannot choose a person: leave it out")

    def close(self) -> None:
        """Free the landmarker. A second call does nothing."""
        if self._landmarker is not None:
            self._landmarker.close()
            self._landmarker = None


def _features(result: Any) -> NDArray[np.float32] | None:
    if not result.face_blendshapes_count or not result.facial_transformation_matrixes_count:
        return None
    shapes = result.face_blendshapes[0].categories
    scores = [shapes[i].score for i in range(1, 1 + len(BLENDSHAPES))]  # the first is `_neutral`
    matrix = result.facial_transformation_matrixes[0].to_numpy()  # [4, 4], canonical face to camera, cm
    return np.array([*scores, *yaw_pitch_roll(matrix[:3, :3]), *matrix[:3, 3]], dtype=np.float32)


def _landmarks(result: Any) -> NDArray[np.float32] | None:
    if not result.face_landmarks_count:
        return None
    face = result.face_landmarks[0]
    each = ctypes.sizeof(face.landmarks._type_)
    memory = ctypes.string_at(face.landmarks, face.landmarks_count * each)
    # x and y are the first two numbers of each structure. Python objects would take as long as the detection.
    xy: NDArray[np.float32] = np.frombuffer(memory, np.float32).reshape(-1, each // 4)[:, :2].copy()
    return xy


class _LazySounddevice(ModuleType):
    """A stand-in for the module `sounddevice`, which it imports when something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # tools ask any module for these
            raise AttributeError(name)
        return getattr(importlib.import_module("sounddevice"), name)


def import_mediapipe() -> Any:
    """MediaPipe, without starting PortAudio.

    It imports sounddevice for its own recorder. That starts PortAudio, which asks the sound server: one that
    hangs would hold up this process for ever, and Ctrl-C with it. Only a microphone's process is to do that.

    Raises:
        ImportError: it is not installed.
    """
    stand_in = _LazySounddevice("sounddevice")
    try:
        sys.modules.setdefault("sounddevice", stand_in)  # the program may have imported the real one
        mediapipe = importlib.import_module("mediapipe")
        importlib.import_module("mediapipe.tasks.python")
        return mediapipe
    finally:
        if sys.modules["sounddevice"] is stand_in:
            del sys.modules["sounddevice"]
