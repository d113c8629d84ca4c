"""`fit` of every model on arrays, its runs, and `load`."""

import functools
import math

import msgspec
import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Laplace, Normal, kl_divergence

from enrapt.contracts.errors import UserError
from enrapt.models import (
    DMVAE,
    MDVAE,
    MMVRNN,
    MVAE,
    VQVAE,
    Annealing,
    Dropout,
    EarlyStopping,
    ForwardFilter,
    Modality,
    load,
)
from enrapt.models import fit as fit_anywhere
from enrapt.models.config import Config, Training, load_config
from enrapt.models.data import Arrays
from enrapt.models.run_folder import load_run
from enrapt.models.training import Trainer

torch.set_num_threads(1)
fit = functools.partial(fit_anywhere, device="cpu")  # where results are the same to the bit

N, T = 48, 6


def cnn(likelihood="normal", **keys):
    """A modality of pictures with the caller's networks."""
    encoder = nn.Sequential(
        nn.Conv2d(1, 4, 4, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(8)
    )
    decoder = nn.Sequential(
        nn.LazyLinear(64), nn.Unflatten(1, (4, 4, 4)), nn.GELU(), nn.ConvTranspose2d(4, 1, 4, 2, 1)
    )
    return Modality(
        "picture", shape=(1, 8, 8), likelihood=likelihood, encoder=encoder, decoder=decoder, **keys
    )


def vectors():
    return [Modality("a", 3, likelihood="normal"), Modality("b", 2, likelihood="bernoulli")]


def mvae():
    return MVAE([*vectors(), Modality("y", 1, "target", "logit_normal", 5.0)], latent=2, hidden=(8,))


def dmvae():
    return DMVAE([*vectors(), cnn()], shared=2, private=1, hidden=(8,))


def mm_vrnn():
    return MMVRNN([*vectors(), Modality("c", 2, "context")], hidden=8, latent=2)


def mdvae():
    return MDVAE([*vectors(), Modality("y", 1, "target", "logit_normal", 5.0)], hidden=8, static=1, shared=2)


def vq_vae():
    return VQVAE([Modality("picture", shape=(8, 8), likelihood="normal")], codes=8, size=2, hidden=4)


MODELS = {"mvae": mvae, "dmvae": dmvae, "mm_vrnn": mm_vrnn, "mdvae": mdvae, "vq_vae": vq_vae}


def made(name):
    """An untrained model, the same every time."""
    torch.manual_seed(0)
    return MODELS[name]()


def data_of(model, count=N, seed=0, missing=0.2):
    """Data in which everything follows one number, a fifth of them missing; all of the first sample."""
    rng = np.random.default_rng(seed)
    leading = (count,) if model.axes == 1 else (count, T)
    u = rng.normal(size=(*leading, 1))
    data = {}
    for m in model.modalities:
        value = u * rng.normal(size=m.dim) + 0.3 * rng.normal(size=(*leading, m.dim))
        if m.likelihood == "bernoulli":
            value = (value > 0).astype(float)
        elif m.likelihood == "logit_normal":
            value = 1 / (1 + np.exp(-value))
        else:
            value = 20 + 5 * value
        value[rng.random(leading) < missing] = np.nan
        if missing:
            value[0] = np.nan
        data[m.name] = value.reshape(*leading, *m.shape).astype(np.float32)
    return data


def same(one, other):
    """Whether two models have the same weights to the bit."""
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(v, b[k]) for k, v in a.items())


def log_likelihood(model, data):
    generator = torch.Generator().manual_seed(5)
    return model.log_likelihood(data, samples=3, generator=generator)


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


def test_a_model_learns_and_says_how(name):
    model, seen = made(name), []
    data = data_of(model)
    history = fit(model, data, epochs=12, batch=16, lr=1e-2, progress=seen.append)
    costs = {f"nll_{m.name}" for m in model.modalities if m.role != "context"}
    assert all(set(losses) == {"loss", "kl", "beta", "skipped"} | costs for losses in history)
    assert all(math.isfinite(value) for losses in history for value in losses.values())
    assert [p.round for p in seen] == list(range(1, 13))
    assert [p.metrics for p in seen] == history
    assert not model.training
    assert sum(history[-1][k] for k in costs) < sum(history[0][k] for k in costs)
    nats = log_likelihood(model, data)
    assert nats.shape == (N,)
    assert torch.isfinite(nats).all()
    assert (log_likelihood(made(name), data).mean() < nats.mean()).all()
    for m in model.modalities:
        if m.likelihood in ("normal", "laplace"):
            center, scale = model.moments(m.name)
            there = data[m.name].reshape(-1, m.dim)
            np.testing.assert_allclose(center, np.nanmean(there, 0), rtol=1e-4)
            np.testing.assert_allclose(scale, np.nanstd(there, 0, ddof=1), rtol=1e-3)


