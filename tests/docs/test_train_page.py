"""The programs of docs/train.md run as printed, with fewer rounds."""

import re
import tomllib
from pathlib import Path

import msgspec
import torch

from enrapt.models.config import MODELS, Training
from enrapt.models.dmvae import DMVAE
from enrapt.models.modality import Modality
from enrapt.models.model_config import ModelConfig

PAGE = Path(__file__).parents[2] / "docs" / "train.md"


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_a_session_a_configuration_and_the_python_calls_work_together(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    session, calls = blocks("python")
    configuration, _ = blocks("toml")
    assert "rounds = 200" in configuration
    for part in ("train", "validation", "test"):
        (tmp_path / "sessions" / part).mkdir(parents=True)
        exec(session.replace("sessions/train/", f"sessions/{part}/"), {})
    Path("failures.toml").write_text(configuration.replace("rounds = 200", "rounds = 5\nstreams = 2"))
    exec(calls, {})
    printed = capsys.readouterr().out
    assert "Progress(round=5, rounds=5" in printed
    assert "'all': {'nll': " in printed


def test_the_modality_with_networks_of_its_own_makes_a_model():
    _, block = blocks("toml")
    (written,) = tomllib.loads(block)["model"]["modalities"]
    model = DMVAE([msgspec.convert(written, Modality), Modality("sound", 3)])
    z = model.encode({"camera": torch.rand(2, 3, 32, 32)})
    assert z.private["camera"].shape == (2, 16)
    assert model.decode(z)["camera"].shape == (2, 3, 32, 32)


def test_the_tables_of_keys_are_those_of_the_code():
    page = PAGE.read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]* \| (.*) \|$", page, re.MULTILINE))
    common = {field.name for field in msgspec.structs.fields(ModelConfig)}
    for model in MODELS:
        tag, fields = model.Config.__struct_config__.tag, msgspec.structs.fields(model.Config)
        if issubclass(model.Config, ModelConfig):
            assert set(re.findall(r"`(\w+)`", rows[tag])) == {f.name for f in fields} - common
    lines = re.findall(r"^\| `(\w+ = [^`]*)` \|", page, re.MULTILINE)
    assert len(lines) == 10
    msgspec.convert(tomllib.loads("\n".join(lines)), Training)
