import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOMS = ("contracts", "bundle", "models", "export", "realtime", "cli")


HEAVY = {"torch", "ai_edge_litert", "mediapipe", "cv2", "matplotlib"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("enrapt.realtime", {*HEAVY, "av", "numpy"}),
        ("enrapt.realtime.streams.alignment", {*HEAVY, "av", "onnxruntime"}),
        ("enrapt.realtime.run", {*HEAVY, "av", "pyarrow"}),
        ("enrapt.realtime.session", {*HEAVY, "pyarrow", "sounddevice"}),
        ("enrapt.realtime.sources.media", {*HEAVY, "pyarrow"}),
        ("enrapt.cli.replay", {*HEAVY, "numpy"}),
    ],
)
def test_importing_a_module_loads_only_what_it_needs(module, absent):
    program = f"import sys, {module}; print(*sorted({absent!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def lint_imports(folder: Path) -> str:
    """The report of import-linter on the packages in `folder/enrapt`."""
    program = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    arguments = [REPOSITORY / "pyproject.toml", "--no-cache"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.stderr == ""
    return done.stdout


def test_the_import_contract_reports_each_kind_of_forbidden_import(tmp_path):
    for room in ROOMS:
        ignore = shutil.ignore_patterns("__pycache__", "*.onnx", "*.mp4")
        shutil.copytree(REPOSITORY / room, tmp_path / "enrapt" / room, ignore=ignore)
    forbidden = {
        "contracts/errors.py": "import torch",
        "bundle/protobuf.py": "def f():\n    from ..models import losses",  # lazy ones count
        "models/mlp.py": "from ..bundle import protobuf",
        "realtime/store/folder.py": "from ...export import write",
        "realtime/streams/samples.py": "from ..sources import source",
        "realtime/page/safety.py": "from ..outputs import output",
        "realtime/newcomer/__init__.py": "",  # a package that has no layer
    }
    for name, line in forbidden.items():
        file = tmp_path / "enrapt" / name
        file.parent.mkdir(exist_ok=True)
        with file.open("a") as text:
            text.write(f"\n{line}\n")

    report = lint_imports(tmp_path)

    for expected in (
        "enrapt.contracts.errors -> torch",
        "enrapt.bundle is not allowed to import enrapt.models",
        "enrapt.models is not allowed to import enrapt.bundle",
        "enrapt.realtime is not allowed to import enrapt.export",
        "enrapt.realtime.streams is not allowed to import enrapt.realtime.sources",
        "enrapt.realtime.page is not allowed to import enrapt.realtime.outputs",
        "enrapt.realtime.newcomer",
    ):
        assert expected in report


@pytest.mark.parametrize("name", ["Run", "LiveSession", "LiveSource", "MediaSource", "Pushed"])
def test_a_base_install_needs_no_extra(name):
    extras = ("pylsl", "pyarrow", "pythonosc", "paho", "pyxdf", "mediapipe", "torch", "matplotlib.pyplot")
    program = f"import sys; sys.modules |= dict.fromkeys({extras}); from enrapt.realtime import {name}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
