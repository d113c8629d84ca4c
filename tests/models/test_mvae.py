import math

import msgspec
import pytest
import torch

from enrapt.models.experts import log_normal
from enrapt.models.importance import log_weights
from enrapt.models.modality import Modality
from enrapt.models.mvae import MVAE, MVAEConfig
from enrapt.models.subsets import training_subsets

B, Z = 6, 4
NAMES = ("a", "b", "c")
MODALITIES = (
    Modality("a", 5, likelihood="normal"),
    Modality("b", 3, likelihood="bernoulli"),
    Modality("c", 4, likelihood="categorical", weight=5.0),
)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MVAE(MVAEConfig(MODALITIES, hidden=(8,), latent=Z))


def values():
    g = torch.Generator().manual_seed(1)
    x = {
        "a": torch.randn(B, 5, generator=g),
        "b": (torch.rand(B, 3, generator=g) < 0.5).float(),
        "c": torch.eye(4)[torch.randint(4, (B,), generator=g)],
    }
    return x, {name: torch.rand(B, generator=g) < 0.6 for name in x}


def noise(subsets):
    return torch.randn(len(subsets), B, Z, generator=torch.Generator().manual_seed(2))


SUBSETS = [NAMES, ("a",), ("b",), ("c",), ("a", "c")]


def loss_and_gradients(model, x, mask):
    model.zero_grad()
    losses = model.negative_elbos(x, mask, SUBSETS, noise(SUBSETS), 0.7)
    losses.total.backward()
    return losses, [p.grad.clone() for p in model.parameters() if p.grad is not None]


@torch.no_grad()
def test_with_nothing_present_the_posterior_is_the_prior(model):
    x, mask = values()
    nothing = {name: torch.zeros_like(seen) for name, seen in mask.items()}
    mean, precision = model.posterior(x, nothing)["z"]
    assert torch.equal(mean, torch.zeros(B, Z))
    assert torch.equal(precision, torch.ones(B, Z))


@torch.no_grad()
def test_every_expert_sharpens_the_product_and_it_is_the_closed_form(model):
    x, mask = values()
    _, means, precisions, present = model.experts(x, mask)
    mean, precision = model.posterior(x, mask)["z"]
    weights = precisions * present.unsqueeze(-1)
    torch.testing.assert_close(precision, 1 + weights.sum(1))
    torch.testing.assert_close(mean, (weights * means).sum(1) / (1 + weights.sum(1)))


@torch.no_grad()
def test_a_modality_left_out_is_one_masked_throughout(model):
    x, mask = values()
    whole = model.posterior(x, mask | {"b": torch.zeros(B, dtype=torch.bool)})["z"]
    del x["b"], mask["b"]
    for one, other in zip(whole, model.posterior(x, mask)["z"], strict=True):
        torch.testing.assert_close(one, other)


def test_nan_under_the_mask_changes_nothing_gradients_included(model):
    x, mask = values()
    spoilt = {name: torch.where(mask[name].unsqueeze(-1), v, torch.nan) for name, v in x.items()}
    losses, gradients = loss_and_gradients(model, x, mask)
    again, same = loss_and_gradients(model, spoilt, mask)
    assert torch.equal(losses.total, again.total)
    assert all(torch.equal(g, s) for g, s in zip(gradients, same, strict=True))
    assert all(torch.isfinite(g).all() for g in gradients)


def test_the_loss_does_not_depend_on_batch_size_nor_on_the_order_of_the_dictionary(model):
    x, mask = values()
    losses, _ = loss_and_gradients(model, x, mask)
    twice = {name: torch.cat([v, v]) for name, v in x.items()}
    masks = {name: torch.cat([v, v]) for name, v in mask.items()}
    draws = torch.cat([noise(SUBSETS)] * 2, 1)
    torch.testing.assert_close(model.negative_elbos(twice, masks, SUBSETS, draws, 0.7).total, losses.total)
    backwards, _ = loss_and_gradients(model, dict(reversed(x.items())), mask)
    assert torch.equal(backwards.total, losses.total)


@torch.no_grad()
def test_the_loss_is_the_sum_of_the_subsets_elbos_weighted(model):
    x, mask = values()
    draws = noise(SUBSETS)
    losses = model.negative_elbos(x, mask, SUBSETS, draws, 0.7)
    each = [model.negative_elbos(x, mask, [s], draws[[i]], 0.7) for i, s in enumerate(SUBSETS)]
    torch.testing.assert_close(losses.total, sum(one.total for one in each))
    expected = 0.7 * losses.kl + losses.nll["a"] + losses.nll["b"] + 5 * losses.nll["c"]
    torch.testing.assert_close(losses.total, expected)


