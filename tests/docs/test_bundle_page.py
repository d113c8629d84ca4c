"""docs/bundle.md: its tables are complete, and its two programs agree with the engine."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from enrapt.bundle.bundle import Bundle
from enrapt.models.datasets.conversation import simulate
from enrapt.realtime.engine.engine import Engine

PAGE = Path(__file__).parents[2] / "docs" / "bundle.md"
TICKS = 60
# Runs a program, then prints the third-party packages that it imported.
PRINT_PACKAGES = """
import runpy, sys
before = set(sys.modules)
program = sys.argv.pop(1)
runpy.run_path(program, run_name="__main__")
packages = {name.partition(".")[0] for name in sys.modules.keys() - before} - {"__mp_main__"}
print(*sorted(packages - sys.stdlib_module_names), file=sys.stderr)
"""


@pytest.fixture(params=["default", "mdvae", "tiny"])
def bundle(request, tiny_bundle):
    """Bundles with different states, so a program with hard-coded states fails."""
    return Bundle.load(tiny_bundle if request.param == "tiny" else request.param)


@pytest.fixture(scope="module")
def ticks():
    """A simulated person with everything missing, one modality missing, and nothing missing."""
    rng = np.random.default_rng(0)
    values = simulate(rng, 1, TICKS, 25).values
    there = {"face": np.arange(TICKS) // 5 % 2, "audio": np.arange(TICKS) // 10 % 2}
    return [{m: values[m][0, t] if there[m][t] else None for m in there} for t in range(TICKS)]


def program(language, folder):
    """The page's only program in that language, saved."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    path = folder / {"python": "step.py", "javascript": "step.mjs"}[language]
    path.write_text(text)
    return path


def run(command, ticks):
    # A missing modality is null at every other tick, and absent at the rest.
    lines = [
        {m: None if x is None else x.tolist() for m, x in tick.items() if x is not None or k % 2}
        for k, tick in enumerate(ticks)
    ]
    return subprocess.run(
        command, input="\n".join(map(json.dumps, lines)), capture_output=True, text=True, check=True
    )


def assert_same_as_the_engine(output, bundle, ticks):
    engine = Engine(bundle)
    expected = [engine.step(tick)._asdict() for tick in ticks]
    found = [json.loads(line) for line in output.splitlines()]
    np.testing.assert_allclose(table(found, engine), table(expected, engine), rtol=1e-5, atol=1e-5)


def table(estimates, engine):
    """One row per tick, NaN for the surprise of a missing modality."""
    numbers = ("mean", "std", "low", "high")
    return np.array(
        [[*(e[n] for n in numbers), *(e["surprise"][m] for m in engine.inputs)] for e in estimates], float
    )


def test_the_python_program_agrees_with_the_engine_and_needs_only_numpy_and_onnxruntime(
    bundle, ticks, tmp_path
):
    path = program("python", tmp_path)
    done = run([sys.executable, "-c", PRINT_PACKAGES, path, bundle.path], ticks)
    assert_same_as_the_engine(done.stdout, bundle, ticks)
    assert done.stderr.split() == ["numpy", "onnxruntime"]


def test_the_javascript_program_agrees_with_the_engine(bundle, ticks, tmp_path):
    node, packages = shutil.which("node"), os.environ.get("ENRAPT_NODE_MODULES")
    if node is None or packages is None:
        pytest.skip("needs Node.js, and ENRAPT_NODE_MODULES with onnxruntime-node")
    (tmp_path / "node_modules").symlink_to(Path(packages).absolute())
    done = run([node, program("javascript", tmp_path), bundle.path], ticks)
    assert_same_as_the_engine(done.stdout, bundle, ticks)


def test_the_tables_name_every_tensor_and_every_key_of_the_description():
    page = PAGE.read_text()
    session = Bundle.load("default").session
    both = (*session.get_inputs(), *session.get_outputs())
    tensors = [(t.name, str(t.shape).replace("'", "")) for t in both]
    assert re.findall(r"^\| `(\w+)` \| `(\[.*?\])` \|", page, re.MULTILINE) == tensors
    description = json.loads(session.get_modelmeta().custom_metadata_map["enrapt"])
    (keys,) = re.findall(r"^\| key .*?\n\n", page, re.MULTILINE | re.DOTALL)
    assert re.findall(r"^\| `(\w+)`", keys, re.MULTILINE) == list(description)
