"""A camera with an inlet, and a stand-in for the face that is extracted from its pictures."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from enrapt.contracts.schemas import FACE
from enrapt.realtime.sources import camera_face
from enrapt.realtime.sources.camera import Picture
from enrapt.realtime.sources.camera_face import CameraFace
from tests.support import mjpeg
from tests.support.inlet import FakeInlet

MODEL = Path("no such model")


class StandIn:
    """Extracts the age of the picture, s, in as much time as it is given.

    Attributes:
        made: all, since `install`.
        delay: s.
        nothing: there is no face in any picture.
        times: ns; of the pictures that were extracted.
        image: the last of them.
    """

    made: ClassVar[list["StandIn"]] = []
    delay: ClassVar[float] = 0.0
    nothing: ClassVar[bool] = False
    width: ClassVar[float | None] = None  # of the last face

    def __init__(self, model: Path, landmarks: bool) -> None:
        self.landmarks = None
        self.times: list[int] = []
        self.image: NDArray[np.uint8] | None = None
        self.closed = False
        StandIn.made.append(self)

    @classmethod
    def install(cls, patch: pytest.MonkeyPatch) -> "type[StandIn]":
        """Let every `CameraFace` use it."""
        patch.setattr(cls, "made", [])
        patch.setattr(cls, "delay", 0.0)
        patch.setattr(cls, "nothing", False)
        patch.setattr(cls, "width", None)
        patch.setattr(camera_face, "FaceFeatures", cls)
        return cls

    def extract(self, picture, at) -> NDArray[np.float32] | None:
        assert not self.closed
        values = np.zeros(FACE.dim, np.float32)
        values[0] = mjpeg.age(picture, time.monotonic_ns())
        self.times.append(at)
        self.image = picture
        time.sleep(self.delay)
        assert not self.closed
        return None if self.nothing else values

    def close(self) -> None:
        self.closed = True


class Opened:
    """A context manager: a camera and its inlet."""

    def __init__(
        self,
        source: str | int,
        unwanted: str | None = None,
        keep: Callable[[Picture], None] | None = None,
        **options: Any,
    ) -> None:
        self.camera = CameraFace(source, model=MODEL, **options)
        self.camera.keep = keep
        self.inlet = FakeInlet(FACE.dim, FACE.name, unwanted=unwanted)

    def __enter__(self) -> tuple[CameraFace, FakeInlet]:
        self.camera.open(self.inlet)
        return self.camera, self.inlet

    def __exit__(self, *_: object) -> None:
        self.camera.close()
        captured = self.inlet.captured
        time.sleep(0.05)
        assert self.inlet.captured == captured  # nothing is delivered after it
        assert not self.inlet.errors


def ages(inlet: FakeInlet) -> NDArray[np.float32]:
    """s; how old pictures were when their extraction began."""
    return np.array([sample.values[0] for sample in inlet.samples])