def test_what_is_missing_has_no_part_in_it(name):
    """The same model is trained by data without the samples that have nothing, whatever their place holds."""
    one, other = made(name), made(name)
    data = data_of(one)
    batch = other.checked(data)
    spoilt = {k: v.clone() for k, v in batch.x.items()}
    for k, there in batch.available.items():
        spoilt[k][~there] = 1e30
    histories = [
        fit(model, x, epochs=2, batch=16) for model, x in ((one, data), (other, batch._replace(x=spoilt)))
    ]
    assert histories[0] == histories[1]
    assert same(one, other)


def test_the_best_epoch_on_validation_data_is_kept(name):
    """From the third epoch on the weights are spoilt: no later one can be the best on any machine."""
    model, weights = made(name), []

    def keep_and_spoil(progress):
        weights.append({k: v.clone() for k, v in model.state_dict().items()})
        if len(weights) >= 3:
            with torch.no_grad():
                for v in model.parameters():
                    v += torch.randn(v.shape, generator=torch.Generator().manual_seed(len(weights)))

    data, other = data_of(model), data_of(model, count=20, seed=1)
    options = {"validation": other, "epochs": 6, "batch": 8, "lr": 1e-3, "annealing": "constant"}
    history = fit(model, data, **options, progress=keep_and_spoil)
    losses = [losses["validation"] for losses in history]
    best = losses.index(min(losses))
    assert best < 3
    assert all(torch.equal(v, weights[best][k]) for k, v in model.state_dict().items())


def test_training_ends_when_it_no_longer_improves(tmp_path):
    model = made("mvae")
    data = data_of(model)
    options = {"validation": data_of(model, seed=1), "epochs": 60, "lr": 0.1, "patience": 2, "batch": 8}
    history = fit(model, data, folder=tmp_path / "run", **options)
    losses = [losses["validation"] for losses in history]
    assert len(losses) < 60
    assert losses.index(min(losses)) == len(losses) - 3
    again = made("mvae")
    assert fit(again, data, folder=tmp_path / "run", **options) == []  # it is finished
    assert same(again, model)


# Runs in folders.


@pytest.mark.parametrize("validated", [False, True])
def test_a_run_that_is_loaded_is_the_same_model(name, validated, tmp_path):
    model = made(name)
    data = data_of(model)
    options = {"validation": data_of(model, seed=1)} if validated else {}
    fit(model, data, epochs=3, batch=16, folder=tmp_path / "run", **options)
    loaded = load(tmp_path / "run")
    assert type(loaded) is type(model)
    assert not loaded.training
    assert same(loaded, model)
    assert torch.equal(log_likelihood(loaded, data), log_likelihood(model, data))
    plain = made(name)
    fit(plain, data, epochs=3, batch=16, **options)
    assert same(plain, model)  # a folder changes nothing


class Killed(Exception):
    pass


def kill_after(epoch):
    def kill(progress):
        if progress.round == epoch:
            raise Killed

    return kill


def test_a_run_that_was_killed_and_is_repeated_ends_in_the_same_weights(name, tmp_path):
    whole = made(name)
    data, other = data_of(whole), data_of(whole, seed=1)
    options = {"validation": other, "epochs": 5, "batch": 16, "lr": 0.02, "folder": tmp_path / "run"}
    history = fit(whole, data, **(options | {"folder": None}))
    for epoch in (1, 3):
        with pytest.raises(Killed):
            fit(made(name), data, **options, progress=kill_after(epoch))
    model = made(name)
    assert fit(model, data, **options) == history[3:]
    assert same(model, whole)
    assert same(load(tmp_path / "run"), whole)
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [msgspec.json.decode(line) for line in lines] == [
        {"round": i + 1} | losses for i, losses in enumerate(history)
    ]


def test_a_run_with_random_layers_of_the_caller_resumes_as_well(tmp_path):
    """Dropout draws from PyTorch's own generator."""

    def model():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.ReLU())
        return MVAE([Modality("a", 3, encoder=network)], latent=2)

    whole = model()
    data = data_of(whole)
    options = {"epochs": 4, "batch": 16}
    fit(whole, data, **options)
    with pytest.raises(Killed):
        fit(model(), data, **options, folder=tmp_path / "run", progress=kill_after(2))
    again = model()
    torch.rand(7)
    fit(again, data, **options, folder=tmp_path / "run")
    assert same(again, whole)


def test_a_run_is_given_more_epochs(tmp_path):
    model = made("mvae")
    data = data_of(model)
    with pytest.warns(UserWarning, match=r"takes 4 rounds and training 2: β ends at 0\.5 instead of 1"):
        fit(model, data, epochs=2, folder=tmp_path / "run", annealing=Annealing(rounds=4))
    more = made("mvae")
    history = fit(more, data, epochs=4, folder=tmp_path / "run", annealing=Annealing(rounds=4))
    assert len(history) == 2
    assert not same(more, model)
    assert same(load(tmp_path / "run"), more)


