"""Labels that are uncertain themselves: their variance in the likelihood, from the files to the loss."""

import math

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given as given_any
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.models.batch import Batch
from enrapt.models.config import Config, Training, build
from enrapt.models.data import Recordings
from enrapt.models.datasets.recordings import read_session
from enrapt.models.dmvae import DMVAEConfig
from enrapt.models.forward_filter import ForwardFilter
from enrapt.models.likelihoods import Parameters, nll, with_label_spread
from enrapt.models.mdvae import MDVAEConfig
from enrapt.models.mm_vrnn import MMVRNNConfig
from enrapt.models.modality import Modality
from enrapt.models.mvae import MVAEConfig

VOICE = Modality("voice", 3, likelihood="normal")
SHARE = Modality("share", 1, "target", "logit_normal", 10.0)
GRADE = Modality("grade", 1, "target", "normal", 10.0)
SIZES = {"hidden": 8, "latent": 3}


def test_the_variance_of_a_label_is_added_to_that_of_the_likelihood():
    y, location, scale, spread = (torch.tensor([x], dtype=torch.float64) for x in (0.3, -0.4, 0.5, 0.06))
    logit_spread = 0.06 / (0.3 * 0.7)  # the derivative of the logit
    total = math.sqrt(0.5**2 + logit_spread**2)
    by_hand = 0.5 * ((math.log(0.3 / 0.7) + 0.4) / total) ** 2 + math.log(total)
    by_hand += 0.5 * math.log(2 * math.pi) + math.log(0.3 * 0.7)
    known = with_label_spread("logit_normal", Parameters(location, scale), y, spread)
    assert nll("logit_normal", known, y).item() == pytest.approx(by_hand, rel=1e-12)
    normal = with_label_spread("normal", Parameters(location, scale), y, spread)
    assert normal.scale.item() == pytest.approx(math.hypot(0.5, 0.06), rel=1e-12)
    laplace = with_label_spread("laplace", Parameters(location, scale), y, spread)
    assert 2 * laplace.scale.item() ** 2 == pytest.approx(2 * 0.5**2 + 0.06**2, rel=1e-12)


@given_any(st.floats(0, 1), st.floats(0, 2), st.floats(-5, 5), st.floats(0.02, 5))
def test_any_label_with_any_spread_has_a_finite_likelihood_and_pulls_less(y, spread, location, scale):
    given = (y, spread, location, scale)
    y, spread, location, scale = (torch.tensor([v], dtype=torch.float64) for v in given)
    location.requires_grad_()
    for likelihood in ("logit_normal", "normal", "laplace"):
        pulls = []
        for uncertain in (torch.zeros_like(spread), spread):
            known = with_label_spread(likelihood, Parameters(location, scale), y, uncertain)
            nats = nll(likelihood, known, y)
            assert torch.isfinite(nats)
            (gradient,) = torch.autograd.grad(nats, location)
            pulls.append(abs(gradient.item()))
        assert pulls[1] <= pulls[0] + 1e-9


def test_categories_have_no_variance():
    known = Parameters(torch.zeros(2), None)
    assert with_label_spread("categorical", known, torch.tensor([0.0, 1.0]), torch.ones(2)) is known


