"""Face features, schema `face/1`: blendshapes, head rotation and position by MediaPipe's FaceLandmarker."""

import contextlib
import ctypes
import importlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ...contracts.errors import UserError
from ...contracts.schemas import BLENDSHAPES

MILLISECOND: Final = 1_000_000  # ns


class FaceFeatures:
    """Extracts the features of one face from a stream of pictures. Close it, or use it as a context manager.

    The landmarker tracks the face and smooths over time, so each stream needs its own instance; equal
    pictures at equal intervals give equal bytes.

    Positions assume a vertical field of view of 63°, as MediaPipe does: another lens scales x, y and z by one
    factor.

    Args:
        model: `face_landmarker.task`; see `face_model.find_face_model`.
        landmarks: keep the landmarks of the last picture.

    Attributes:
        landmarks: float32 `[478, 2]` of the last picture, x from its left and y from its top as fractions of
            its width and height; None without a face, or if they are not kept.
        width: of the last face that was found, as a share of the picture's width; None before the first.

    Raises:
        UserError: MediaPipe is not installed, or cannot read the model.
    """

    def __init__(self, model: Path, landmarks: bool = False) -> None:
        with _mediapipe_muted():
            try:
                mediapipe = import_mediapipe()
                from mediapipe.tasks.python import BaseOptions, vision
                from mediapipe.tasks.python.vision.face_landmarker import FaceLandmarkerResultC
            except ImportError as error:
                raise UserError(
                    f"face features need MediaPipe ({error}): run `pip install 'mediapipe>=0.10.30,<0.10.32'`"
                    "; on Linux on ARM it is not available, use the microphone only"
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
        self._keeps_landmarks = landmarks
        self.landmarks: NDArray[np.float32] | None = None
        self.width: float | None = None
        self._clock = LandmarkerClock()
        self._order: list[int] | None = None  # index of each blendshape of the schema in the network's output

    def extract(self, picture: NDArray[np.uint8], time: int) -> NDArray[np.float32] | None:
        """Features of the face in the next picture of the stream.

        Args:
            picture: uint8 `[height, width, 3]`, RGB, of any size.
            time: ns; one not later than the one before counts as 1 ms later.

        Returns:
            float32 `[57]` in the order of `face/1`; None if no face is found.
        """
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
            landmarks = _landmarks(result)
            if landmarks is not None:
                self.width = float(np.ptp(landmarks[:, 0]))
            if self._keeps_landmarks:
                self.landmarks = landmarks
            return self._features(result)
        finally:
            library.MpFaceLandmarkerCloseResult(ctypes.byref(result))

    def _features(self, result: Any) -> NDArray[np.float32] | None:
        if not result.face_blendshapes_count or not result.facial_transformation_matrixes_count:
            return None
        shapes = result.face_blendshapes[0]
        if self._order is None:
            names = [shapes.categories[i].category_name.decode() for i in range(shapes.categories_count)]
            self._order = blendshape_order(names)
        scores = [shapes.categories[i].score for i in self._order]
        matrix = result.facial_transformation_matrixes[0].to_numpy()  # [4, 4], canonical face to camera, cm
        return np.array([*scores, *yaw_pitch_roll(matrix[:3, :3]), *matrix[:3, 3]], dtype=np.float32)

    def close(self) -> None:
        """Free the landmarker. A second call does nothing."""
        if self._landmarker is not None:
            self._landmarker.close()
            self._landmarker = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _landmarks(result: Any) -> NDArray[np.float32] | None:
    if not result.face_landmarks_count:
        return None
    face = result.face_landmarks[0]
    each = ctypes.sizeof(face.landmarks._type_)
    memory = ctypes.string_at(face.landmarks, face.landmarks_count * each)
    # x and y are the first two numbers of each structure. Python objects would take as long as the detection.
    xy: NDArray[np.float32] = np.frombuffer(memory, np.float32).reshape(-1, each // 4)[:, :2].copy()
    return xy


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


def blendshape_order(names: list[str]) -> list[int]:
    """Index in `names`, the network's outputs, of each blendshape of `face/1`.

    Raises:
        UserError: the names are not the 51 blendshapes and `_neutral`.
    """
    if sorted(names) != sorted((*BLENDSHAPES, "_neutral")):
        different = sorted({*names} ^ {*BLENDSHAPES, "_neutral"})
        raise UserError(
            f"the face model's {len(names)} blendshapes are not those of face/1 ({', '.join(different[:4])})"
            ": use the model that `enrapt doctor` names"
        )
    return [names.index(blendshape) for blendshape in BLENDSHAPES]


class LandmarkerClock:
    """Converts originating times (ns) to the landmarker's time stamps: whole milliseconds that increase.

    MediaPipe rejects a time stamp that does not increase and smooths only from 1 ms on, so the first picture
    is at 1 ms. Its smoothing uses the intervals: where times repeat, go back or jump, the clock advances by
    1 ms and keeps the intervals that follow.
    """

    _JUMP: Final = 3_600_000  # ms; an hour between two pictures is a wrong time stamp

    def __init__(self) -> None:
        self._last = 0  # ms
        self._zero: int | None = None  # ns; originating time of 0 ms

    def __call__(self, time: int) -> int:
        if self._zero is None or not 0 < (time - self._zero) // MILLISECOND - self._last <= self._JUMP:
            self._zero = time - (self._last + 1) * MILLISECOND
        self._last = (time - self._zero) // MILLISECOND
        return self._last


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


# Log lines of MediaPipe, TensorFlow Lite and absl when a landmarker is created without an error.
_HARMLESS: Final = re.compile(rb"[IW]\d{4} |INFO: |WARNING: All log messages before absl::InitializeLog")


@contextlib.contextmanager
def _mediapipe_muted() -> Iterator[None]:
    """Hold back file descriptor 2; at the end write to it all lines but the harmless ones of MediaPipe's C++.

    MediaPipe 0.10.3x has no setting for this, and writes to the descriptor itself.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # the process has no standard error
        yield
        return
    with tempfile.TemporaryFile() as log:
        if sys.stderr is not None:
            sys.stderr.flush()
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            log.seek(0)
            for line in log:
                if not _HARMLESS.match(line):
                    os.write(stderr, line)
            os.close(stderr)