@torch.no_grad()
@pytest.mark.parametrize("subsets", [2, "all"])
def test_the_loss_is_that_of_drawn_subsets_or_of_all_with_drawn_noise(subsets):
    model = MVAE(MODALITIES, hidden=(8,), latent=Z, subsets=subsets)
    x, mask = values()
    data = {k: torch.where(mask[k].unsqueeze(-1), v, torch.nan) for k, v in x.items()}
    found = model.loss(data, beta=0.7, generator=torch.Generator().manual_seed(3))
    again = torch.Generator().manual_seed(3)
    if subsets == "all":
        chosen = [NAMES, ("a", "b"), ("a", "c"), ("b", "c"), ("a",), ("b",), ("c",)]
    else:
        chosen = training_subsets(NAMES, subsets, again)
        assert len(chosen) == 6
    draws = model.noise((len(chosen), B), again)["z"]
    assert torch.equal(found.total, model.negative_elbos(x, mask, chosen, draws, 0.7).total)


@torch.no_grad()
def test_an_elbo_reconstructs_its_subset_only(model):
    x, mask = values()
    losses = model.negative_elbos(x, mask, [("a",)], noise([0]))
    assert losses.nll["a"] > 0
    assert losses.nll["b"] == losses.nll["c"] == 0


@torch.no_grad()
def test_cross_weights_modalities_outside_the_subset(model):
    """c is reconstructed from a where both are present."""
    x, mask = values()
    draws = noise([0])
    crossed = MVAE(MVAEConfig(MODALITIES, hidden=(8,), latent=Z, cross=0.1))
    crossed.load_state_dict(model.state_dict())
    own, both = (
        model.negative_elbos(x, mask, [("a",)], draws),
        crossed.negative_elbos(x, mask, [("a",)], draws),
    )
    mean, precision = model.posterior({"a": x["a"]}, {"a": mask["a"]})["z"]
    present = mask["a"] & mask["c"]
    nats = model.cost("c", x["c"], present, {"z": mean + draws[0] * precision.rsqrt()})
    counted = torch.stack([*mask.values()]).any(0)
    torch.testing.assert_close(both.nll["c"], 0.1 * nats[present].sum() / counted.sum())
    assert both.nll["a"] == own.nll["a"]
    assert both.kl == own.kl


@torch.no_grad()
def test_free_nats_are_the_minimum_kl_of_a_dimension():
    x, mask = values()
    free = MVAE(MVAEConfig(MODALITIES, hidden=(8,), latent=Z, free_nats=50.0))
    assert free.negative_elbos(x, mask, [NAMES], noise([0])).kl == 50 * Z


@torch.no_grad()
def test_the_loss_is_the_mean_over_minibatches_however_rare_a_modality_is(model):
    x, mask = values()
    mask = {
        "a": torch.ones(B, dtype=torch.bool),
        "b": torch.ones(B, dtype=torch.bool),
        "c": torch.arange(B) == 1,
    }
    subsets, draws = SUBSETS, noise(SUBSETS)  # also c alone, which one sample has
    whole = model.negative_elbos(x, mask, subsets, draws)
    parts = [
        model.negative_elbos(
            {k: v[i] for k, v in x.items()}, {k: v[i] for k, v in mask.items()}, subsets, draws[:, i]
        )
        for i in torch.arange(B).split(2)
    ]
    torch.testing.assert_close(torch.stack([part.total for part in parts]).mean(), whole.total)
    torch.testing.assert_close(torch.stack([part.kl for part in parts]).mean(), whole.kl)
    again = MVAE(msgspec.structs.replace(model.config, reweight=True))
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again.negative_elbos(x, mask, subsets, draws).nll["c"], B * whole.nll["c"])


@torch.no_grad()
def test_what_few_samples_have_counts_as_much_in_their_batch_alone(model):
    """The ELBO of c alone, of one sample in six; free nats and KL count like the rest."""
    x, mask = values()
    mask = {name: torch.ones(B, dtype=torch.bool) for name in NAMES} | {"c": torch.arange(B) == 1}
    draws = noise([("c",)])
    for free_nats in (0.0, 50.0):
        alone = MVAE(msgspec.structs.replace(model.config, free_nats=free_nats))
        alone.load_state_dict(model.state_dict())
        whole = alone.negative_elbos(x, mask, [("c",)], draws)
        own = alone.negative_elbos(
            {k: v[1:2] for k, v in x.items()}, {k: v[1:2] for k, v in mask.items()}, [("c",)], draws[:, 1:2]
        )
        torch.testing.assert_close(B * whole.total, own.total)
        torch.testing.assert_close(B * whole.kl, own.kl)


def log_joint(model, x, mask, draws):
    """log p(x, z) of draws of z from the posterior, and z."""
    inferred = model.drawn(model.encoded(x, mask), {"z": draws})
    mean, precision, _, _, z = inferred.latents["z"]
    return log_weights(model, x, mask, inferred) + log_normal(z, mean, precision), z


