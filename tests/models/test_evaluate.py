"""Scores of arrays in Python: what the definitions give, and what `enrapt evaluate` prints."""

import math

import numpy as np
import pytest
import torch

from enrapt import export, models
from enrapt.contracts.errors import UserError
from enrapt.models import DMVAE, MDVAE, MMVRNN, MVAE, Modality, evaluate
from enrapt.models.config import Config, Training
from enrapt.models.evaluation import evaluate_run
from tests.support.every_model import MODELS, build, data_of

torch.set_num_threads(1)

FACE, VOICE = Modality("face", 3, likelihood="normal"), Modality("voice", 2, likelihood="normal")
CALM = Modality("calm", 1, "target", "logit_normal")


def sequences(count=5, ticks=40):
    g = torch.Generator().manual_seed(0)
    face = torch.randn(count, ticks, 3, generator=g)
    calm = torch.sigmoid(face[..., :1] + torch.randn(count, ticks, 1, generator=g))
    calm[:, ::3] = torch.nan
    return {"face": face, "voice": 2 * face[..., :2] + 1, "calm": calm}


def untrained(*modalities):
    torch.manual_seed(0)
    return MMVRNN([FACE, VOICE, *modalities], hidden=8, latent=3).eval()


@pytest.mark.parametrize("count", [5, 70])  # more than are in memory at a time
def test_scores_of_a_target_follow_their_definitions(count):
    model, data = untrained(CALM), sequences(count)
    scores = evaluate(model, data)
    assert set(scores) == {"all", "face only", "voice only", "bursts"}
    with torch.no_grad():
        found = model.filter({"face": data["face"]}).prediction["calm"]  # the label is no input
    known = ~data["calm"].isnan()
    y, mean, low, high = (v[known].double() for v in (data["calm"], found.mean, found.low, found.high))
    covariance = ((y - y.mean()) * (mean - mean.mean())).mean()
    variances = [v.var(correction=0) for v in (y, mean)]
    expected = {
        "rmse": (y - mean).square().mean().sqrt(),
        "ccc": 2 * covariance / (sum(variances) + (y.mean() - mean.mean()) ** 2),
        "pearson": covariance / (variances[0] * variances[1]).sqrt(),
        "coverage90": ((low <= y) & (y <= high)).double().mean(),
    }
    for name, value in expected.items():
        assert scores["face only"][name] == pytest.approx(value.item(), rel=1e-4), name
    assert scores["face only"]["nll"] != scores["all"]["nll"]
    assert {"surprise99_face", "surprise99_voice"} < scores["all"].keys()


def test_they_are_those_of_enrapt_evaluate(tmp_path):
    """Of the same sessions in a folder; their bursts are others."""
    model, data = untrained(CALM), sequences()
    (tmp_path / "test").mkdir()
    for i in range(5):
        np.savez(tmp_path / "test" / f"{i}.npz", **{k: v[i].numpy() for k, v in data.items()})
    config = Config(1, "t", "t", 10, model.config, Training(data=str(tmp_path)))
    of_run, of_arrays = evaluate_run(model, config, 0), evaluate(model, data, rate=10)
    for pattern in ("all", "face only", "voice only"):
        assert of_arrays[pattern] == pytest.approx(of_run[pattern], rel=1e-5)
    assert of_arrays["bursts"].keys() == of_run["bursts"].keys()
    assert of_arrays == evaluate(model, {k: v.numpy() for k, v in data.items()}, rate=10)
    assert of_arrays["bursts"] != evaluate(model, data, rate=10, seed=1)["bursts"]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_scored_and_by_every_likelihood(name):
    model = build(name)
    scores = evaluate(model, data_of(model))
    several = len(model.modalities) > 1
    assert next(iter(scores)) == "all"
    assert list(scores)[-1] == "bursts"
    assert len(scores) == (2 + sum(m.role != "target" for m in model.modalities) if several else 2)
    columns = {"_".join(score.split("_")[1:]) for score in scores["bursts"]}
    assert columns <= {m.name for m in model.modalities if m.role != "context"}
    if name.startswith("mm_vrnn"):
        assert {"auc_bernoulli_1", "accuracy_categorical_3", "ccc_normal_1"} < scores["all"].keys()
    if name == "mdvae":
        assert {"auc_bernoulli", "rmse_normal", "pearson_image", "pearson_normal_1"} < scores["all"].keys()


def test_modalities_without_targets_may_be_left_out_and_contexts_are_not_scored():
    torch.manual_seed(0)
    model = MMVRNN([FACE, VOICE, Modality("role", 2, "context")], hidden=8, latent=3).eval()
    data = sequences()
    scores = evaluate(model, {"face": data["face"], "role": torch.zeros(5, 40, 2)})
    assert set(scores) == {"all", "face only", "role only", "bursts"}
    assert all(set(found) == {"rmse_face", "pearson_face"} for found in scores.values())
    own = MDVAE([FACE, VOICE], hidden=8).eval()
    assert set(evaluate(own, {"face": data["face"]})) == {"all", "bursts"}


def test_of_samples_several_targets_have_names():
    torch.manual_seed(0)
    kinds = [Modality("kind", 3, "target", "categorical"), Modality("here", 1, "target", "bernoulli"), CALM]
    model = DMVAE([FACE, *kinds], shared=2, hidden=[8]).eval()
    face = torch.randn(50, 3)
    data = {"face": face, "kind": torch.eye(3)[face.argmax(-1)], "here": (face[:, :1] > 0).float()}
    scores = evaluate(model, data | {"calm": torch.rand(50, 1)})["all"]
    assert {"accuracy_kind", "auc_here", "ccc_calm", "nll_kind"} < scores.keys()
    with torch.no_grad():
        chances = model.filter({"face": face}).prediction["kind"].mean
    right = (chances.argmax(-1) == face.argmax(-1)).float().mean().item()
    assert scores["accuracy_kind"] == pytest.approx(right)
    constant = evaluate(model, data | {"here": torch.ones(50, 1), "calm": torch.rand(50, 1)})
    assert math.isnan(constant["all"]["auc_here"])


def test_what_cannot_be_scored_is_one_line():
    model = MVAE([FACE, CALM], hidden=[8]).eval()
    face, calm = torch.randn(6, 3), torch.rand(6, 1)
    for data, message in (
        ({"face": face}, "calm: not among the held-out data, so there is nothing to score"),
        ({"face": face, "calm": torch.full((6, 1), torch.nan)}, "calm: no held-out session has a value"),
        ({"calm": calm}, "calm: targets only, so there is nothing to predict them from"),
        ({"ear": face, "calm": calm}, "ear: no such modality"),
    ):
        with pytest.raises(UserError, match=message):
            evaluate(model, data)


def test_every_public_name_is_on_the_page_of_models():
    from tests.docs.test_models_page import PAGE

    page = PAGE.read_text()
    for name in (*models.__all__, *export.__all__):
        assert f"`{name}`" in page or f"{name}(" in page, name
