"""From sensors to estimates. `LiveSession` is the door for prototypes; a module each for the rest."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .session import LiveSession

__all__ = ["LiveSession"]


def __getattr__(name: str) -> Any:
    if name != "LiveSession":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .session import LiveSession  # when it is asked for: it brings NumPy and ONNX Runtime

    return LiveSession
