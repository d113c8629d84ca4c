"""ONNX Runtime, with its telemetry off, its memory bounded and its own log silent.

`contracts` has set the variable that switches the telemetry off on Linux and macOS before the library is
loaded. The call covers Windows, and programs that loaded the library before enrapt.
"""

import contextlib
from typing import Final

import onnxruntime as ort

MAX_MEMORY: Final = 512 * 2**20  # bytes of all sessions of this process; a step needs a few MB

ort.disable_telemetry_events()
ort.set_default_logger_severity(4)  # what fails is in the exception
# Sessions that ask for the environment's allocator get this one, and an exception where it has no more.
with contextlib.suppress(Exception):  # the program has registered one of its own
    ort.create_and_register_allocator(
        ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT),
        ort.OrtArenaCfg({"max_mem": MAX_MEMORY, "arena_extend_strategy": 1}),  # 1: as much as is asked for
    )

__all__ = ["ort"]
