import numpy as np
import pytest
import torch
from safetensors.torch import load_file

CONFIG = """
version = 1
name = "mine"
description = "tiny"
rate = 10

[model]
model = "mdvae"
hidden = 8
static = 2
shared = 2
private = 1

[[model.modalities]]
name = "voice"
dim = 3
likelihood = "normal"

[[model.modalities]]
name = "share"
dim = 1
role = "target"
likelihood = "logit_normal"

[training]
data = "sessions"
rounds = 2
streams = 4
session_seconds = 2.0
segment_ticks = 10
"""


@pytest.fixture
def folder(tmp_path):
    """A configuration, and recorded sessions to train it on."""
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        (tmp_path / "sessions" / part).mkdir(parents=True)
        for i in range(3):
            share = rng.random((40, 1))
            np.savez(
                tmp_path / "sessions" / part / f"{i}.npz",
                voice=share + rng.normal(0, 0.5, (40, 3)),
                share=share,
            )
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


@pytest.mark.long
def test_from_an_mdvae_to_its_bundle(enrapt, folder):
    done = enrapt("train", "config.toml", "-o", "smoother", "--threads", 1)
    assert done.stdout == "smoother: trained; next: enrapt distil smoother -o FOLDER\n", done.stderr
    done = enrapt("export", "smoother", "-o", "b.onnx")
    assert done.returncode == 2
    assert done.stderr.startswith("enrapt: smoother: this model is not causal")
    assert "of an MDVAE, distil a forward filter first: enrapt distil" in done.stderr
    done = enrapt("distil", "smoother", "-o", "run", "--threads", 1, "--rounds", 2, "--hidden", 8)
    assert done.stdout == "run: trained; next: enrapt export run -o BUNDLE.onnx\n", done.stderr
    assert "round 2 of 2, at most 0:00 min left: loss" in done.stderr
    assert "filter" not in done.stderr
    for kind in ("step", "block"):
        done = enrapt("export", "run", "-o", f"{kind}.onnx", "--graph", kind)
        assert done.returncode == 0, done.stderr
    card = enrapt("inspect", "step.onnx").stdout
    assert "w_precision [2], w_shift [2]" in card
    assert "w 2, shared 2, voice 1" in card


@pytest.mark.long
def test_a_filter_that_sees_means_of_the_past(enrapt, folder):
    assert enrapt("train", "config.toml", "-o", "smoother", "--threads", 1).returncode == 0
    options = ("--past", "1,3", "--whiten", "--hidden", 8, "--threads", 1)
    done = enrapt("distil", "smoother", "-o", "run", *options, "--rounds", 1)
    assert done.returncode == 0, done.stderr
    again = enrapt("distil", "smoother", "-o", "run", *options, "--rounds", 2)
    assert "round 2 of 2" in again.stderr
    assert enrapt("export", "run", "-o", "b.onnx").returncode == 0
    assert "w_shift [2], recent [14]" in enrapt("inspect", "b.onnx").stdout
    refused = enrapt("distil", "smoother", "-o", "other", "--whiten")
    assert (refused.returncode, "--whiten needs --past" in refused.stderr) == (2, True)
    for text in ("1,x", "0", "-1", "", "nan", "99999"):
        refused = enrapt("distil", "smoother", "-o", "other", f"--past={text}")
        assert refused.returncode == 2
        assert "expected up to 16 numbers of seconds" in refused.stderr
    assert not (folder / "other").exists()


@pytest.mark.long
def test_a_run_that_cannot_be_distilled_is_refused(enrapt, folder):
    done = enrapt("distil", "nowhere", "-o", "run")
    assert (done.returncode, done.stderr) == (
        2,
        "enrapt: nowhere: no training run; give the output folder of `enrapt train`\n",
    )
    assert enrapt("train", "config.toml", "-o", "smoother", "--threads", 1).returncode == 0
    for option in ("--hidden", "--rounds"):
        done = enrapt("distil", "smoother", "-o", "run", option, 0)
        assert done.returncode == 2
        assert "give a whole number from 1 to" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (folder / "run").exists()


@pytest.mark.long
def test_the_seed_determines_the_filter(command, folder):
    assert command("train", "config.toml", "-o", "smoother", "--threads", 1).returncode == 0
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        options = ("--threads", 1, "--rounds", 1, "--hidden", 8, "--seed", seed)
        assert command("distil", "smoother", "-o", name, *options).returncode == 0
    one, again, other = (load_file(folder / n / "model.safetensors") for n in ("one", "again", "other"))
    first = next(name for name in one if name.startswith("belief."))
    assert torch.equal(one[first], again[first])
    # One round of warm-up hardly changes weights: the first ones differ.
    assert (one[first] - other[first]).abs().max() > 0.1
