"""ONNX Runtime, with its telemetry off.

`contracts` has set the variable that switches it off on Linux and macOS before the library is loaded. The
call covers Windows, and programs that loaded the library before enrapt.
"""

import onnxruntime as ort

ort.disable_telemetry_events()

__all__ = ["ort"]