@torch.no_grad()
def test_the_log_joint_is_of_raw_values(model):
    """In a unit a tenth as large, values are ten times as far apart and their density is a tenth."""
    x, mask = values()
    draws = torch.randn(2, B, Z)
    one, z = log_joint(model, x, mask, draws)
    center, scale = model.moments("a")
    model.normalise("a", 10 * center, 10 * scale)
    other, again = log_joint(model, x | {"a": 10 * x["a"]}, mask, draws)
    torch.testing.assert_close(again, z)
    torch.testing.assert_close(other, one - 5 * math.log(10) * mask["a"])


@torch.no_grad()
def test_the_log_joint_is_the_librarys(model):
    x, mask = values()
    x, mask = {k: x[k] for k in ("b", "c")}, {k: mask[k] for k in ("b", "c")}
    joint, z = log_joint(model, x, mask, torch.randn(2, B, Z))
    normal = torch.distributions.Normal(0, 1)
    expected = normal.log_prob(z).sum(-1)
    b = torch.distributions.Bernoulli(logits=model.decoder["b"](z)).log_prob(x["b"]).sum(-1)
    c = torch.distributions.OneHotCategorical(logits=model.decoder["c"](z)).log_prob(x["c"])
    torch.testing.assert_close(joint, expected + b * mask["b"] + c * mask["c"])


@torch.no_grad()
def test_everything_is_generated_from_any_latent(model):
    generated = model.decode({"z": torch.randn(2, B, Z)})
    assert {name: tuple(v.shape) for name, v in generated.items()} == {
        "a": (2, B, 5),
        "b": (2, B, 3),
        "c": (2, B, 4),
    }
    torch.testing.assert_close(generated["c"].sum(-1), torch.ones(2, B))
    assert ((generated["b"] > 0) & (generated["b"] < 1)).all()


def test_it_learns_one_modality_from_another():
    """b is the sign of a's first number: after training, it is predicted from a alone."""
    torch.manual_seed(0)
    model = MVAE(
        MVAEConfig((Modality("a", 2), Modality("b", 1, likelihood="bernoulli")), hidden=(16,), latent=2)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    a = torch.sign(torch.randn(256, 2)) + 0.1 * torch.randn(256, 2)
    x = {"a": a, "b": (a[:, :1] > 0).float()}
    mask = dict.fromkeys(x, torch.ones(256, dtype=torch.bool))
    for _ in range(200):
        losses = model.negative_elbos(x, mask, [("a", "b"), ("a",), ("b",)], torch.randn(3, 256, 2))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    with torch.no_grad():
        right = (model.decode(model.encode({"a": a}))["b"] > 0.5) == (x["b"] > 0.5)
    assert right.float().mean() > 0.95


@pytest.mark.parametrize("rate", [1e-4, 1e-3, 1e-2])
def test_parameters_stay_finite(rate):
    """17 action units, a Bernoulli role and a value between 0 and 1, seven subsets per step, extreme
    inputs."""
    torch.manual_seed(0)
    units = Modality("units", 17, likelihood="normal")
    role, level = Modality("role", 1, likelihood="bernoulli"), Modality("level", 1, likelihood="bernoulli")
    model = MVAE(MVAEConfig((units, role, level), hidden=(32,), latent=8))
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        x = {
            "units": torch.randn(32, 17) * 10 ** torch.empty(32, 1).uniform_(-3, 3),
            "role": torch.randint(2, (32, 1)).float(),
            "level": torch.rand(32, 1),
        }
        mask = {name: torch.rand(32) < 0.7 for name in x}
        subsets = training_subsets(tuple(x), 3, generator)
        losses = model.negative_elbos(x, mask, subsets, torch.randn(len(subsets), 32, 8))
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_subsets_are_all_each_alone_and_k_others():
    names = ("a", "b", "c", "d")
    subsets = training_subsets(names, 50, torch.Generator().manual_seed(0))
    assert subsets[:5] == [names, ("a",), ("b",), ("c",), ("d",)]
    assert {len(s) for s in subsets[5:]} == {2, 3}
    assert all(s == tuple(n for n in names if n in s) for s in subsets)
    assert training_subsets(("a", "b"), 3) == [("a", "b"), ("a",), ("b",)]
    assert training_subsets(("a",), 3) == [("a",)]


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"modalities": ()}, "modalities"),
        ({"modalities": MODALITIES[:1] * 2}, "different names"),
        ({"latent": 0}, "latent"),
        ({"hidden": (0,)}, "hidden"),
        ({"cross": -0.1}, "cross"),
        ({"free_nats": -1.0}, "free_nats"),
    ],
)
def test_an_invalid_configuration_names_the_key(keys, named):
    with pytest.raises(ValueError, match=named):
        MVAEConfig(**({"modalities": MODALITIES} | keys))
