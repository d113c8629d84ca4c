"""`enrapt train STUDY`: from a study to a model, a bundle, and a replay with it."""

import json
import shutil

import msgspec
import numpy as np
import pytest
import torch

from benchmarks.datasets.simulated_study import simulated_study
from enrapt.bundle.bundle import Bundle
from enrapt.cli.main import main
from enrapt.cli.train_study import study_config
from enrapt.models import RecentVRNN, load
from enrapt.models.config import load_config
from enrapt.study.dataset import write_dataset
from enrapt.study.study import read_study
from tests.support.study_files import rate, session

TINY = """
[model]
hidden = 8
latent = 2

[training]
rounds = 2
streams = 4
session_seconds = 4.0
segment_ticks = 50
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Four people, whose voice follows what is rated."""
    monkeypatch.chdir(tmp_path)
    assert main(["study", "new", "talks"]) == 0
    path = tmp_path / "talks/study.toml"
    text = path.read_text().replace('licence = ""', 'licence = "CC BY 4.0"')
    path.write_text(text.replace('description = ""', 'description = "Made up"'))
    for person in ("anna", "ben", "cem", "dana"):
        rate(session(tmp_path / "talks/sessions" / person / "1", 8), "r", np.arange(9), np.arange(9) / 8)
    (tmp_path / "tiny.toml").write_text(TINY)
    return tmp_path


def run(capsys, *arguments, status=0):
    assert main([*map(str, arguments)]) == status
    found = capsys.readouterr()
    if status == 2:
        assert len(found.err.splitlines()) == 1
        return found.err
    return found.out


TRAIN = ("train", "talks", "-o", "run", "--config", "tiny.toml", "--threads", 1)


def test_a_study_becomes_a_run_that_can_be_moved_scored_and_exported(study, capsys):
    capsys.readouterr()
    printed = run(capsys, *TRAIN)
    assert printed.splitlines()[:3] == [
        "train: 2 people, 0:16 min, 0:16 min rated",
        "validation: 1 person, 0:08 min, 0:08 min rated",
        "test: 1 person, 0:08 min, 0:08 min rated",
    ]
    assert json.loads((study / "run/config.json").read_text())["training"]["data"] == "sessions"
    weights = (study / "run/model.safetensors").read_bytes()
    run(capsys, *TRAIN)  # again: nothing to do
    assert (study / "run/model.safetensors").read_bytes() == weights
    shutil.rmtree(study / "talks/sessions")
    (study / "moved").mkdir()
    (study / "run").rename(study / "moved/run")
    printed = run(capsys, "evaluate", "moved/run")
    assert "CCC" in printed
    assert [line.split()[1:] for line in printed.splitlines() if line.startswith("RMSE")] == [
        ["model", "mean", "clock", "ridge", "gru"]
    ]
    as_json = json.loads(run(capsys, "evaluate", "moved/run", "--json"))
    assert set(as_json["baselines"]) == {"mean", "clock", "ridge", "gru"}
    # What is rated is the time, in every session.
    assert as_json["baselines"]["clock"]["all"]["ccc"] > 0.95
    (warning,) = [line for line in printed.splitlines() if "a baseline has a higher CCC" in line]
    assert "clock with all" in warning
    by_person = run(capsys, "evaluate", "moved/run", "--by", "person")
    assert by_person.splitlines()[-2].startswith("within sessions: CCC")
    by_time = run(capsys, "evaluate", "moved/run", "--by", "time")
    assert by_time.splitlines()[1].startswith("0:00–")
    run(capsys, "evaluate", "moved/run", "--report", "report.html", "--figures", "figures")
    assert "CC BY 4.0" in (study / "report.html").read_text()
    assert {path.suffix for path in (study / "figures").iterdir()} == {".pdf", ".svg"}
    assert ".html" in run(capsys, "evaluate", "moved/run", "--report", "report.pdf", status=2)
    run(capsys, "export", "moved/run", "-o", "mine.onnx")
    metadata = Bundle.load(study / "mine.onnx").metadata
    assert (metadata.name, metadata.licence) == ("talks", "CC BY 4.0")
    assert "4 people of the study talks" in metadata.training_data.limits


