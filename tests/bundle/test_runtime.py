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


def test_onnx_runtime_keeps_no_record_of_what_it_does(tmp_path):
    """Its packages would write an identifier and a database of events into the cache, to upload them."""
    places = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    # With one of these it keeps none anyway.
    tells_a_test = {"CI", "PYTEST_CURRENT_TEST", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY"}
    environment = {k: v for k, v in os.environ.items() if k not in tells_a_test} | places
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, cwd=tmp_path, check=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
