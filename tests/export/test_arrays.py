"""A run of `fit`, whose data are not kept, becomes a bundle."""

import numpy as np
import pytest
import torch

from enrapt.bundle.bundle import Bundle
from enrapt.cli.main import main
from enrapt.contracts.errors import UserError
from enrapt.export import export_run
from enrapt.models import MVAE, Modality, evaluate, fit, load


@pytest.fixture(scope="module")
def data():
    g = torch.Generator().manual_seed(0)
    face = torch.randn(60, 3, generator=g)
    calm = torch.sigmoid(face[:, :1] + 0.1 * torch.randn(60, 1, generator=g))
    return {"face": face, "voice": face[:, 1:] + 1, "calm": calm}


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("arrays") / "calm"
    face, voice = Modality("face", 3), Modality("voice", 2, likelihood="normal")
    target = Modality("calm", 1, role="target", likelihood="logit_normal", weight=10.0)
    fit(MVAE([face, voice, target], latent=2, hidden=[8], cross=1.0), data, epochs=2, folder=folder)
    return folder


def test_a_bundle_has_scores_of_the_data_that_are_given(run, data, tmp_path):
    held_out = {name: data[name].numpy().copy() for name in ("face", "calm")}
    held_out["calm"][::2] = np.nan
    export_run(run, tmp_path / "calm.onnx", held_out=held_out)
    described = Bundle.load(tmp_path / "calm.onnx").metadata
    assert described.training_data.name == "arrays"
    assert described.quality["all"].keys() >= {"nll", "rmse", "ccc", "coverage90", "surprise99_face"}
    for pattern, scores in evaluate(load(run), held_out).items():
        assert described.quality[pattern] == pytest.approx(scores, abs=2e-3), pattern
    with pytest.raises(UserError, match=r"calm: not among the held-out data"):
        export_run(run, tmp_path / "other.onnx", held_out={"face": data["face"]})


def test_without_such_data_it_says_that_nothing_was_measured(run, tmp_path, capsys):
    assert main(["export", str(run), "-o", str(tmp_path / "calm.onnx")]) == 0
    assert Bundle.load(tmp_path / "calm.onnx").metadata.quality == {}
    assert main(["inspect", str(tmp_path / "calm.onnx")]) == 0
    shown = capsys.readouterr().out
    assert "not measured" in shown
    assert "arrays, seed 0. Arrays given in Python" in shown
