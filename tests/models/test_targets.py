"""Models with a target decoder linear in z: the forward filter, MVAE, DMVAE."""

import msgspec
import numpy as np
import pytest
import torch

from enrapt.contracts.errors import UserError
from enrapt.models.config import Config, Training
from enrapt.models.dmvae import DMVAEConfig
from enrapt.models.engagement import linear_logit, predictive
from enrapt.models.evaluation import bernoulli_nll, evaluate, logit_normal_nll
from enrapt.models.forward_filter import ForwardFilterConfig
from enrapt.models.likelihoods import logit_normal, logit_scale
from enrapt.models.mdvae import MDVAEConfig
from enrapt.models.missing import Dropout
from enrapt.models.mlp import mlp
from enrapt.models.modality import Modality
from enrapt.models.mvae import MVAEConfig
from enrapt.models.training import Trainer, load_model

torch.set_num_threads(1)

TARGET = Modality("share", 1, "target", "logit_normal", 30.0)
MODALITIES = (Modality("voice", 3, likelihood="normal"), Modality("pose", 2, likelihood="normal"), TARGET)
MDVAE = MDVAEConfig(MODALITIES, hidden=16, static=2, shared=3, private=2)


@torch.no_grad()
def test_a_linear_decoder_integrates_z_out():
    torch.manual_seed(0)
    decoder = mlp(4, 2)
    decoder[0].weight[1] = 0  # then it is exact
    mean, variance = torch.randn(1, 4), torch.rand(1, 4) * 4
    predicted = predictive(*linear_logit(decoder, mean, variance))
    z = mean + variance.sqrt() * torch.randn(400_000, 4)
    location, raw = decoder(z).chunk(2, -1)
    y = torch.sigmoid(location + logit_scale(raw) * torch.randn(len(z), 1))
    assert predicted.mean.item() == pytest.approx(y.mean().item(), abs=2e-3)
    assert predicted.std.item() == pytest.approx(y.std().item(), abs=2e-3)
    low, high = torch.quantile(y[:, 0], torch.tensor([0.05, 0.95]))
    assert predicted.low.item() == pytest.approx(low.item(), abs=5e-3)
    assert predicted.high.item() == pytest.approx(high.item(), abs=5e-3)


@torch.no_grad()
def test_the_likelihood_of_an_interval_is_that_of_its_logit_normal():
    location, scale = torch.randn(50, 1), torch.rand(50, 1) + 0.1
    y = torch.rand(50, 1)
    predicted = predictive(location, scale)
    found = logit_normal_nll(*(v.squeeze(-1).numpy() for v in (y, predicted.low, predicted.high)))
    np.testing.assert_allclose(found, logit_normal(y, location, scale).squeeze(-1), rtol=1e-3, atol=1e-4)


