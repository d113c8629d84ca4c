"""Run folders that are damaged: what was trained, or one line."""

import json
import math
import os
import shutil
from pathlib import Path
from random import Random

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from enrapt.contracts.errors import UserError
from enrapt.models.config import load_config
from enrapt.models.run_folder import load_run, run_seed
from enrapt.models.training import Trainer
from tests.support.full_disk import files_no_larger_than, needs_limits

torch.set_num_threads(1)

CONFIG = """
version = 1
name = "mine"
description = "tiny"
rate = 10

[model]
model = "mm_vrnn"
hidden = 4
latent = 2

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
data = "DATA"
rounds = 2
streams = 2
session_seconds = 2.0
segment_ticks = 10
early_stopping = { every = 1, patience = 8 }
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for part in ("train", "validation", "test"):
        (folder / part).mkdir()
        share = rng.random((40, 1))
        np.savez(folder / part / "a.npz", voice=share + rng.normal(0, 0.5, (40, 3)), share=share)
    (folder / "config.toml").write_text(CONFIG.replace("DATA", str(folder)))
    return load_config(folder / "config.toml")


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    Trainer(config, 3, folder).run(lambda progress: None)
    return folder


@pytest.fixture
def copy(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


def complaint(call, *arguments) -> str:
    """The one line of the error, or nothing."""
    try:
        call(*arguments)
    except UserError as error:
        line = str(error)
        assert line.isprintable()
        assert len(line) < 700
        return line
    return ""


def resume(config, folder):
    Trainer(config, 3, folder).run(lambda progress: None)


def use(folder):
    load_run(folder)
    run_seed(folder)


BYTES = (b"", b"\xff", b"{}", b"null", b"[" * 100_000, b'{"seed": "x"}', b'{"seed": -1}', b'{"seed": 1e999}')


@pytest.mark.parametrize("name", ["config.json", "run.json", "model.safetensors", "checkpoint.safetensors"])
def test_a_file_of_something_else_is_one_line(config, copy, name):
    for content in BYTES:
        (copy / name).write_bytes(content)
        lines = complaint(use, copy), complaint(resume, config, copy)
        assert all(name in line for line in lines if line)
        assert lines[name == "checkpoint.safetensors"] or name == "model.safetensors"
    (copy / name).unlink()
    os.mkfifo(copy / name)
    assert complaint(use, copy) or complaint(resume, config, copy)


@pytest.mark.parametrize("name", ["config.json", "run.json", "model.safetensors", "checkpoint.safetensors"])
def test_altered_files_are_used_or_one_line(config, run, copy, name):
    good = (run / name).read_bytes()
    for seed in range(25):
        random, data = Random(seed), bytearray(good)
        at = random.randrange(min(len(data), 2000))
        if seed % 3:
            data[at] ^= 1 << random.randrange(8)
        else:
            del data[at : at + random.randrange(1, 500)]
        (copy / name).write_bytes(data)
        complaint(use, copy)
        complaint(Trainer, config, 3, copy)


def test_weights_that_are_not_numbers_or_of_another_type_are_refused(copy):
    path = copy / "model.safetensors"
    good = load_file(path)
    for change, message in (
        (lambda x: x * math.nan, "NaN or infinite"),
        (lambda x: x.double(), "is float64 .*, expected float32"),
        (lambda x: x[..., None], "expected float32"),
    ):
        save_file({k: change(v).contiguous() for k, v in good.items()}, path)
        with pytest.raises(UserError, match=message):
            load_run(copy)


def test_a_damaged_state_of_the_optimiser_is_refused(config, copy):
    path = copy / "checkpoint.safetensors"
    good = load_file(path)
    key = next(k for k in good if k.endswith("exp_avg"))
    counts = {"round": "1", "skipped": "0", "waited": "0", "best": "inf"}
    for change, described, message in (
        ({key: good[key] * math.nan}, counts, "damaged optimiser state"),
        ({key: good[key][:1]}, counts, "damaged optimiser state"),
        ({}, counts | {"round": "-1"}, "damaged"),
        ({}, counts | {"best": "nan"}, "damaged"),
        ({}, {}, "damaged"),
    ):
        save_file({k: v.contiguous() for k, v in (good | change).items()}, path, described)
        with pytest.raises(UserError, match=message):
            Trainer(config, 3, copy)


def test_metrics_of_anything_do_not_matter(config, copy):
    (copy / "model.safetensors").unlink()
    (copy / "metrics.jsonl").write_bytes(bytes(range(256)))
    resume(config, copy)
    (copy / "metrics.jsonl").unlink()
    resume(config, copy)
    assert load_run(copy)


def test_a_loss_that_is_not_finite_ends_training_and_keeps_the_round_before(config, tmp_path, monkeypatch):
    trainer = Trainer(config, 0, tmp_path / "run")
    loss, calls = trainer.model.loss, []

    def spoilt(*arguments):
        losses = loss(*arguments)
        calls.append(1)
        return losses._replace(total=losses.total * (math.nan if len(calls) > 7 else 1))

    monkeypatch.setattr(trainer.model, "loss", spoilt)
    rounds = []
    with pytest.raises(UserError, match=r"round 2: the loss is not finite.* lower the learning rate"):
        trainer.run(lambda progress: rounds.append(progress.round))
    assert rounds == [1]
    assert not (trainer.folder / "model.safetensors").exists()
    assert Trainer(config, 0, trainer.folder).round == 1
    assert all(math.isfinite(x) for x in json.loads((trainer.folder / "metrics.jsonl").read_text()).values())


def test_a_folder_that_cannot_be_one_is_refused(config, tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run", Path("/proc/nothing/run")):
        with pytest.raises(UserError, match="cannot be written"):
            Trainer(config, 0, folder)


@needs_limits
def test_a_full_disk_ends_training_in_one_line(config, tmp_path):
    trainer = Trainer(config, 0, tmp_path / "run")
    with files_no_larger_than(1000), pytest.raises(UserError, match="cannot be written"):
        trainer.run(lambda progress: None)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    resume(msgspec.structs.replace(config), tmp_path / "other")


def test_data_without_a_value_train_or_are_one_line(config, tmp_path):
    from enrapt.models.evaluation import evaluate_run

    for part in ("train", "validation", "test"):
        (tmp_path / part).mkdir()
        np.savez(tmp_path / part / "a.npz", voice=np.full((1, 3), np.nan))
    training = msgspec.structs.replace(config.training, data=str(tmp_path))
    empty = msgspec.structs.replace(config, training=training)
    resume(empty, tmp_path / "run")
    with pytest.raises(UserError, match="share: no held-out session has a value"):
        evaluate_run(load_run(tmp_path / "run")[1], empty, 0)