@pytest.mark.parametrize("schedule", ["linear", "cyclical"])
def test_a_run_continues_with_the_annealing_that_it_began_with(schedule, tmp_path):
    data = data_of(made("mvae"))
    for epochs in (4, 6, 9):
        history = fit(
            made("mvae"), data, validation=data, epochs=epochs, annealing=schedule, folder=tmp_path / "run"
        )
    assert len(history) == 3
    config, _ = load_run(tmp_path / "run")
    assert config.training.annealing.rounds == {"linear": 2, "cyclical": 1}[schedule]


@pytest.mark.parametrize(
    "change", [{"lr": 0.1}, {"seed": 1}, {"batch": 5}, {"precision": "float64"}, {"annealing": "constant"}]
)
def test_a_folder_with_another_run_is_refused(change, tmp_path):
    data = data_of(made("mvae"))
    fit(made("mvae"), data, epochs=1, folder=tmp_path / "run")
    with pytest.raises(UserError, match="another configuration or seed"):
        fit(made("mvae"), data, **({"epochs": 1, "folder": tmp_path / "run"} | change))


@pytest.mark.parametrize("folder", [".", "sub/..", ""])
def test_a_folder_may_be_where_one_is(folder, tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    model = made("mvae")
    fit(model, data_of(model), epochs=1, folder=folder)
    assert same(load("."), model)


# Networks of the caller.


class Twice(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)

    def forward(self, x):
        return 2 * self.layer(x)


def test_networks_that_no_text_makes_are_given_to_load_as_well(tmp_path):
    torch.manual_seed(0)
    encoder, decoder = Twice(3, 4), nn.Sequential(nn.Linear(2, 4), Twice(4, 2))
    a, b = vectors()
    modalities = [msgspec.structs.replace(a, encoder=encoder), msgspec.structs.replace(b, decoder=decoder)]
    model = MVAE(modalities, latent=2)
    data = data_of(model)
    fit(model, data, epochs=2, folder=tmp_path / "run")
    with pytest.raises(UserError, match=r"the encoder of a, .*Twice.* give the module in Python") as error:
        load(tmp_path / "run")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"the decoder of b, .*Twice.* give the module in Python"):
        load(tmp_path / "run", encoders={"a": encoder})
    loaded = load(tmp_path / "run", encoders={"a": Twice(3, 4)}, decoders={"b": decoder})
    assert same(loaded, model)
    assert torch.equal(log_likelihood(loaded, data), log_likelihood(model, data))
    with pytest.raises(UserError, match=r"weights of another model: encoder\.a\."):
        load(tmp_path / "run", encoders={"a": Twice(3, 5)}, decoders={"b": decoder})
    with pytest.raises(UserError, match="c: no such modality; the model has a, b"):
        load(tmp_path / "run", encoders={"c": Twice(3, 5)})


def test_networks_of_a_filters_smoother_are_given_to_load(tmp_path):
    torch.manual_seed(0)
    encoder = Twice(3, 4)
    smoother = MDVAE([Modality("a", 3, encoder=encoder)], hidden=4, static=1, shared=1, private=0)
    data = data_of(smoother)
    fit(smoother, data, epochs=1)
    model = ForwardFilter(smoother, hidden=4)
    fit(model, data, epochs=1, folder=tmp_path / "run")
    with pytest.raises(UserError, match=r"the encoder of a, .*Twice"):
        load(tmp_path / "run")
    assert same(load(tmp_path / "run", encoders={"a": encoder}), model)


