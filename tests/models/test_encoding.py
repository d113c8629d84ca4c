"""Models in two stages: VQ-VAEs, sessions of their vectors, and an MDVAE of these."""

import numpy as np
import pytest
import torch

from enrapt.cli.main import main
from enrapt.models import Modality, load
from enrapt.models.datasets.recordings import read

torch.set_num_threads(1)

HEAD = 'version = 1\nname = "t"\ndescription = "t"\nrate = 10\n'
TRAINING = """
[training]
data = "{data}"
ignore = {ignore}
rounds = 4
streams = 4
session_seconds = 4.0
segment_ticks = 40
warmup_rounds = 0
"""
VQ = (
    HEAD
    + """
[model]
model = "vq_vae"
codes = 8
size = 2
hidden = 4

[[model.modalities]]
name = "{name}"
shape = {shape}
likelihood = "normal"
"""
)
MDVAE = (
    HEAD
    + """
[model]
model = "mdvae"
hidden = 8
static = 2
shared = 2
private = 2

[[model.modalities]]
name = "mouth"
dim = 8
likelihood = "normal"

[[model.modalities]]
name = "sound"
dim = 4
likelihood = "normal"
"""
)


@pytest.fixture
def sessions(tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "validation", "test"):
        (tmp_path / "sessions" / part).mkdir(parents=True)
        for name in ("anna", "ben"):
            u = rng.normal(size=(40, 1, 1))
            mouth = u * np.linspace(-1, 1, 16)[:, None] * np.ones(16) + 0.1 * rng.normal(size=(40, 16, 16))
            mouth[10:15] = np.nan
            sound = u[:, 0] * np.linspace(-1, 1, 16) + 0.1 * rng.normal(size=(40, 16))
            label = np.full((40, 1), 0.5)
            np.savez(tmp_path / "sessions" / part / f"{name}.npz", mouth=mouth, sound=sound, label=label)
    return tmp_path / "sessions"


def train(path, text, output):
    path.write_text(text)
    assert main(["train", str(path), "-o", str(output), "--threads", "1"]) == 0


def test_vq_vaes_then_an_mdvae_by_commands(sessions, tmp_path, capsys):
    for name, shape, other in (("mouth", [16, 16], "sound"), ("sound", [16], "mouth")):
        training = TRAINING.format(data="sessions", ignore=[other, "label"])
        train(tmp_path / f"{name}.toml", VQ.format(name=name, shape=shape) + training, tmp_path / name)
    runs = [str(tmp_path / name) for name in ("mouth", "sound")]
    arguments = ["encode", *runs, "--sessions", str(sessions), "-o", str(tmp_path / "vectors")]
    assert main(arguments) == 0
    assert "6 sessions, with mouth of 8, sound of 4" in capsys.readouterr().out
    modalities = (Modality("mouth", 8), Modality("sound", 4), Modality("label", 1))
    session = read(tmp_path / "vectors", "train", modalities)[0]
    assert np.isnan(session["mouth"][10:15]).all()
    assert (session["label"] == 0.5).all()
    with np.load(sessions / "train" / "anna.npz") as file:
        pictures = torch.from_numpy(file["mouth"][:10]).float()
    mouth = load(tmp_path / "mouth")
    torch.testing.assert_close(mouth.vectors(pictures), torch.from_numpy(session["mouth"][:10]))

    mdvae = MDVAE + TRAINING.format(data="vectors", ignore=["label"])
    train(tmp_path / "mdvae.toml", mdvae, tmp_path / "mdvae")
    model = load(tmp_path / "mdvae")
    x = {name: torch.from_numpy(session[name])[None] for name in ("mouth", "sound")}
    vectors = model.decode(model.encode(x, given=["sound"]), of=["mouth"])["mouth"]
    assert mouth.pictures(vectors).shape == (1, 40, 16, 16)
    assert main(arguments) == 2  # nothing is overwritten
    assert "exists; give a new folder" in capsys.readouterr().err