def test_the_likelihood_of_a_binary_target():
    nats = bernoulli_nll(np.array([0.0, 1.0]), np.array([0.25, 0.25], np.float32))
    np.testing.assert_allclose(nats, [-np.log(0.75), -np.log(0.25)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Sessions in which voice and pose follow a slow random walk, and the target its last quarter of a
    second."""
    root, rng = tmp_path_factory.mktemp("sessions"), np.random.default_rng(0)
    for part, count in (("train", 16), ("test", 6)):
        (root / part).mkdir()
        for i in range(count):
            u = np.cumsum(rng.normal(0, 0.4, 80)) + rng.normal()
            u -= u.mean()
            voice = 50 + 9 * u[:, None] * [1, -1, 0.5] + rng.normal(0, 3, (80, 3))
            voice[rng.random(80) < 0.3] = np.nan
            pose = u[:, None] * [0.2, -0.1] + rng.normal(0, 0.1, (80, 2))
            share = 1 / (1 + np.exp(-u[:, None] - rng.normal(0, 0.2, (80, 1))))
            np.savez(root / part / f"{i}.npz", voice=voice, pose=pose, share=share)
    return root


def config_of(model, folder, rounds=100) -> Config:
    samples = isinstance(model, MVAEConfig | DMVAEConfig)  # which choose subsets of modalities themselves
    training = Training(
        data=str(folder), rounds=rounds, streams=16, session_seconds=8.0, segment_ticks=40,
        learning_rate=1e-2, warmup_rounds=2, dropout=Dropout() if samples else Dropout(target=0.5),
    )  # fmt: skip
    training = msgspec.structs.replace(training, annealing=type(training.annealing)(rounds=5))
    return Config(version=1, name="t", description="t", rate=10, model=model, training=training)


def check(scores):
    assert set(scores) == {"all", "voice only", "pose only", "bursts"}
    assert scores["all"]["ccc"] > 0.7
    assert scores["pose only"]["ccc"] > 0.4
    assert 0.75 < scores["all"]["coverage90"] <= 1
    assert {"surprise99_voice", "surprise99_pose"} < scores["all"].keys()


@pytest.mark.parametrize(
    "model",
    [
        MVAEConfig(MODALITIES, hidden=(16,), latent=4, cross=1.0),
        DMVAEConfig(MODALITIES, private=(2, 2, 0), shared=3, hidden=(16,)),
    ],
    ids=["mvae", "dmvae"],
)
def test_a_target_is_predicted_from_what_is_present(model, folder, tmp_path):
    config = config_of(model, folder)
    Trainer(config, 0, tmp_path / "run").run(lambda progress: None)
    check(evaluate(load_model(tmp_path / "run")[1], config, 0))


def smoother(folder, run, rounds=100):
    Trainer(config_of(MDVAE, folder, rounds), 0, run).run(lambda progress: None)
    return load_model(run)[1]


@pytest.mark.long
def test_a_forward_filter_learns_from_a_trained_mdvae_without_changing_it(folder, tmp_path):
    config = config_of(ForwardFilterConfig(MDVAE, hidden=16), folder)
    mdvae = smoother(folder, tmp_path / "smoother")
    before = {k: v.clone() for k, v in mdvae.state_dict().items()}
    Trainer(config, 0, tmp_path / "run", mdvae).run(lambda progress: None)
    _, model = load_model(tmp_path / "run")
    check(evaluate(model, config, 0))
    assert all(torch.equal(v, before[k]) for k, v in model.smoother.state_dict().items())


def test_training_of_a_filter_resumes(folder, tmp_path):
    config = config_of(ForwardFilterConfig(MDVAE, hidden=16), folder, rounds=4)
    mdvae = smoother(folder, tmp_path / "smoother", rounds=2)
    before = {k: v.clone() for k, v in mdvae.state_dict().items()}

    class Killed(Exception):
        pass

    def kill(progress):
        if progress.round == 2:
            raise Killed

    Trainer(config, 0, tmp_path / "whole", mdvae).run(lambda progress: None)
    with pytest.raises(Killed):
        Trainer(config, 0, tmp_path / "run", mdvae).run(kill)
    Trainer(config, 0, tmp_path / "run", mdvae).run(lambda progress: None)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "run")]
    assert weights[0] == weights[1]
    _, model = load_model(tmp_path / "run")
    assert all(torch.equal(v, before[k]) for k, v in model.smoother.state_dict().items())


def test_a_filter_needs_a_trained_mdvae(folder, tmp_path):
    with pytest.raises(UserError, match="use enrapt distil"):
        Trainer(config_of(ForwardFilterConfig(MDVAE), folder), 0, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("model", "modalities", "message"),
    [
        (MDVAEConfig, (TARGET,), "at least one observed"),
        (MVAEConfig, (*MODALITIES, Modality("z", 1, "target", "logit_normal")), "at most one target"),
        (MDVAEConfig, (MODALITIES[0], Modality("y", 1, "target", "bernoulli")), "must be 1 logit_normal"),
        (MVAEConfig, (MODALITIES[0], Modality("c", 1, "context")), "must be observed, or one the target"),
    ],
)
def test_invalid_combinations_of_modalities_are_rejected(model, modalities, message):
    with pytest.raises(ValueError, match=message):
        model(modalities)


def test_a_target_has_no_private_latent():
    with pytest.raises(ValueError, match="private must be 0 for the target"):
        DMVAEConfig(MODALITIES, private=(1, 1, 1))
