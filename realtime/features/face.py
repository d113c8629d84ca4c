"""Face features, schema `face/1`: blendshapes, head rotation and position by MediaPipe's FaceLandmarker."""

import contextlib
import ctypes
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from ...contracts.errors import UserError
from ...contracts.schemas import BLENDSHAPES
from ..streams.samples import Frame

MILLISECOND: Final = 1_000_000  # ns


class FaceFeatures:
    """The features of the one face in a stream of pictures. A context manager: leave it, or `close()` it.

    The landmarker follows the face from picture to picture and smooths over time, so a stream needs an
    instance of its own, and gets the same bytes from the same pictures at the same intervals.

    Distances suppose a camera whose picture spans 63° from top to bottom, as MediaPipe does: with another
    lens x, y and z are all wrong by one factor.

    Args:
        model: `face_landmarker.task`; see `face_model.find_face_model`.
        landmarks: keep those of the last picture, to show them.

    Attributes:
        landmarks: float32 `[478, 2]` of the last picture, x from its left and y from its top as shares of
            its width and height; None without a face, or where they are not kept.

    Raises:
        UserError: MediaPipe is not installed, or it cannot read the model.
    """

    def __init__(self, model: Path, landmarks: bool = False) -> None:
        with _mediapipe_muted():
            try:
                import mediapipe
                from mediapipe.tasks.python.core.base_options import BaseOptions
                from mediapipe.tasks.python.vision.core.vision_task_running_mode import VisionTaskRunningMode
                from mediapipe.tasks.python.vision.face_landmarker import (
                    FaceLandmarker,
                    FaceLandmarkerOptions,
                    FaceLandmarkerResultC,
                )
            except ImportError as error:
                raise UserError(
                    f"no face features without MediaPipe ({error}): install it with `pip install "
                    "'mediapipe>=0.10.30,<0.10.32'` or, on Linux on ARM, for which there is none, run with "
                    "audio only"
                ) from error
            options = FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(model)),
                running_mode=VisionTaskRunningMode.VIDEO,
                num_faces=1,
                output_face_blendshapes=True,
                output_facial_transformation_matrixes=True,
            )
            try:
                self._landmarker: Any = FaceLandmarker.create_from_options(options)
            except (OSError, RuntimeError, ValueError) as error:
                raise UserError(
                    f"MediaPipe cannot use the face model {model} ({error}): run `enrapt doctor`"
                ) from error
        self._mediapipe = mediapipe
        self._result = FaceLandmarkerResultC
        self._keeps_landmarks = landmarks
        self.landmarks: NDArray[np.float32] | None = None
        self._clock = LandmarkerClock()
        self._order: list[int] | None = None  # where each blendshape of the schema is in the network's output

    def extract(self, frame: Frame) -> NDArray[np.float32] | None:
        """The features of the face in the next picture of the stream.

        Pictures may bear any times: equal and backward ones are taken as 1 ms after the one before.

        Args:
            frame: of any size; its picture is uint8 `[height, width, 3]`, RGB.

        Returns:
            float32 `[57]` in the order of `face/1`; None where no face is found.
        """
        # The landmarker would take a closed one for a picture without a face.
        if self._landmarker is None:
            raise ValueError("extract() after close()")
        image = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB,
            data=np.ascontiguousarray(frame.image),  # it ignores strides
        )
        # What `detect_for_video` does, but for the 478 landmarks: it makes a Python object of each, which
        # takes a tenth of the time of it all. The releases in our range are alike in this.
        result = self._result()
        library, at = self._landmarker._lib, self._clock(frame.originating_time)
        library.MpFaceLandmarkerDetectForVideo(
            self._landmarker._handle, image._image_ptr, None, at, ctypes.byref(result)
        )
        try:
            if self._keeps_landmarks:
                self.landmarks = _landmarks(result)
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
        # [4, 4], canonical face to camera, cm
        matrix = result.facial_transformation_matrixes[0].to_numpy()
        return np.array(
            [
                *(shapes.categories[i].score for i in self._order),
                *yaw_pitch_roll(matrix[:3, :3]),
                *matrix[:3, 3],
            ],
            dtype=np.float32,
        )

    def close(self) -> None:
        """Free the landmarker. Closing again does nothing."""
        if self._landmarker is not None:
            self._landmarker.close()
            self._landmarker = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _landmarks(result: Any) -> NDArray[np.float32] | None:
    if not result.face_landmarks_count:
        return None
    face = result.face_landmarks[0]
    each = ctypes.sizeof(face.landmarks._type_)
    memory = ctypes.string_at(face.landmarks, face.landmarks_count * each)
    # Of each structure x and y, its first two numbers: objects in Python would take as long as the face.
    xy: NDArray[np.float32] = np.frombuffer(memory, np.float32).reshape(-1, each // 4)[:, :2].copy()
    return xy


def yaw_pitch_roll(rotation: NDArray[np.floating]) -> tuple[float, float, float]:
    """The angles of R = Ry(yaw) Rx(pitch) Rz(roll), in radians.

    Args:
        rotation: `[3, 3]`, a rotation, or one times a positive factor.

    Returns:
        yaw and roll in (-π, π], pitch in [-π/2, π/2]. At pitch = ±π/2 yaw and roll turn about the same axis,
        and only their sum or difference means anything.
    """
    r = rotation.astype(np.float64)
    # R's second row is cos(pitch) sin(roll), cos(pitch) cos(roll), -sin(pitch); its third column is
    # sin(yaw) cos(pitch), -sin(pitch), cos(yaw) cos(pitch).
    yaw = np.arctan2(r[0, 2], r[2, 2])
    pitch = np.arctan2(-r[1, 2], np.hypot(r[1, 0], r[1, 1]))
    roll = np.arctan2(r[1, 0], r[1, 1])
    return float(yaw), float(pitch), float(roll)


def blendshape_order(names: list[str]) -> list[int]:
    """Where in `names`, the network's outputs, each blendshape of `face/1` is.

    Raises:
        UserError: these are not the 51 and `_neutral`.
    """
    if sorted(names) != sorted((*BLENDSHAPES, "_neutral")):
        unlike = sorted({*names} ^ {*BLENDSHAPES, "_neutral"})
        raise UserError(
            f"the face model's {len(names)} blendshapes are not those of face/1 ({', '.join(unlike[:4])}): "
            "use the model that `enrapt doctor` names"
        )
    return [names.index(blendshape) for blendshape in BLENDSHAPES]


class LandmarkerClock:
    """The landmarker's clock: whole milliseconds, strictly increasing or it raises, and 1 at the first
    picture, for it does not smooth from 0 or below. Its smoothing reads intervals as speeds, so where
    times stand still or jump, the clock goes on by 1 ms and keeps the intervals that follow."""

    _JUMP: Final = 3_600_000  # ms; an hour between two pictures is a broken timestamp

    def __init__(self) -> None:
        self._last = 0  # ms
        self._zero: int | None = None  # ns; the time at which the clock reads 0

    def __call__(self, time: int) -> int:
        if self._zero is None or not 0 < (time - self._zero) // MILLISECOND - self._last <= self._JUMP:
            self._zero = time - (self._last + 1) * MILLISECOND
        self._last = (time - self._zero) // MILLISECOND
        return self._last


# What MediaPipe, TensorFlow Lite and absl say while a landmarker is being made, although all is well.
_CHATTER: Final = re.compile(rb"[IW]\d{4} |INFO: |WARNING: All log messages before absl::InitializeLog")


@contextlib.contextmanager
def _mediapipe_muted() -> Iterator[None]:
    """Keep the chatter of MediaPipe's C++ out of the terminal; everything else reaches stderr at the end.

    No environment variable or flag that 0.10.3x heeds silences it, and it writes to the descriptor.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # a process without one
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
                if not _CHATTER.match(line):
                    os.write(stderr, line)
            os.close(stderr)
