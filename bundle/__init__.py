"""The bundle, one self-describing ONNX file: reads, checks, describes and runs it. Never imports torch."""

from .. import contracts as contracts  # switches ONNX Runtime's telemetry off
