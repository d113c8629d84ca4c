"""One's own sessions: what is in a study, how people rated it, and how far they agree."""

from .. import contracts as contracts  # switches ONNX Runtime's telemetry off