def test_weights_that_two_layers_share_are_kept(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    network[2].weight = network[0].weight
    model = MVAE([Modality("a", 3, encoder=network)], latent=2)
    data = data_of(model)
    fit(model, data, epochs=2, folder=tmp_path / "run")
    found = model.encoder["a"][0].network
    assert found[2].weight is found[0].weight
    assert torch.equal(log_likelihood(load(tmp_path / "run"), data), log_likelihood(model, data))


def test_a_model_that_load_would_not_read_is_not_written(tmp_path):
    large = nn.Sequential(nn.Linear(3, 5000), nn.ReLU(), nn.Linear(5000, 5000))
    model = MVAE([Modality("a", 3, encoder=large)], latent=2)
    with pytest.raises(UserError, match="parameters, more than"):
        fit(model, data_of(model), epochs=1, folder=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# Fine-tuning.


def test_a_loaded_model_that_is_continued_keeps_its_normalisation(tmp_path, name):
    model = made(name)
    data = data_of(model)
    fit(model, data, epochs=1, folder=tmp_path / "run")
    loaded = load(tmp_path / "run")
    before = {k: v.clone() for k, v in loaded.state_dict().items()}
    other = {
        m.name: data[m.name] * 3 + 7 if m.likelihood in ("normal", "laplace") else data[m.name]
        for m in model.modalities
    }
    fit(loaded, other, epochs=1)
    after = loaded.state_dict()
    kept = [k for k in before if k.startswith(("center_", "scale_"))]
    assert len(kept) == 2 * len(model.modalities)
    assert all(torch.equal(before[k], after[k]) for k in kept)
    assert not same(loaded, model)


def sessions(folder, shift=0.0):
    for part in ("train", "validation", "test"):
        (folder / part).mkdir(parents=True)
        for i in range(3):
            values = {k: v[0] for k, v in data_of(made("mm_vrnn"), count=2, seed=i, missing=0).items()}
            values["a"] = values["a"] + shift
            np.savez(folder / part / f"{i}.npz", **values)
    return folder


def test_a_run_starts_from_the_weights_and_normalisation_of_another(tmp_path):
    model = made("mm_vrnn")
    data = data_of(model)
    fit(model, data, epochs=2, folder=tmp_path / "first")
    training = Training(
        data=str(sessions(tmp_path / "sessions", shift=100.0)), initial=str(tmp_path / "first"), rounds=1,
        streams=2, session_seconds=1.0, segment_ticks=5, learning_rate=1e-6, epochs=True,
    )  # fmt: skip
    config = Config(1, "second", "fine-tuned", 5, model.config, training)
    trainer = Trainer(config, 0, tmp_path / "second")
    assert same(trainer.model, model)
    trainer.run(lambda progress: None)
    for m in model.modalities:
        for one, other in zip(trainer.model.moments(m.name), model.moments(m.name), strict=True):
            assert torch.equal(one, other)
    assert not same(trainer.model, model)
    for k, v in trainer.model.state_dict().items():
        torch.testing.assert_close(v, model.state_dict()[k], atol=1e-3, rtol=0)
    assert same(load(tmp_path / "second"), trainer.model)
    # A run that is resumed no longer needs the other.
    moved = (tmp_path / "first").rename(tmp_path / "moved")
    assert same(Trainer(config, 0, tmp_path / "second").model, trainer.model)
    moved.rename(tmp_path / "first")
    # Of a wider model, what fits.
    wider = msgspec.structs.replace(config, model=msgspec.structs.replace(model.config, latent=3))
    begun = Trainer(wider, 0, None).model
    assert all(map(torch.equal, begun.moments("a"), model.moments("a")))
    assert torch.equal(begun.phi["a"][0][0].weight, model.phi["a"][0][0].weight)
    # No run, or one of which nothing fits, is one line.
    for folder, message in (
        (tmp_path / "nothing", "no finished run"),
        (other_run(tmp_path), "no weights fit"),
    ):
        wrong = msgspec.structs.replace(
            config, training=msgspec.structs.replace(training, initial=str(folder))
        )
        with pytest.raises(UserError, match=message):
            Trainer(wrong, 0, None)


def test_fit_starts_from_what_fits_of_another_run(tmp_path):
    model = made("mvae")
    fit(model, data_of(model), epochs=2, folder=tmp_path / "first")
    more = MVAE([*model.modalities, Modality("c", 2)], latent=2, hidden=(8,))
    data = data_of(model) | {"c": torch.randn(N, 2)}
    options = {"epochs": 1, "lr": 1e-6, "initial": tmp_path / "first", "folder": tmp_path / "second"}
    fit(more, data, **options)
    assert all(map(torch.equal, more.moments("a"), model.moments("a")))
    for one, other in zip(more.encoder["a"].parameters(), model.encoder["a"].parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=0)
    assert load_config(tmp_path / "second" / "config.json").training.initial == str(tmp_path / "first")
    # Continued, it does not start anew.
    (tmp_path / "first").rename(tmp_path / "moved")
    fit(more, data, **options | {"epochs": 2})


def test_fit_takes_every_option_of_a_configuration(tmp_path):
    model, data = made("mvae"), data_of(made("mvae"))
    stopping = EarlyStopping(every=2, patience=1, of="targets")
    options = {"description": "of two", "licence": "CC0-1.0", "trained_on": "nobody"}
    losses = fit(
        model, data, validation=data, epochs=4, patience=stopping, weight_decay=0.1, folder=tmp_path / "run",
        **options,
    )  # fmt: skip
    assert ["validation" in one for one in losses] == [False, True] * (len(losses) // 2)
    config = load_config(tmp_path / "run" / "config.json")
    assert config.training.early_stopping == stopping
    assert config.training.weight_decay == 0.1
    assert {name: getattr(config, name) for name in options} == options


def other_run(folder):
    torch.manual_seed(0)
    model = VQVAE([Modality("p", shape=(8,), likelihood="normal")], codes=8, size=2, hidden=4)
    fit(model, data_of(model), epochs=1, folder=folder / "vq_vae")
    return folder / "vq_vae"


def test_the_path_of_a_run_to_start_from_is_where_the_configuration_is(tmp_path, monkeypatch):
    path = tmp_path / "study" / "mine.toml"
    path.parent.mkdir()
    path.write_text(
        'version = 1\nname = "a"\ndescription = "b"\nrate = 25\n[training]\ninitial = "../first"\n'
        '[model]\nmodel = "mvae"\nmodalities = [{name = "face", dim = 57}]\n'
    )
    monkeypatch.chdir("/")
    assert load_config(path).training.initial == str(tmp_path / "first")


# The loss.


def one_of_each():
    """Of several sizes and likelihoods, with scales of every kind."""
    return [
        Modality("fixed", 3, likelihood="normal", scale=0.5),
        Modality("learned", 4, likelihood="laplace", decoder=nn.LazyLinear(4)),
        Modality("predicted", 2, likelihood="normal"),
        Modality("binary", 5, likelihood="bernoulli"),
    ]


def trained(kind, modalities=None, **options):
    torch.manual_seed(0)
    model = kind(modalities or one_of_each(), **options)
    fit(model, data_of(model), epochs=2, batch=16, lr=1e-2)
    return model


KINDS = {
    "mvae": (MVAE, {"latent": 2, "hidden": (8,)}),
    "dmvae": (DMVAE, {"shared": 2, "private": 1, "hidden": (8,)}),
    "mm_vrnn": (MMVRNN, {"latent": 2, "hidden": 8}),
    "mdvae": (MDVAE, {"shared": 2, "static": 1, "private": 1, "hidden": 8}),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


@torch.no_grad()
def density(model, name, x, z):
    """log p(x | z) in raw units: of the model, and by PyTorch's distributions from what decodes."""
    m = model.by_name[name]
    there = torch.ones(x.shape[:-1], dtype=torch.bool)
    found = -model.cost(name, x, there, z) - model.log_volume(m)
    return found, model.decode(z, [name])[name]


def test_a_fixed_scale_is_in_raw_units(kind):
    model = trained(kind[0], **kind[1])
    z = model.encode(data_of(model, missing=0))
    x = torch.as_tensor(data_of(model, missing=0, seed=2)["fixed"])
    found, mean = density(model, "fixed", x, z)
    expected = Normal(mean, 0.5).log_prob(x).sum(-1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    assert not [k for k in model.state_dict() if "raw_scale.fixed" in k]
    drawn = torch.stack([model.draw(z, ["fixed"])["fixed"] for _ in range(200)])
    torch.testing.assert_close(drawn.std(0).mean(), torch.tensor(0.5), atol=0.02, rtol=0)


def test_a_learned_scale_is_one_number_a_dimension(kind):
    model = trained(kind[0], **kind[1])
    begun = kind[0](one_of_each(), **kind[1])
    assert {k: v.shape for k, v in model.raw_scale.items()} == {"learned": (4,)}
    assert not torch.equal(model.raw_scale["learned"], begun.raw_scale["learned"])
    softplus = nn.functional.softplus(begun.raw_scale["learned"])
    torch.testing.assert_close(softplus, torch.ones(4))
    z = model.encode(data_of(model, missing=0))
    x = torch.as_tensor(data_of(model, missing=0, seed=2)["learned"])
    found, mean = density(model, "learned", x, z)
    own = (nn.functional.softplus(model.raw_scale["learned"]) + 0.02) * model.moments("learned")[1]
    torch.testing.assert_close(found, Laplace(mean, own).log_prob(x).sum(-1), rtol=1e-4, atol=1e-3)


def test_a_learned_scale_is_that_of_the_noise():
    """A factor analysis: three numbers that follow a hidden one, each with its own noise."""
    rng, noise = np.random.default_rng(0), np.array([0.2, 0.3, 0.5])
    x = rng.normal(size=(1000, 1)) + noise * rng.normal(size=(1000, 3))
    torch.manual_seed(0)
    model = MVAE([Modality("a", 3, likelihood="normal", decoder=nn.LazyLinear(3))], latent=1, hidden=())
    fit(model, {"a": x}, epochs=40, batch=100, lr=5e-2)
    own = (nn.functional.softplus(model.raw_scale["a"]) + 0.02) * model.moments("a")[1]
    own = own.detach().numpy()  # from 1, and not yet at the end
    assert own[0] < own[1] < own[2]
    assert (own > noise - 0.03).all()
    assert (own < np.add(noise, [0.2, 0.15, 0.06])).all()


def generator():
    return torch.Generator().manual_seed(3)


def loss_of(model, data, **options):
    with torch.no_grad():
        return model.loss(data, generator=generator(), **options)


def changed(model, **options):
    """The same model with other options."""
    other = type(model)(msgspec.structs.replace(model.config, **options))
    other.load_state_dict(model.state_dict())
    return other.eval()


def test_rescale_multiplies_by_the_largest_dimension_over_the_own(kind):
    target = Modality("y", 1, "target", "logit_normal", 3.0)
    modalities = [msgspec.structs.replace(m, weight=0.5 + i) for i, m in enumerate(one_of_each())]
    model = trained(kind[0], [*modalities, target], **kind[1])
    data = data_of(model)
    plain, rescaled = loss_of(model, data), loss_of(changed(model, rescale=True), data)
    assert plain.nll == rescaled.nll
    difference = sum((5 / m.dim - 1) * m.weight * plain.nll[m.name] for m in modalities)
    torch.testing.assert_close(rescaled.total - plain.total, difference, rtol=1e-4, atol=1e-3)
    expected = sum(m.weight * plain.nll[m.name] for m in model.modalities)
    torch.testing.assert_close(plain.total, plain.kl + expected)


@torch.no_grad()
def latent_kl(model, name, data):
    """KL(q ‖ N(0, I)) of a latent, `[N]`."""
    z = model.posterior(*of_batch(model, data))[name]
    q = Normal(z[0], z[1].rsqrt())
    return kl_divergence(q, Normal(0.0, 1.0)).sum(-1)


def of_batch(model, data):
    batch = model.batch(data)
    return model.flat(batch.x), batch.available


def test_beta_of_a_modality_weights_the_kl_of_its_private_latent():
    model = trained(DMVAE, **KINDS["dmvae"][1])
    data = data_of(model, missing=0)
    modalities = tuple(
        msgspec.structs.replace(m, beta=4.0) if m.name == "predicted" else m for m in model.modalities
    )
    plain, dear = (loss_of(one, data, beta=0.5) for one in (model, changed(model, modalities=modalities)))
    assert plain.kl == dear.kl
    kl = 5 * latent_kl(model, "predicted", data).mean()  # in each of five ELBOs
    torch.testing.assert_close(dear.total - plain.total, 0.5 * 3 * kl, rtol=1e-4, atol=1e-3)


def test_beta_of_a_modality_of_an_mvae_weights_the_kl_of_its_own_elbo():
    model = trained(MVAE, **KINDS["mvae"][1])
    data = data_of(model, missing=0)
    modalities = tuple(
        msgspec.structs.replace(m, beta=4.0) if m.name == "predicted" else m for m in model.modalities
    )
    plain, dear = (loss_of(one, data, beta=0.5) for one in (model, changed(model, modalities=modalities)))
    kl = latent_kl(model, "z", {"predicted": data["predicted"]}).mean()
    torch.testing.assert_close(dear.total - plain.total, 0.5 * 3 * kl, rtol=1e-4, atol=1e-3)


def test_beta_of_a_modality_of_an_mdvae_weights_the_kl_of_its_private_latent():
    model = trained(MDVAE, **KINDS["mdvae"][1])
    data = data_of(model, missing=0)
    modalities = tuple(
        msgspec.structs.replace(m, beta=4.0) if m.name == "predicted" else m for m in model.modalities
    )
    plain, dear = (loss_of(one, data, beta=0.5) for one in (model, changed(model, modalities=modalities)))
    noise = model.noise((N, T), generator())
    with torch.no_grad():
        q = model.inferred(model.encoded(*of_batch(model, data)), noise).latents["predicted"]
    pairs = Normal(q.mean, q.precision.rsqrt()), Normal(q.prior_mean, q.prior_precision.rsqrt())
    kl = kl_divergence(*pairs).sum(-1).mean()
    torch.testing.assert_close(dear.total - plain.total, 0.5 * 3 * kl, rtol=1e-4, atol=1e-3)


def test_all_subsets_are_those_of_the_loss_in_training():
    torch.manual_seed(0)
    model = MVAE(one_of_each(), latent=2, hidden=(8,), subsets="all")
    data = data_of(model)
    histories = [fit(model, data, epochs=3, batch=16)]
    batch = model.batch(data)
    noise = model.noise((15, batch.size), generator())["z"]
    names = [m.name for m in model.modalities]
    subsets = [tuple(n for i, n in enumerate(names) if k >> i & 1) for k in range(1, 16)]
    subsets.sort(key=lambda s: (-len(s), [names.index(n) for n in s]))
    with torch.no_grad():
        expected = model.negative_elbos(model.flat(batch.x), batch.available, subsets, noise)
    assert loss_of(model, data).total == expected.total
    assert len(histories[0]) == 3


# Schedules.


@pytest.mark.parametrize(
    ("annealing", "expected"),
    [
        ("linear", [1 / 4, 2 / 4, 3 / 4, 1, 1, 1, 1, 1]),
        ("cyclical", [0.5, 1] * 4),
        ("constant", [1] * 8),
        (Annealing("cyclical", 2.0, rounds=3, ramp=0.75, cycles=2), [4 / 9, 12 / 9, 2] * 2 + [2, 2]),
        (Annealing("cyclical", 0.5, rounds=4, ramp=1.0), [1 / 16, 3 / 16, 5 / 16, 7 / 16] * 2),
        (Annealing("linear", 0.1, rounds=2), [0.05] + [0.1] * 7),
    ],
)
def test_beta_follows_its_schedule(annealing, expected):
    model = MVAE(vectors(), latent=2, hidden=(4,))
    history = fit(model, data_of(model), epochs=8, annealing=annealing)
    assert [losses["beta"] for losses in history] == pytest.approx(expected)
    without = [l["loss"] - l["beta"] * l["kl"] - l["nll_a"] - l["nll_b"] for l in history]  # noqa: E741
    assert without == pytest.approx([0] * 8, abs=1e-3)


@pytest.mark.parametrize(
    ("dropout", "shares"),
    [
        (0.0, (0.0, 0.9)),
        (0.4, (0.4, 0.9)),
        (1.0, (1.0, 0.9)),
        (Dropout(absent=0.5, bursts=0, frames=0, target=0.2), (0.5, 0.2)),
    ],
)
def test_dropout_is_the_share_of_sequences_without_a_modality(dropout, shares, monkeypatch):
    """Of a target, its own share."""
    model, hidden = made("mdvae"), {"a": [], "b": [], "y": []}
    loss = model.loss

    def kept(data, fed, *arguments):
        for name, seen in fed.items():
            hidden[name].append(~seen.any(1))
        return loss(data, fed, *arguments)

    monkeypatch.setattr(model, "loss", kept)
    fit(model, data_of(model, missing=0), epochs=6, batch=N, dropout=dropout)
    found = {name: torch.cat(rows).float().mean().item() for name, rows in hidden.items()}
    expected = {"a": shares[0], "b": shares[0], "y": shares[1]}
    assert found == pytest.approx(expected, abs=0 if shares[0] in (0, 1) and shares[1] in (0, 1) else 0.09)


def test_segments_are_of_the_given_length(monkeypatch):
    model, lengths = made("mm_vrnn"), []
    loss = model.loss

    def counted(data, *arguments):
        lengths.append(data.available["a"].shape[1])
        return loss(data, *arguments)

    monkeypatch.setattr(model, "loss", counted)
    data = data_of(model)
    fit(model, data, epochs=1, batch=N)
    fit(model, data, epochs=1, batch=N, segment=4)
    assert lengths == [T, 4, 2]


def test_an_epoch_of_arrays_has_every_sample_once(monkeypatch):
    model, seen = MVAE([Modality("a", 1, likelihood="normal")], latent=1, hidden=()), []
    loss = model.loss

    def kept(data, *arguments):
        seen.append(data.x["a"].flatten().tolist())
        return loss(data, *arguments)

    monkeypatch.setattr(model, "loss", kept)
    fit(model, {"a": np.arange(10.0)[:, None]}, epochs=3, batch=4)
    assert [len(batch) for batch in seen] == [4, 4, 2] * 3
    epochs = [[*seen[i], *seen[i + 1], *seen[i + 2]] for i in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_mean_loss_does_not_depend_on_how_the_data_are_divided():
    """A batch that is smaller, or has little in it, does not count as much."""
    model = made("vq_vae")  # whose loss has no random part
    data = data_of(model, count=50)
    data["picture"][:20] = np.nan
    batch, losses = model.checked(data), []
    training = Training(data="arrays", epochs=True)
    for size in (50, 33, 7):
        config = Config(1, "a", "b", 25, model.config, training)
        losses.append(Trainer(config, 0, None, model, Arrays(batch, batch, size)).validate())
    assert losses[1:] == pytest.approx(losses[:1] * 2, rel=1e-5)
    with torch.no_grad():
        assert losses[0] == pytest.approx(model.loss(data).total.item(), rel=1e-5)


def test_an_epoch_of_recordings_has_every_session_once(tmp_path, monkeypatch):
    training = Training(
        data=str(sessions(tmp_path / "sessions")), rounds=2, streams=2, session_seconds=1.0, epochs=True
    )
    trainer = Trainer(Config(1, "a", "b", 5, made("mm_vrnn").config, training), 0, None)
    seen, loss = [], trainer.model.loss

    def kept(data, *arguments):
        seen.append(data.x["a"][:, 0, 0].tolist())
        return loss(data, *arguments)

    monkeypatch.setattr(trainer.model, "loss", kept)
    trainer.run(lambda progress: None)
    assert [len(batch) for batch in seen] == [2, 1, 2, 1]
    first = {float(np.load(p)["a"][0, 0]) for p in (tmp_path / "sessions" / "train").iterdir()}
    assert set(seen[0] + seen[1]) == set(seen[2] + seen[3]) == first


# Precision.


def test_float64_from_data_to_results(name, tmp_path):
    model = made(name)
    data = {k: v.astype(np.float64) for k, v in data_of(model).items()}
    for m in model.modalities:
        if m.likelihood in ("normal", "laplace"):
            data[m.name] += 1e9  # beside which float32 has no digits for the differences
    fit(model, data, epochs=2, batch=16, precision="float64", folder=tmp_path / "run")
    loaded = load(tmp_path / "run")
    for one in (model, loaded):
        tensors = [v for v in one.state_dict().values() if v.is_floating_point()]
        assert {v.dtype for v in tensors} == {torch.float64}
    assert same(model, loaded)
    for m in model.modalities:
        if m.likelihood in ("normal", "laplace"):
            spread = np.nanstd(data[m.name].reshape(-1, m.dim) - 1e9, 0, ddof=1)
            np.testing.assert_allclose(model.moments(m.name)[1], spread, rtol=1e-4)
    nats = log_likelihood(loaded, data)
    assert nats.dtype == torch.float64
    assert torch.isfinite(nats).all()
    assert torch.equal(nats, log_likelihood(model, data))
    assert all(v.dtype == torch.float64 for v in model.decode(model.encode(data)).values())
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert all(math.isfinite(msgspec.json.decode(line)["loss"]) for line in lines)


def test_float64_resumes(tmp_path, name):
    whole = made(name)
    data = data_of(whole)
    options = {"epochs": 3, "batch": 16, "precision": "float64"}
    fit(whole, data, **options)
    with pytest.raises(Killed):
        fit(made(name), data, **options, folder=tmp_path / "run", progress=kill_after(2))
    model = made(name)
    fit(model, data, **options, folder=tmp_path / "run")
    assert same(model, whole)


def test_bfloat16_trains(name, tmp_path):
    model, exact = made(name), made(name)
    data = data_of(model)
    options = {"epochs": 6, "batch": 16, "lr": 1e-2}
    history = fit(model, data, **options, precision="bfloat16", folder=tmp_path / "run")
    assert all(v.dtype != torch.bfloat16 for v in model.state_dict().values())
    assert all(losses["skipped"] == 0 for losses in history)
    expected = fit(exact, data, **options)
    assert history != expected
    assert history[-1]["loss"] == pytest.approx(expected[-1]["loss"], rel=0.1, abs=2)
    assert same(load(tmp_path / "run"), model)
    config, _ = load_run(tmp_path / "run")
    assert config.training.precision == "bfloat16"


def test_a_filter_is_fitted_to_its_smoother(tmp_path):
    smoother = made("mdvae")
    data = data_of(smoother)
    fit(smoother, data, epochs=2, batch=16)
    for precision in ("float32", "bfloat16", "float64"):
        torch.manual_seed(0)
        model = ForwardFilter(smoother, hidden=8)
        before = {k: v.clone() for k, v in model.smoother.state_dict().items()}
        history = fit(
            model, data, epochs=8, batch=16, lr=1e-2, precision=precision, folder=tmp_path / precision
        )
        assert history[-1]["loss"] < history[0]["loss"]
        assert all(torch.equal(v.float(), before[k]) for k, v in model.smoother.state_dict().items())
        assert same(load(tmp_path / precision), model)


# What cannot be is one line.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs: expected a whole number, at least 1, found 0"),
        ({"epochs": -3}, "epochs"),
        ({"batch": 0}, "batch"),
        ({"lr": 0.0}, "learning_rate"),
        ({"lr": math.nan}, "learning_rate"),
        ({"warmup": -1}, "warmup"),
        ({"clip": 0.0}, "clip"),
        ({"annealing": "steps"}, "annealing is one of linear, cyclical, constant, not steps"),
        ({"dropout": 1.5}, "absent"),
        ({"dropout": -0.1}, "absent"),
        ({"patience": 0, "validation": True}, "patience"),
        ({"patience": 3}, "patience needs validation data"),
        ({"segment": -1}, "segment"),
        ({"rate": 0}, "rate"),
        ({"device": "tpu"}, "device"),
        ({"precision": "float16"}, "precision"),
    ],
)
def test_an_option_that_cannot_be_is_one_line(options, message, tmp_path):
    model = made("mm_vrnn")
    data = data_of(model)
    if options.get("validation"):
        options = options | {"validation": data}
    with pytest.raises(UserError, match=message) as error:
        fit(model, data, folder=tmp_path / "run", **options)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("dropout", [0.5, Dropout()])
def test_dropout_is_an_error_where_it_would_have_no_effect(dropout):
    model = made("mvae")
    with pytest.raises(UserError, match="dropout is for models of sequences"):
        fit(model, data_of(model), dropout=dropout)


def test_a_loss_that_is_not_finite_ends_in_one_line(tmp_path):
    model = made("mvae")
    with torch.no_grad():
        model.decoder["a"][0].bias.fill_(math.inf)
    with pytest.raises(UserError, match="round 1: the loss is not finite"):
        fit(model, data_of(model), epochs=1, folder=tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("name", ["mvae", "mdvae"])
def test_a_model_in_float64_stays_so_and_is_loaded_so(name, tmp_path):
    model = made(name).double()
    data = {k: v.astype(np.float64) for k, v in data_of(model).items()}
    fit(model, data, epochs=1, folder=tmp_path / "run")
    again = load(tmp_path / "run")
    assert next(again.parameters()).dtype == torch.float64
    assert same(model, again)
    with pytest.raises(UserError, match=r"its weights are torch\.float64"):
        fit(made(name).double(), data, epochs=1, precision="bfloat16")
    with pytest.raises(UserError, match=r"its weights are torch\.float16"):
        fit(made(name).half(), data, epochs=1)
