"""ONNX Runtime's usage reporting is off before it is loaded, whichever module of enrapt is imported first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from enrapt.cli.main import COMMANDS

PACKAGES = (
    "enrapt.contracts",
    "enrapt.contracts.errors",
    "enrapt.bundle",
    "enrapt.models",
    "enrapt.models.datasets",
    "enrapt.export",
    "enrapt.realtime",
    "enrapt.realtime.run",
    "enrapt.study",
    "enrapt.study.readers",
    "enrapt.cli",
)
# Of each command: arguments with which it does its work, or as much as it can without training.
ARGUMENTS = {
    "demo": ["--offline"],
    "live": ["--camera=none", "--mic=none", "--stream=audio=lsl:nobody", "--duration=0.1", "--no-page"],
    "record": ["session", "--camera=none", "--mic=none", "--duration=0.1", "--no-page"],
    "replay": ["SOUND"],
    "extract": ["SOUND", "-o", "sessions"],
    "features": ["nothing", "-o", "table.csv"],
    "calibrate": ["--delete", "nobody"],
    "plot": ["nothing.jsonl"],
    "study": ["new", "talks"],
    "import": ["nothing.csv", "--session", "nothing"],
    "train": ["nothing.toml", "-o", "run"],
    "distil": ["nothing", "-o", "run"],
    "evaluate": ["nothing"],
    "export": ["nothing", "-o", "b.onnx"],
    "encode": ["nothing", "--sessions", "nothing", "-o", "vectors"],
    "annotate": ["nothing", "--rater", "anna"],
    "inspect": ["default"],
    "face-model": ["--from=nothing"],
    "doctor": [],
}
LOADS_IT = {"replay", "inspect", "doctor", "demo"}  # at least

# Says on standard error how the switch stood when ONNX Runtime was loaded.
WATCHED = """
import os, sys
class Watch:
    def find_spec(name, path=None, target=None):
        if name == "onnxruntime":
            print("telemetry off:", os.environ.get("ORT_DISABLE_TELEMETRY"), file=sys.stderr)
sys.meta_path.insert(0, Watch)
"""


def run(folder: Path, program: str, *arguments: str) -> str:
    """What it wrote on standard error; a failure that is not one line for the user fails the test."""
    home = folder / "home"
    home.mkdir()
    disabling = {"CI", "PYTEST_CURRENT_TEST", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY"}
    places = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "TMPDIR"), str(home))
    environment = {k: v for k, v in os.environ.items() if k not in disabling} | places
    command = [sys.executable, "-c", WATCHED + program, *arguments]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    assert not [path for path in home.rglob("*") if "onnxruntime" in str(path).lower()]
    return done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_the_first_import_of_anything_switches_it_off(package: str, tmp_path: Path) -> None:
    if package == "enrapt.models.datasets":
        pytest.importorskip("torch")
    written = run(tmp_path, f"import {package}, onnxruntime")
    assert written == "telemetry off: 1\n"


def test_every_command_is_tried() -> None:
    assert ARGUMENTS.keys() == COMMANDS.keys()


@pytest.mark.parametrize("command", ARGUMENTS)
def test_no_command_switches_it_on(command: str, sound: Path, tmp_path: Path) -> None:
    arguments = [str(sound) if one == "SOUND" else one for one in ARGUMENTS[command]]
    program = "from enrapt.cli.main import main; sys.exit(main(sys.argv[1:]))"
    switches = [
        line for line in run(tmp_path, program, command, *arguments).splitlines() if "telemetry" in line
    ]
    assert set(switches) <= {"telemetry off: 1"}
    assert switches or command not in LOADS_IT