def test_a_study_that_has_changed_needs_another_run(study, capsys):
    run(capsys, *TRAIN)
    rate(study / "talks/sessions/anna/1", "second", [0, 2, 4], [0.3, 0.9, 0.9])
    assert "of the study as it was" in run(capsys, *TRAIN, status=2)
    assert not (study / "run/sessions.part").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--test-people", "eve"), "no 'eve'"),
        (("--test-people", "anna,ben,cem"), "name fewer"),
        (("--dimension", "mood"), "no dimension mood"),
        (("--config", "wrong.toml"), "wrong.toml: "),
        (("--config", "other.toml"), "modality face: the study has voice, engagement"),
        (("--config", "nothing.toml"), "nothing.toml: No such file"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(study, capsys, options, message):
    (study / "wrong.toml").write_text("[training]\nround = 3\n")
    (study / "other.toml").write_text('[[model.modalities]]\nname = "face"\n')
    assert message in run(capsys, "train", "talks", "-o", "run", *options, status=2)
    assert not (study / "run").exists()


def test_options_of_a_study_need_one(study, capsys):
    error = run(capsys, "train", "default", "-o", "run", "--test-people", "anna", status=2)
    assert "--test-people is for a study" in error


def test_the_configuration_is_a_preset_for_the_studys_modalities(study):
    (study / "change.toml").write_text('[[model.modalities]]\nname = "voice"\nlikelihood = "normal"\n')
    talks, folder = read_study(study / "talks"), study / "run"
    dataset = write_dataset(talks, "engagement", study / "data")
    for model in ("recent_vrnn", "mm_vrnn", "mdvae"):
        config = study_config(talks, dataset, folder, model, study / "change.toml")
        voice, target = config.model.modalities
        assert (voice.name, voice.dim, voice.likelihood) == ("voice", 2, "normal")
        usual = load_config("mdvae").model.modalities[-1]
        assert target == msgspec.structs.replace(usual, name="engagement", weight=40.0)
        assert config.model.reweight
        assert config.trained_on == "4 people of the study talks"


def test_training_starts_from_a_bundles_weights(study, capsys):
    run(capsys, *TRAIN)
    run(capsys, "export", "run", "-o", "first.onnx")
    before = load(study / "run").state_dict()
    (study / "still.toml").write_text(f"{TINY}learning_rate = 1e-9\n")
    path = study / "talks/study.toml"
    path.write_text(path.read_text().replace('name = "engagement"', 'name = "interest"'))
    for labels in study.glob("talks/sessions/*/1/labels/engagement*"):
        labels.rename(labels.with_name(labels.name.replace("engagement", "interest")))
    again = ("train", "talks", "-o", "second", "--config", "still.toml", "--from", "first.onnx")
    run(capsys, *again)
    after = load(study / "second").state_dict()
    assert isinstance(load(study / "second"), RecentVRNN)
    # All that the bundle has; the target's own encoder starts anew, its interval is fitted anew.
    started = {name: name.replace("engagement", "interest") for name in before}
    new = ("phi.engagement", "expert.engagement", "center_engagement", "scale_engagement")
    for name, value in before.items():
        if not name.startswith(new) and not name.endswith("widening"):
            assert torch.allclose(value, after[started[name]], atol=1e-5), name
    assert not torch.allclose(before["expert.engagement.weight"], after["expert.interest.weight"])
    (study / "second").rename(study / "moved")
    run(capsys, "export", "moved", "-o", "second.onnx")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--from", "mdvae"), "a forward_filter learns from another model"),
        (("--from", "nowhere.onnx"), "no such bundle"),
        (("--from", "first.onnx", "--model", "mm_vrnn"), "the weights are of a recent_vrnn"),
        (("--from", "first.onnx", "--rate", "10"), "of 25 ticks/s; give --rate 25"),
        (("--from", "small.onnx"), "not in 8 bits"),
    ],
)
def test_weights_that_training_cannot_start_from_are_a_line(study, capsys, options, message):
    if "first.onnx" in options or "small.onnx" in options:
        run(capsys, *TRAIN)
        run(capsys, "export", "run", "-o", options[1], *(["--int8"] * ("small.onnx" in options)))
    assert message in run(capsys, "train", "talks", "-o", "second", *options, status=2)
    assert not (study / "second").exists()


@pytest.mark.long
def test_from_an_empty_folder_to_a_replay_with_the_own_model(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    simulated_study(tmp_path / "talks", people=5, seconds=60, share=0.6)
    assert "5 sessions of 5 people" in run(capsys, "study", "status", "talks")
    assert run(capsys, "study", "check", "talks") == "5 sessions, all usable\n"
    (tmp_path / "tiny.toml").write_text(TINY.replace("rounds = 2", "rounds = 12"))
    run(capsys, *TRAIN)
    printed = run(capsys, "evaluate", "run")
    assert "face only" in printed
    run(capsys, "export", "run", "-o", "mine.onnx")
    run(capsys, "replay", "talks/sessions/p00/1", "--bundle", "mine.onnx", "--to", "jsonl:out.jsonl")
    estimates = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    means = [one["engagement"]["mean"] for one in estimates if "engagement" in one]
    assert len(means) >= 1499
    assert 0 < min(means) < max(means) < 1
