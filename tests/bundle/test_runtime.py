import os
import subprocess
import sys

PROGRAM = """
import sys
from enrapt.bundle.bundle import Bundle
from enrapt.realtime.engine.engine import Engine
engine = Engine(Bundle.load("default"))
for _ in range(10):
    engine.step({})
"""


def test_onnx_runtime_writes_no_telemetry(tmp_path):
    """With telemetry on, it writes a machine identifier and a database of events to the cache."""
    places = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    # Any of these turns its telemetry off.
    disabling = {"CI", "PYTEST_CURRENT_TEST", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY"}
    environment = {k: v for k, v in os.environ.items() if k not in disabling} | places
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, cwd=tmp_path, check=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
