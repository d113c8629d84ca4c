"""Models with a target decoder linear in z: the forward filter, MVAE, DMVAE."""

import msgspec
import numpy as np
import pytest
import torch

from enrapt.contracts.errors import UserError
from enrapt.models.config import Config, Training, build
from enrapt.models.dmvae import DMVAEConfig
from enrapt.models.evaluation import bernoulli_nll, evaluate_run, logit_normal_nll
from enrapt.models.fit import fit
from enrapt.models.forward_filter import ForwardFilter, ForwardFilterConfig
from enrapt.models.likelihoods import Parameters, logit_normal
from enrapt.models.mdvae import MDVAEConfig
from enrapt.models.missing import Dropout
from enrapt.models.mm_vrnn import MMVRNNConfig
from enrapt.models.modality import Modality
from enrapt.models.mvae import MVAEConfig
from enrapt.models.run_folder import load_run
from enrapt.models.target import predictive
from enrapt.models.training import Trainer

torch.set_num_threads(1)

TARGET = Modality("share", 1, "target", "logit_normal", 30.0)
MODALITIES = (Modality("voice", 3, likelihood="normal"), Modality("pose", 2, likelihood="normal"), TARGET)
MDVAE = MDVAEConfig(MODALITIES, hidden=16, static=2, shared=3, private=2)


@torch.no_grad()
def test_the_likelihood_of_an_interval_is_that_of_its_logit_normal():
    location, scale = torch.randn(50, 1), torch.rand(50, 1) + 0.1
    y = torch.rand(50, 1)
    predicted = predictive("logit_normal", Parameters(location, scale), torch.zeros_like(location))
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
        DMVAEConfig(MODALITIES, private=2, shared=3, hidden=(16,)),
    ],
    ids=["mvae", "dmvae"],
)
def test_a_target_is_predicted_from_what_is_present(model, folder, tmp_path):
    config = config_of(model, folder)
    Trainer(config, 0, tmp_path / "run").run(lambda progress: None)
    check(evaluate_run(load_run(tmp_path / "run")[1], config, 0))


def smoother(folder, run, rounds=100):
    Trainer(config_of(MDVAE, folder, rounds), 0, run).run(lambda progress: None)
    return load_run(run)[1]


@pytest.mark.long
def test_a_forward_filter_learns_from_a_trained_mdvae_without_changing_it(folder, tmp_path):
    mdvae = smoother(folder, tmp_path / "smoother")
    model = ForwardFilter(mdvae, hidden=16)
    config = config_of(model.config, folder)
    before = {k: v.clone() for k, v in mdvae.state_dict().items()}
    Trainer(config, 0, tmp_path / "run", model).run(lambda progress: None)
    _, model = load_run(tmp_path / "run")
    check(evaluate_run(model, config, 0))
    assert all(torch.equal(v, before[k]) for k, v in mdvae.state_dict().items())
    assert all(torch.equal(v, before[k]) for k, v in model.smoother.state_dict().items())


def test_training_of_a_filter_resumes(folder, tmp_path):
    mdvae = smoother(folder, tmp_path / "smoother", rounds=2)
    before = {k: v.clone() for k, v in mdvae.state_dict().items()}

    class Killed(Exception):
        pass

    def kill(progress):
        if progress.round == 2:
            raise Killed

    def trainer(name):
        torch.manual_seed(1)  # a filter's first weights are its caller's
        model = ForwardFilter(mdvae, hidden=16)
        return Trainer(config_of(model.config, folder, rounds=4), 0, tmp_path / name, model)

    trainer("whole").run(lambda progress: None)
    with pytest.raises(Killed):
        trainer("run").run(kill)
    trainer("run").run(lambda progress: None)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "run")]
    assert weights[0] == weights[1]
    _, model = load_run(tmp_path / "run")
    assert all(torch.equal(v, before[k]) for k, v in model.smoother.state_dict().items())


def test_a_filter_needs_a_trained_mdvae(folder, tmp_path):
    with pytest.raises(UserError, match="use enrapt distil"):
        Trainer(config_of(ForwardFilterConfig(MDVAE), folder), 0, tmp_path / "run")
    assert not (tmp_path / "run").exists()


