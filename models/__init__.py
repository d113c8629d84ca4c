"""Multimodal variational models in PyTorch, their data, training and evaluation."""

from .. import contracts as contracts  # switches ONNX Runtime's telemetry off
