"""The `enrapt` command, a short file a command."""

from .. import contracts as contracts  # switches ONNX Runtime's telemetry off