TARGETS = (
    TARGET,
    Modality("up", 1, "target", "bernoulli", 30.0),
    Modality("side", 2, "target", "categorical", 30.0),
    Modality("level", 2, "target", "normal", 30.0),
)


@pytest.mark.parametrize(
    "model",
    [
        MVAEConfig((*MODALITIES[:2], *TARGETS), hidden=(16,), latent=4, cross=1.0),
        DMVAEConfig((*MODALITIES[:2], *TARGETS), private=2, shared=3, hidden=(16,)),
        MMVRNNConfig((*MODALITIES[:2], *TARGETS), hidden=16, latent=4),
    ],
    ids=["mvae", "dmvae", "mm_vrnn"],
)
def test_several_targets_of_any_likelihood_are_predicted(model, tmp_path):
    rng = np.random.default_rng(0)
    u = 1.5 * rng.normal(size=(400, 10, 1))
    share = 1 / (1 + np.exp(-u))
    up = share > 0.5
    data = {
        "voice": 50 + 9 * u * [1, -1, 0.5] + rng.normal(0, 3, (400, 10, 3)),
        "pose": u * [0.2, -0.1] + rng.normal(0, 0.1, (400, 10, 2)),
        "share": share,
        "up": up,
        "side": np.concatenate([up, ~up], -1),
        "level": 100 * share * [1, -1],
    }
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
    for i in range(20):
        np.savez(tmp_path / "test" / f"{i}.npz", **{k: v[i].astype(float) for k, v in data.items()})
    rows = {k: v[20:].astype(np.float32) for k, v in data.items()}
    built = build(model)
    if built.axes == 1:
        fit(
            built,
            {k: v.reshape(-1, v.shape[-1]) for k, v in rows.items()},
            epochs=6,
            batch=150,
            lr=2e-2,
            device="cpu",
        )
    else:
        fit(built, rows, epochs=10, batch=20, lr=1e-2, dropout=Dropout(target=0.5), device="cpu")
    scores = evaluate_run(built, config_of(model, tmp_path), 0)["all"]
    assert scores["ccc_share"] > 0.8
    assert scores["ccc_level"] > 0.8
    assert scores["rmse_level"] < 15  # its standard deviation is 27
    assert scores["auc_up"] > 0.9
    assert scores["accuracy_side"] > 0.85


@pytest.mark.parametrize("model", [MVAEConfig, DMVAEConfig, MDVAEConfig, MMVRNNConfig])
def test_a_model_of_targets_alone_is_rejected(model):
    with pytest.raises(ValueError, match="at least one that is observed"):
        model((TARGET,))


@pytest.mark.parametrize("model", [MVAEConfig, DMVAEConfig, MDVAEConfig])
def test_a_context_is_rejected_by_models_that_take_none(model):
    with pytest.raises(ValueError, match=r"must be observed or targets, found \{'c': 'context'\}"):
        model((MODALITIES[0], Modality("c", 1, "context")))


@pytest.mark.parametrize(
    ("model", "latent"), [(MVAEConfig, "z"), (DMVAEConfig, "shared"), (MDVAEConfig, "w"), (MMVRNNConfig, "h")]
)
def test_a_modality_with_the_name_of_a_latent_is_rejected(model, latent):
    with pytest.raises(ValueError, match=f"none of them .*{latent}"):
        model((MODALITIES[0], Modality(latent, 1)))


@pytest.mark.parametrize("model", [DMVAEConfig, MDVAEConfig])
def test_a_target_has_no_private_latent(model):
    with pytest.raises(ValueError, match="a target has no private latent"):
        model((*MODALITIES[:2], msgspec.structs.replace(TARGET, private=1)))
    assert "share" not in model(MODALITIES, private=3).sizes()


@pytest.mark.parametrize("keys", [{"decoder": "Linear(4, 2)"}, {"scale": 0.1}])
def test_a_target_has_a_decoder_of_the_models_own(keys):
    with pytest.raises(
        ValueError, match=r"share: a target's decoder is linear in z, and its scale predicted"
    ):
        Modality("share", 1, "target", "logit_normal", **keys)
