import json

import numpy as np
import pytest

from enrapt.cli.main import main

CONFIG = """
version = 1
name = "mine"
description = "tiny"
rate = 10

[model]
model = "mm_vrnn"
hidden = 8
latent = 2

[[model.modalities]]
name = "voice"
dim = 3
likelihood = "normal"

[[model.modalities]]
name = "role"
dim = 1
role = "target"
likelihood = "bernoulli"

[training]
data = "sessions"
rounds = 3
streams = 4
session_seconds = 2.0
segment_ticks = 10
"""


@pytest.fixture
def folder(tmp_path):
    """A configuration with recorded sessions to train on."""
    rng = np.random.default_rng(0)
    for part in ("train", "validation", "test"):
        (tmp_path / "sessions" / part).mkdir(parents=True)
        for i in range(3):
            role = np.repeat(rng.random((4, 1)) < 0.5, 10, 0).astype(float)
            voice = role + rng.normal(0, 0.5, (40, 3))
            np.savez(tmp_path / "sessions" / part / f"{i}.npz", voice=voice, role=role)
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


def test_a_configuration_becomes_a_logged_run_that_is_evaluated(enrapt, command, folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = enrapt("train", "config.toml", "-o", "run", "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "run: trained; next: enrapt export run -o BUNDLE.onnx\n"
    assert "round 3 of 3, at most 0:00 min left: loss" in done.stderr
    metrics = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    board = EventAccumulator(str(folder / "run" / "tensorboard")).Reload()
    losses = [event.value for event in board.Scalars("loss")]
    np.testing.assert_allclose(losses, [m["loss"] for m in metrics], rtol=1e-5)
    assert json.loads((folder / "run" / "run.json").read_text())["versions"]["torch"]

    evaluated = command("evaluate", "run")
    assert evaluated.stdout.splitlines()[0].split() == ["pattern", "nll", "rmse", "auc"]
    assert evaluated.stdout.splitlines()[1].startswith("all ")
    as_json = json.loads(command("evaluate", "run", "--json").stdout)
    assert set(as_json) == {"all", "bursts"}
    assert 0 <= as_json["all"]["auc"] <= 1

    refused = command("export", "run", "-o", "role.onnx")
    assert refused.returncode == 2
    assert "logit_normal" in refused.stderr
    assert not (folder / "role.onnx").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("rounds = 3", "round = 3"), "`round`"),
        (("rounds = 3", "rounds = 0"), "rounds"),
        (('data = "sessions"', 'data = "nowhere"'), "nowhere/train: no sessions"),
        (("dim = 3", "dim = 4"), "voice: expected 40 × 4, found (40, 3)"),
        (('name = "voice"', 'name = "sound"'), "voice: no such modality, expected sound, role"),
        (('model = "mm_vrnn"', 'model = "rnn"'), "rnn"),
        (('likelihood = "bernoulli"', 'likelihood = "poisson"'), "poisson"),
        (('likelihood = "bernoulli"', 'likelihood = "normal"\nscale = 1.0'), "and its scale predicted"),
        (("dim = 3", 'dim = 3\nencoder = "Linear(4, 8)"'), "the encoder of voice does not take N×3 numbers"),
        (("dim = 3", 'dim = 3\ndecoder = "Linear(16, 5)"'), "the decoder of voice has 5 outputs, expected"),
        (("dim = 3", 'dim = 3\nencoder = "print(3)"'), "print is not a layer of torch.nn"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_run(folder, change, message, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "config.toml").write_text(CONFIG.replace(*change))
    assert main(["train", "config.toml", "-o", "run", "--threads", "1"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
    assert not (folder / "run").exists()
