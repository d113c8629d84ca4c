import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("enrapt.realtime", {"torch", "mediapipe", "av", "cv2", "matplotlib", "numpy"}),
        (
            "enrapt.realtime.streams.alignment",
            {"torch", "mediapipe", "av", "cv2", "matplotlib", "onnxruntime"},
        ),
        ("enrapt.realtime.sources.replay", {"torch", "mediapipe", "cv2", "matplotlib"}),
        ("enrapt.cli.replay", {"torch", "mediapipe", "cv2", "matplotlib", "numpy"}),
    ],
)
def test_importing_brings_no_more_than_it_must(module, absent):
    program = f"import sys, {module}; print(*sorted({absent!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
