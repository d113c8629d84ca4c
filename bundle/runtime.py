"""ONNX Runtime, sending nothing to anybody.

From version 1.29 its official packages report what they do to its maker: on Linux and macOS they keep an
identifier of the machine and a database of events in the user's cache and upload them, unless this variable
is set before the library is loaded (microsoft/onnxruntime, pull request 27379). The call is for Windows, and
for a program that has loaded it before.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime as ort

ort.disable_telemetry_events()

__all__ = ["ort"]
