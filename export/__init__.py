"""From a trained model to a bundle: one ONNX file that describes itself."""

from .. import contracts as contracts  # switches ONNX Runtime's telemetry off
from .write import export_run

__all__ = ["export_run"]
