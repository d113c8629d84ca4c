"""From sensors to estimates. `Run` runs any source; `LiveSession` is its short form for devices."""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .run import Run
    from .session import LiveSession
    from .sources.camera_face import CameraFace
    from .sources.live import LiveSource
    from .sources.lsl import LslStream
    from .sources.media import MediaSource
    from .sources.microphone import MicrophoneAudio
    from .sources.pushed import Pushed
    from .sources.session import SessionSource
    from .sources.xdf import XdfSource

# Imported when asked for: they bring in NumPy, ONNX Runtime, and what devices and files need.
_MODULES: Final = {
    "Run": "run",
    "LiveSession": "session",
    "LiveSource": "sources.live",
    "CameraFace": "sources.camera_face",
    "MicrophoneAudio": "sources.microphone",
    "LslStream": "sources.lsl",
    "Pushed": "sources.pushed",
    "MediaSource": "sources.media",
    "SessionSource": "sources.session",
    "XdfSource": "sources.xdf",
}

__all__ = [
    "CameraFace",
    "LiveSession",
    "LiveSource",
    "LslStream",
    "MediaSource",
    "MicrophoneAudio",
    "Pushed",
    "Run",
    "SessionSource",
    "XdfSource",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __package__), name)
