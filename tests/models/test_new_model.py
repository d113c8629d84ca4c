"""A new model is its file and its name in two lines: then the commands train, score, export and load it."""

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
from enrapt.realtime.engine.engine import Engine

REPOSITORY = Path(__file__).parents[2]
TOY = REPOSITORY / "tests" / "support" / "toy_model.py"
ROOMS = ("contracts", "bundle", "models", "export", "realtime", "study", "cli")
CONFIG = """
version = 1
name = "toy"
description = "A model of one file"
rate = 10

[model]
model = "toy"
latent = 3
modalities = [
    { name = "voice", dim = 3, likelihood = "normal" },
    { name = "here", dim = 1, likelihood = "bernoulli" },
    { name = "calm", dim = 1, role = "target", likelihood = "logit_normal", weight = 10.0 },
]

[training]
data = "sessions"
rounds = 4
streams = 4
session_seconds = 4.0
warmup_rounds = 0
"""
SCRIPT = """
import torch
from enrapt.models import Modality, coherence, evaluate, fit, load
from enrapt.models.toy import Toy

model = load("run")
assert type(model) is Toy
x = {"voice": torch.randn(5, 3), "here": torch.ones(5, 1)}
z = model.encode(x, samples=2)
assert z.z.shape == (2, 5, 3) and model.decode(z)["voice"].shape == (2, 5, 3)
assert model.generate(7)["calm"].shape == (7, 1)
assert model.log_likelihood(x, of=["here"], given=["voice"], samples=3).isfinite().all()
assert evaluate(model, x | {"calm": torch.rand(5, 1)}).keys() == {"all", "voice only", "here only", "bursts"}
fit(Toy([Modality("voice", 3)], latent=2), {"voice": x["voice"]}, epochs=1, device="cpu", folder="own")
assert load("own").config.latent == 2
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """enrapt with one file more and two lines changed, and sessions to train on; its folder."""
    folder = tmp_path_factory.mktemp("toy")
    package = folder / "source" / "enrapt"
    package.mkdir(parents=True)
    for room in ROOMS:
        if room != "models":
            (package / room).symlink_to(REPOSITORY / room)
    shutil.copytree(REPOSITORY / "models", package / "models", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TOY, package / "models" / "toy.py")
    registry = package / "models" / "config.py"
    text = registry.read_text()
    for before, after in (
        (r"(?<=\] = \()", "Toy, "),  # the line that lists the models
        (r"(?<=\nAnyConfig = )\(?", r"\g<0>ToyConfig | "),  # and that of their configurations
        (r"(?=\nfrom \.vq_vae import)", "\nfrom .toy import Toy, ToyConfig"),
    ):
        text, changed = re.subn(before, after, text, count=1)
        assert changed == 1
    registry.write_text(text)
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 2)):
        (folder / "sessions" / part).mkdir(parents=True)
        for i in range(count):
            u = rng.normal(size=(50, 1))
            arrays = {
                "voice": u + rng.normal(size=(50, 3)),
                "here": (u > 0) * 1.0,
                "calm": 1 / (1 + np.exp(-u)),
            }
            np.savez(folder / "sessions" / part / f"{i}.npz", **arrays)
    (folder / "toy.toml").write_text(CONFIG)
    return folder


def python(folder, *arguments):
    environment = os.environ | {"PYTHONPATH": str(folder / "source"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_new_model_is_trained_scored_exported_and_loaded(installed):
    command = ("-c", "import sys; from enrapt.cli.main import main; sys.exit(main(sys.argv[1:]))")
    python(installed, *command, "train", "toy.toml", "-o", "run", "--threads", "1")
    scores = json.loads(python(installed, *command, "evaluate", "run", "--json", "--no-baselines"))
    assert {"ccc", "rmse", "coverage90"} < scores["voice only"].keys()
    python(installed, *command, "export", "run", "-o", "toy.onnx")
    python(installed, "-c", SCRIPT)
    bundle = Bundle.load(installed / "toy.onnx")  # by enrapt as it is, which does not know the model
    assert bundle.metadata.model == "toy"
    assert bundle.metadata.quality["all"]["ccc"] == pytest.approx(scores["all"]["ccc"], abs=2e-3)
    step = Engine(bundle).step({"voice": np.zeros(3, np.float32), "here": None})
    assert 0 < step.low < step.mean < step.high < 1