@pytest.mark.parametrize("target", [SHARE, GRADE], ids=lambda m: m.likelihood)
@pytest.mark.parametrize("kind", ["mm_vrnn", "mdvae", "filter", "mvae", "dmvae"])
def test_every_model_learns_less_from_uncertain_labels(kind, target):
    modalities = (VOICE, target)
    torch.manual_seed(0)
    match kind:
        case "mm_vrnn":
            model = build(MMVRNNConfig(modalities, **SIZES))
        case "mvae":
            model = build(MVAEConfig(modalities, hidden=(8,), latent=3, cross=1.0))
        case "dmvae":
            model = build(DMVAEConfig(modalities, hidden=(8,), shared=3, private=1))
        case _:
            model = build(MDVAEConfig(modalities, hidden=8, static=2, shared=3, private=1))
            model = ForwardFilter(model, 8) if kind == "filter" else model
    model.normalise("voice", torch.zeros(3), torch.ones(3))
    if target is GRADE:
        model.normalise("grade", torch.full((1,), 0.5), torch.full((1,), 2.0))
    shape = (4,) if model.axes == 1 else (4, 6)
    x = {"voice": torch.randn(*shape, 3), target.name: torch.rand(*shape, 1)}
    seen = {name: torch.ones(shape, dtype=torch.bool) for name in x}

    def costs(spread):
        batch = Batch(x, seen) if spread is None else Batch(x, seen, {target.name: spread})
        nats = model.loss(batch, generator=torch.Generator().manual_seed(0)).nll
        return {name: value.item() for name, value in nats.items()}

    certain = costs(None)
    assert costs(torch.zeros(*shape, 1))[target.name] == pytest.approx(certain[target.name], rel=1e-5)
    uncertain = costs(torch.full((*shape, 1), 0.3))
    assert uncertain[target.name] != certain[target.name]
    if kind != "filter":
        assert uncertain["voice"] == certain["voice"]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "validation"):
        (tmp_path / part).mkdir()
        for k in range(2):
            arrays = {"voice": rng.normal(size=(30, 3)), "share": rng.random((30, 1))}
            if k:
                arrays["share_spread"] = np.where(rng.random((30, 1)) < 0.5, 0.1, np.nan)
            np.savez(tmp_path / part / f"{k}.npz", **arrays)
    return tmp_path


def config_of(folder):
    training = Training(data=str(folder), session_seconds=2.0, streams=3)
    return Config(1, "a", "b", 10, MMVRNNConfig((VOICE, SHARE), **SIZES), training)


def test_the_spread_goes_with_its_labels_into_every_batch(folder):
    data = Recordings(config_of(folder), training=True)
    (batch,) = data.training(0, 0, 3)
    assert batch.spread["share"].shape == batch.x["share"].shape
    whole = data.batch(data.sessions)
    assert not whole.spread["share"][0].any()
    assert set(whole.spread["share"][1].unique().tolist()) == {0.0, np.float32(0.1)}
    for part in (whole.segments(10)[1], whole.rows(slice(1, 2)), whole.flattened(), whole.given(["share"])):
        assert part.spread["share"].shape == part.x["share"].shape
    assert whole.given(["voice"]).spread == {}


def test_sessions_without_a_spread_are_as_before(folder):
    (folder / "train" / "1.npz").unlink()
    data = Recordings(config_of(folder), training=True)
    assert data.batch(data.sessions).spread == {}


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((30, 1), -0.1), "expected 0 or more"),
        (np.full((30, 1), np.inf), "expected 0 or more"),
        (np.zeros((29, 1)), "expected 30 × 1"),
    ],
)
def test_a_wrong_spread_is_refused(tmp_path, array, message):
    np.savez(tmp_path / "a.npz", voice=np.zeros((30, 3)), share_spread=array)
    with pytest.raises(UserError, match=message):
        read_session(tmp_path / "a.npz", (VOICE, SHARE))


def test_only_targets_have_a_spread(tmp_path):
    np.savez(tmp_path / "a.npz", voice=np.zeros((30, 3)), voice_spread=np.zeros((30, 3)))
    with pytest.raises(UserError, match="voice_spread: no such modality"):
        read_session(tmp_path / "a.npz", (VOICE, SHARE))


def test_a_configuration_keeps_its_jitter_and_the_random_constant_is_one_per_excerpt(folder):
    config = config_of(folder)
    jittered = msgspec.structs.replace(config, training=msgspec.structs.replace(config.training, jitter=2.0))
    plain, moved = (next(Recordings(each, training=True).training(0, 0, 3)) for each in (config, jittered))
    shift = moved.x["voice"] - plain.x["voice"]
    torch.testing.assert_close(shift, shift[:, :1].expand_as(shift), rtol=1e-4, atol=1e-5)
    assert shift[:, 0].abs().min() > 0
    assert torch.equal(moved.x["share"], plain.x["share"])
