"""The three networks of `face_landmarker.task`, run by LiteRT on one thread."""

import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ....contracts.errors import UserError, one_line
from .muted import muted

LANDMARKS: Final = 478
CROP: Final = 256  # pixels of the landmark network's input
_MEMBERS: Final = ("face_detector", "face_landmarks_detector", "face_blendshapes")
_GEOMETRY: Final = "geometry_pipeline_metadata_landmarks.binarypb"

# Landmarks that the blendshape network takes: brows, eyes, irises, mouth, outline of the face.
_BLENDSHAPE_LANDMARKS: Final = np.array(
    [
        0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66,
        67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145,
        146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176,
        178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284, 285,
        288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334,
        336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387,
        388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473, 474,
        475, 476, 477,
    ]
)  # fmt: skip


class Networks:
    """The networks of a face model. Used by one thread.

    Args:
        model: `face_landmarker.task`.

    Attributes:
        geometry: the canonical face and the weights of its points, serialised; see `pose`.

    Raises:
        UserError: LiteRT is not installed, or cannot load the model.
    """

    def __init__(self, model: Path) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise UserError(
                f"face features need LiteRT ({error}): run `pip install ai-edge-litert`"
            ) from error
        try:
            with zipfile.ZipFile(model) as archive:
                contents = [archive.read(f"{name}.tflite") for name in _MEMBERS]
                self.geometry = archive.read(_GEOMETRY)
            with muted():
                self._detector, self._landmarks, self._blendshapes = (
                    _Network(Interpreter(model_content=content, num_threads=1)) for content in contents
                )
        except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
            raise UserError(
                f"the face model {model} cannot be loaded ({one_line(error)}): run `enrapt doctor`"
            ) from error

    def detector(self, pixels: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Boxes `[896, 16]` and logits `[896]` of anchors in pixels `[128, 128, 3]`, -1..1."""
        self._detector.input[:] = pixels
        boxes, logits = self._detector()
        return boxes.reshape(-1, 16), logits.ravel()

    def landmarks(self, crop: NDArray[np.uint8]) -> tuple[NDArray[np.float32], float]:
        """Landmarks `[478, 3]` as shares of the crop, z on the scale of x, and the logit of presence.

        Args:
            crop: uint8 `[256, 256, 3]`, RGB.
        """
        np.multiply(crop, np.float32(1 / 255), out=self._landmarks.input)
        points, presence, _ = self._landmarks()
        return points.reshape(LANDMARKS, 3) / np.float32(CROP), float(presence.item())

    def blendshapes(self, landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores `[52]` of landmarks `[478, ≥2]` in pixels; the first is `_neutral`."""
        self._blendshapes.input[:] = landmarks[_BLENDSHAPE_LANDMARKS, :2]
        (scores,) = self._blendshapes()
        return scores


class _Network:
    """One network, batch 1: fill `input`, then call it."""

    def __init__(self, interpreter: Any) -> None:
        interpreter.allocate_tensors()
        self._interpreter = interpreter
        self._input = interpreter.tensor(interpreter.get_input_details()[0]["index"])
        self._outputs = [detail["index"] for detail in interpreter.get_output_details()]

    @property
    def input(self) -> NDArray[np.float32]:
        """LiteRT's own memory; not to be kept beyond the call."""
        values: NDArray[np.float32] = self._input()[0]
        return values

    def __call__(self) -> list[NDArray[np.float32]]:
        """The outputs."""
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]
