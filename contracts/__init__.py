"""Shared by all rooms: feature schemas, the user's error, atomic files. Imports nothing of enrapt.

The first import of anything of enrapt imports this package first: every room's `__init__` does.
"""

import os

# From version 1.29 the official packages of ONNX Runtime report usage to Microsoft: on Linux and macOS they
# keep a machine identifier and a database of events in the user's cache and upload them, unless this variable
# is set before the library is loaded (microsoft/onnxruntime, pull request 27379). Child processes inherit it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
