import msgspec
import pytest
import torch

from enrapt.contracts.errors import UserError
from enrapt.models.batch import Batch
from enrapt.models.config import load_config
from enrapt.models.modality import Modality
from enrapt.models.mvae import MVAE, MVAEConfig
from enrapt.models.run_folder import load_run
from enrapt.models.training import Trainer

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def config():
    default = load_config("default")
    small = msgspec.structs.replace(default.model, hidden=8, latent=4)
    training = msgspec.structs.replace(
        default.training, rounds=3, streams=4, session_seconds=4.0, segment_ticks=25
    )
    return msgspec.structs.replace(default, model=small, training=training)


def train(config, seed, folder):
    Trainer(config, seed, folder).run(lambda progress: None)
    return (folder / "model.safetensors").read_bytes()


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def weights(config, tmp_path_factory):
    return train(config, 0, tmp_path_factory.mktemp("runs") / "whole")


def test_a_run_repeats_bit_for_bit_from_its_seed(config, weights, tmp_path):
    assert train(config, 0, tmp_path / "again") == weights
    assert train(config, 1, tmp_path / "other") != weights


def test_a_resumed_run_ends_in_the_weights_of_an_uninterrupted_one(config, weights, tmp_path):
    def kill(progress):
        raise Killed

    for _ in range(2):
        with pytest.raises(Killed):
            Trainer(config, 0, tmp_path / "run").run(kill)
    assert train(config, 0, tmp_path / "run") == weights
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3


def test_steps_with_a_gradient_that_is_not_finite_are_skipped_and_counted(config, tmp_path, monkeypatch):
    trainer = Trainer(config, 0, tmp_path / "run")
    before = [p.detach().clone() for p in trainer.model.parameters()]
    loss = trainer.model.loss

    def spoilt(*arguments):
        losses = loss(*arguments)
        return losses._replace(total=losses.total * torch.nan)

    monkeypatch.setattr(trainer.model, "loss", spoilt)
    metrics = trainer.train_round()
    assert metrics["skipped"] == 4
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))


@pytest.mark.parametrize("unit", [1e-6, 1e-3, 1.0, 1e6])
def test_normalisation_does_not_depend_on_the_unit(unit):
    modality = Modality("sensor", 4, likelihood="normal")
    model = MVAE(MVAEConfig((modality,), hidden=(4,), latent=2))
    values = torch.randn(500, 1, 4) * torch.tensor([3.0, 0.5, 1e-5, 0.0]) + 7  # the last two are constant
    seen = torch.ones(500, 1, dtype=torch.bool)
    model.fit_normalisation(Batch({"sensor": unit * values}, {"sensor": seen}))
    normalised = model.normalised("sensor", unit * values, seen).flatten(0, 1)
    torch.testing.assert_close(normalised.std(0)[:2], torch.ones(2), atol=1e-3, rtol=0)
    assert (normalised.std(0)[2:] < 0.01).all()  # rounding is not amplified


def test_normalisation_of_a_schema_is_in_its_unit():
    """A blendshape that the simulator hardly moves must not be amplified on a real face."""
    modality = Modality("face", 57, schema="face/1")
    model = MVAE(MVAEConfig((modality,), hidden=(4,), latent=2))
    seen = torch.ones(500, 1, dtype=torch.bool)
    model.fit_normalisation(Batch({"face": 1e-4 * torch.randn(500, 1, 57)}, {"face": seen}))
    assert (model.moments("face")[1] == 0.01).all()


def test_a_finished_run_is_given_more_rounds(config, weights, tmp_path):
    train(config, 0, tmp_path / "run")
    longer = msgspec.structs.replace(config, training=msgspec.structs.replace(config.training, rounds=5))
    trainer = Trainer(longer, 0, tmp_path / "run")
    assert trainer.round == 3
    with pytest.raises(UserError, match="not finished"):
        load_run(tmp_path / "run")
    assert (tmp_path / "run" / "model_3_rounds.safetensors").read_bytes() == weights
    assert train(longer, 0, tmp_path / "run") != weights
    assert load_run(tmp_path / "run")[0] == longer
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 5
    with pytest.raises(UserError, match="a run of 5 rounds; give as many or more"):
        Trainer(config, 0, tmp_path / "run")


def test_a_folder_with_another_run_is_not_changed(config, tmp_path):
    Trainer(config, 0, tmp_path / "run")
    with pytest.raises(UserError, match="another configuration or seed"):
        Trainer(config, 1, tmp_path / "run")


def test_an_unfinished_run_has_no_model(config, tmp_path):
    Trainer(config, 0, tmp_path / "run")
    with pytest.raises(UserError, match="not finished"):
        load_run(tmp_path / "run")


def test_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no training run"):
        load_run(tmp_path / "nowhere")


def test_weights_of_another_model_are_rejected(config, weights, tmp_path):
    trainer = Trainer(config, 0, tmp_path / "run")
    wider = msgspec.structs.replace(config.model, hidden=9)
    other = Trainer(msgspec.structs.replace(config, model=wider), 0, tmp_path / "wider")
    assert trainer.folder != other.folder
    (tmp_path / "wider" / "model.safetensors").write_bytes(weights)
    with pytest.raises(UserError, match=r"weights of another model: .* expected"):
        load_run(tmp_path / "wider")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("hiden = 3", "hiden"),
        ("hidden = 0", "hidden"),
        ('hidden = "wide"', r"\$\.model\.hidden"),
    ],
)
def test_an_invalid_configuration_is_rejected(change, named, tmp_path):
    path = tmp_path / "wrong.toml"
    text = (load_config.__globals__["PRESETS"] / "default.toml").read_text()
    path.write_text(text.replace("hidden = 64", change))
    with pytest.raises(UserError, match=named):
        load_config(path)
