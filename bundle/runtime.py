"""ONNX Runtime, with its telemetry off.

From version 1.29 the official packages report usage to Microsoft: on Linux and macOS they keep a machine
identifier and a database of events in the user's cache and upload them, unless this variable is set before
the library is loaded (microsoft/onnxruntime, pull request 27379). The function call covers Windows, and
programs that loaded the library earlier.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

ort.disable_telemetry_events()

__all__ = ["ort"]
