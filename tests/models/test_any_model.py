"""Any model, from a configuration through training to evaluation, on recorded sessions."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from enrapt.models.config import load_config
from enrapt.models.evaluation import evaluate_run
from enrapt.models.run_folder import load_run
from enrapt.models.training import Trainer

torch.set_num_threads(1)

MODALITIES = """
[[model.modalities]]
name = "voice"
dim = 3
likelihood = "normal"

[[model.modalities]]
name = "units"
dim = 2
likelihood = "bernoulli"

[[model.modalities]]
name = "traits"
dim = 2
likelihood = "logit_normal"
weight = 0.5
"""
TARGET = """
[[model.modalities]]
name = "failure"
dim = 1
role = "target"
likelihood = "bernoulli"
weight = 20.0
"""
MODELS = {
    "mm_vrnn": "hidden = 16\nlatent = 4\nfree_nats = 0.05" + MODALITIES + TARGET,
    "mdvae": "hidden = 16\nstatic = 2\nshared = 3\nprivate = 2" + MODALITIES,
    "mvae": "hidden = [16]\nlatent = 4" + MODALITIES,
    "dmvae": "hidden = [16]\nprivate = 2\nshared = 3" + MODALITIES + "private = 0\n",
}
TRAINING = """
[training]
data = "{folder}"
rounds = {rounds}
streams = 8
session_seconds = 5.0
segment_ticks = 25
learning_rate = {rate}
warmup_rounds = 0
early_stopping = {{ every = 1, patience = {patience} }}
annealing = {{ rounds = 4 }}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sessions of different lengths; all modalities follow one slow random walk."""
    root, rng = tmp_path_factory.mktemp("sessions"), np.random.default_rng(0)
    for part, count in (("train", 12), ("validation", 4), ("test", 4)):
        (root / part).mkdir()
        for i in range(count):
            ticks = int(rng.integers(40, 90))
            u = np.cumsum(rng.normal(0, 0.3, ticks)) + rng.normal()
            voice = 50 + 9 * u[:, None] * [1, -1, 0.5] + rng.normal(0, 2, (ticks, 3))
            voice[rng.random(ticks) < 0.3] = np.nan
            units = rng.random((ticks, 2)) < 1 / (1 + np.exp(-3 * u[:, None] * [1, -1]))
            traits = 1 / (1 + np.exp(-u[:, None] - rng.normal(0, 0.2, (ticks, 2))))
            sequences = {"voice": voice, "units": units, "traits": traits, "failure": u[:, None] > 0}
            np.savez(root / part / f"{i}.npz", **{k: v.astype(float) for k, v in sequences.items()})
    for path in root.rglob("*.npz"):  # one file has no failures known
        with np.load(path) as file:
            arrays = dict(file)
        del arrays["failure"]
        np.savez(root / path.parent.name / "unlabelled.npz", **arrays)
        break
    return root


def configuration(model, folder, tmp_path, rounds=6, rate=3e-3, patience=50):
    sessions = folder
    if model != "mm_vrnn":  # a target is no modality of theirs
        sessions = tmp_path / "sessions"
        for path in folder.rglob("*.npz"):
            with np.load(path) as file:
                arrays = {k: file[k] for k in file.files if k != "failure"}
            (sessions / path.parent.name).mkdir(parents=True, exist_ok=True)
            np.savez(sessions / path.parent.name / path.name, **arrays)
    text = (
        f'version = 1\nname = "t"\ndescription = "t"\nrate = 10\n[model]\nmodel = "{model}"\n{MODELS[model]}'
    )
    path = tmp_path / "config.toml"
    path.write_text(text + TRAINING.format(folder=sessions, rounds=rounds, rate=rate, patience=patience))
    return load_config(path)


@pytest.mark.parametrize("model", ["mm_vrnn", pytest.param("mdvae", marks=pytest.mark.long), "mvae", "dmvae"])
def test_it_trains_on_recorded_sessions_and_is_evaluated_by_pattern(model, folder, tmp_path):
    config = configuration(model, folder, tmp_path, rounds=30, rate=1e-2)
    Trainer(config, 0, tmp_path / "run").run(lambda progress: None)
    _, trained = load_run(tmp_path / "run")
    if model != "mm_vrnn":  # whose sessions are those of all tests
        shutil.rmtree(Path(config.training.data) / "train")
    scores = evaluate_run(trained, config, 0)  # which needs the held-out sessions only
    assert set(scores) == {"all", "voice only", "units only", "traits only", "bursts"}
    assert all(math.isfinite(v) for figures in scores.values() for v in figures.values())
    if model == "mm_vrnn":
        assert scores["all"]["auc"] > 0.9
    else:
        assert scores["voice only"]["rmse_voice"] < 0.9  # of the mean it is 1
        assert scores["all"]["auc_units"] > 0.7


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("rate", [1e-4, 1e-2])
def test_parameters_stay_finite_at_any_learning_rate(model, rate, folder, tmp_path):
    trainer = Trainer(configuration(model, folder, tmp_path, rate=rate), 0, tmp_path / "run")
    trainer.run(lambda progress: None)
    assert all(torch.isfinite(p).all() for p in trainer.model.parameters())


def test_early_stopping_keeps_the_best_weights_and_resumes_exactly(folder, tmp_path):
    config = configuration("mvae", folder, tmp_path, rounds=200, rate=0.03, patience=3)
    trainer = Trainer(config, 0, tmp_path / "run")
    losses = []
    trainer.run(lambda progress: losses.append(progress.metrics["validation"]))
    assert trainer.stopped()
    assert len(losses) < 200
    assert losses.index(min(losses)) == len(losses) - 1 - 3
    assert trainer.validate() == min(losses)

    class Killed(Exception):
        pass

    def kill(progress):
        if progress.round in (1, len(losses) - 1):
            raise Killed

    for _ in range(2):
        with pytest.raises(Killed):
            Trainer(config, 0, tmp_path / "again").run(kill)
    Trainer(config, 0, tmp_path / "again").run(kill)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "again")]
    assert weights[0] == weights[1]
