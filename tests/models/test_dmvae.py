import math

import msgspec
import pytest
import torch

from enrapt.models.dmvae import DMVAE, DMVAEConfig
from enrapt.models.experts import log_normal
from enrapt.models.importance import log_weights
from enrapt.models.modality import Modality

B, S = 6, 3
MODALITIES = (
    Modality("a", 5, likelihood="normal", private=2),
    Modality("b", 3, likelihood="bernoulli", weight=2.0),
    Modality("c", 4, likelihood="categorical", private=0),
)
SIZES = {"shared": S, "a": 2, "b": 1}
OPTIONS = {"private": 1, "shared": S, "hidden": (8,)}
NAMES = ("a", "b", "c")
SOURCES = [NAMES, ("a",), ("b",), ("c",)]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return DMVAE(DMVAEConfig(MODALITIES, **OPTIONS))


def values():
    g = torch.Generator().manual_seed(1)
    x = {
        "a": torch.randn(B, 5, generator=g),
        "b": (torch.rand(B, 3, generator=g) < 0.5).float(),
        "c": torch.eye(4)[torch.randint(4, (B,), generator=g)],
    }
    return x, {name: torch.rand(B, generator=g) < 0.6 for name in x}


def noise():
    g = torch.Generator().manual_seed(2)
    return {name: torch.randn(4, B, size, generator=g) for name, size in SIZES.items()}


def of_rows(values, rows):
    return {name: v[rows] for name, v in values.items()}


def elbos(model, x, mask, draws=None, beta=1.0):
    """All of the loss, with the noise of this file."""
    sources = model.sources(tuple(name for name in NAMES if name in x))
    draws = {name: v[: len(sources)] for name, v in (draws or noise()).items()}
    return model.negative_elbos(x, mask, sources, draws, beta)


def joint_and_z(model, x, mask, draws):
    """log p(x, z) of draws of z from the posterior, and z."""
    inferred = model.drawn(model.encoded(x, mask), draws)
    total = log_weights(model, x, mask, inferred)
    for mean, precision, _, _, z in inferred.latents.values():
        total = total + log_normal(z, mean, precision)
    return total, inferred.z


def loss_and_gradients(model, x, mask):
    model.zero_grad()
    losses = elbos(model, x, mask, beta=0.7)
    losses.total.backward()
    return losses, [p.grad.clone() for p in model.parameters() if p.grad is not None]


@torch.no_grad()
def test_with_nothing_present_the_posterior_is_the_prior(model):
    x, mask = values()
    posterior = model.posterior(x, {name: torch.zeros_like(seen) for name, seen in mask.items()})
    assert {name: mean.shape[-1] for name, (mean, _) in posterior.items()} == SIZES == model.sizes
    for name, (mean, precision) in posterior.items():
        assert torch.equal(mean, torch.zeros(B, SIZES[name]))
        assert torch.equal(precision, torch.ones(B, SIZES[name]))


@torch.no_grad()
def test_the_shared_latent_is_a_product_and_the_private_ones_are_their_own(model):
    x, mask = values()
    posterior = model.posterior(x, mask)
    experts = model.experts(x, mask)
    weights = [lam[:, :S] * mask[name].unsqueeze(-1) for name, (_, lam) in experts.items()]
    alone = torch.stack(list(mask.values())).sum(0) == 1
    assert 0 < alone.sum() < B
    total = (~alone).float().unsqueeze(-1) + sum(weights)
    torch.testing.assert_close(posterior["shared"][1], total)
    weighted = sum(w * mu[:, :S] for w, (mu, _) in zip(weights, experts.values(), strict=True))
    torch.testing.assert_close(posterior["shared"][0], weighted / total)
    for name in ("a", "b"):
        seen, (mean, precision) = mask[name], posterior[name]
        assert torch.equal(mean[seen], experts[name][0][seen, S:])
        assert torch.equal(precision[seen], experts[name][1][seen, S:])
        assert torch.equal(mean[~seen], torch.zeros_like(mean[~seen]))
        assert torch.equal(precision[~seen], torch.ones_like(mean[~seen]))


@torch.no_grad()
def test_one_modality_alone_is_its_own_posterior_or_a_product_with_the_prior(model):
    x, _ = values()
    seen = torch.ones(B, dtype=torch.bool)
    ((own, lam),) = model.experts({"a": x["a"]}, {"a": seen}).values()
    alone = model.posterior({"a": x["a"]}, {"a": seen})["shared"]
    torch.testing.assert_close(alone, (own[:, :S], lam[:, :S]))
    config = DMVAEConfig(MODALITIES, **OPTIONS, prior_expert="always")
    other = DMVAE(config)
    other.load_state_dict(model.state_dict())
    mean, precision = other.posterior({"a": x["a"]}, {"a": seen})["shared"]
    torch.testing.assert_close(precision, 1 + lam[:, :S])
    torch.testing.assert_close(mean, own[:, :S] * lam[:, :S] / (1 + lam[:, :S]))


@torch.no_grad()
def test_the_loss_is_the_mean_over_minibatches_however_rare_a_modality_is(model):
    x, mask = values()
    mask = {name: torch.ones(B, dtype=torch.bool) for name in NAMES} | {"c": torch.arange(B) == 1}
    whole = elbos(model, x, mask)
    parts = [
        elbos(model, of_rows(x, i), of_rows(mask, i), {k: v[:, i] for k, v in noise().items()})
        for i in torch.arange(B).split(2)
    ]
    torch.testing.assert_close(torch.stack([part.total for part in parts]).mean(), whole.total)


@torch.no_grad()
def test_a_rare_modality_counts_little_unless_reweighted(model):
    x, mask = values()
    mask = {"a": torch.ones(B, dtype=torch.bool), "c": torch.arange(B) == 1}
    x = {name: x[name] for name in mask}
    draws = {name: draw[:1] for name, draw in noise().items()}
    rare = model.negative_elbos(x, mask, [("a", "c")], draws)
    again = DMVAE(msgspec.structs.replace(model.config, reweight=True))
    again.load_state_dict(model.state_dict())
    reweighted = again.negative_elbos(x, mask, [("a", "c")], draws)
    torch.testing.assert_close(reweighted.nll["c"], B * rare.nll["c"])


@torch.no_grad()
def test_the_joint_density_is_of_raw_values(model):
    """In a unit a tenth as large, values are ten times as far apart and their density is a tenth."""
    x, mask = values()
    draws = model.noise((B,), torch.Generator().manual_seed(3), samples=2)
    one, z = joint_and_z(model, x, mask, draws)
    center, scale = model.moments("a")
    model.normalise("a", 10 * center, 10 * scale)
    other, again = joint_and_z(model, x | {"a": 10 * x["a"]}, mask, draws)
    torch.testing.assert_close(again, z)
    torch.testing.assert_close(other, one - 5 * math.log(10) * mask["a"])


@torch.no_grad()
def test_cross_elbos_take_the_shared_latent_from_the_source_only(model):
    x, mask = values()
    mask = {name: torch.ones_like(seen) for name, seen in mask.items()}
    experts = model.experts(x, mask)
    joint = model.shared_posterior(experts, mask, NAMES)
    across = model.shared_posterior(experts, mask, ("c",))
    alone = model.posterior({"c": x["c"]}, {"c": mask["c"]})["shared"]
    torch.testing.assert_close(across, alone)
    assert not torch.equal(across[0], joint[0])
    whole = model.posterior(x, mask)
    torch.testing.assert_close(joint, whole["shared"])
    # With z_s from c, each modality is decoded with its own private latent.
    draws = {name: draw[:1] for name, draw in noise().items()}
    losses = model.negative_elbos(x, mask, [("c",)], draws)
    private = {k: mean + draws[k][0] * lam.rsqrt() for k, (mean, lam) in whole.items() if k != "shared"}
    z = private | {"shared": across[0] + draws["shared"][0] * across[1].rsqrt()}
    for name in NAMES:
        torch.testing.assert_close(losses.nll[name], model.cost(name, x[name], mask[name], z).mean())


@torch.no_grad()
def test_a_private_latent_affects_its_own_modality_only(model):
    z = model.noise((B,), None)
    before = model.decode(z)
    after = model.decode(z | {"a": z["a"] + 1})
    assert not torch.equal(before["a"], after["a"])
    assert torch.equal(before["b"], after["b"])
    assert torch.equal(before["c"], after["c"])


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
    doubled = elbos(model, twice, masks, {k: torch.cat([v, v], 1) for k, v in noise().items()}, 0.7)
    torch.testing.assert_close(doubled.total, losses.total)
    backwards, _ = loss_and_gradients(model, dict(reversed(x.items())), mask)
    assert torch.equal(backwards.total, losses.total)


@torch.no_grad()
def test_a_modality_left_out_is_one_masked_throughout(model):
    x, mask = values()
    mask["b"] = torch.zeros(B, dtype=torch.bool)
    whole = elbos(model, x, mask)
    assert whole.nll["b"] == 0
    del x["b"], mask["b"]
    draws = {k: v[[0, 1, 3]] for k, v in noise().items()}  # b's own ELBO is left out as well
    torch.testing.assert_close(elbos(model, x, mask, draws).total, whole.total)


@torch.no_grad()
def test_the_loss_is_the_sum_of_joint_and_cross_elbos_when_all_is_present(model):
    x, mask = values()
    mask = {name: torch.ones_like(seen) for name, seen in mask.items()}
    expected = torch.zeros(())
    standard = torch.distributions.Normal(0, 1)
    assert model.sources(tuple(x)) == SOURCES
    experts = model.experts(x, mask)
    for e, source in enumerate(SOURCES):
        posterior = model.private_posteriors(experts, mask)
        posterior["shared"] = model.shared_posterior(experts, mask, source)
        z = {}
        for name, (mean, precision) in posterior.items():
            q = torch.distributions.Normal(mean, precision.rsqrt())
            expected += 0.7 * torch.distributions.kl_divergence(q, standard).sum(-1).mean()
            z[name] = mean + noise()[name][e] * precision.rsqrt()
        for m in MODALITIES:
            expected += m.weight * model.cost(m.name, x[m.name], mask[m.name], z).mean()
    torch.testing.assert_close(elbos(model, x, mask, beta=0.7).total, expected)


@torch.no_grad()
def test_gamma_weights_private_nats(model):
    x, mask = values()
    mask = {name: torch.ones_like(seen) for name, seen in mask.items()}
    private = torch.zeros(())
    for _ in SOURCES:
        for mean, precision in model.private_posteriors(model.experts(x, mask), mask).values():
            q = torch.distributions.Normal(mean, precision.rsqrt())
            private += torch.distributions.kl_divergence(q, torch.distributions.Normal(0, 1)).sum(-1).mean()
    plain = elbos(model, x, mask)
    model.gamma = 3.0
    dear = elbos(model, x, mask)
    torch.testing.assert_close(dear.total, plain.total + 2 * private)
    assert dear.kl == plain.kl


@torch.no_grad()
def test_missing_values_do_not_change_the_joint_density(model):
    """With only b present, log p(z, x) differs from log N(z; 0, I) by log p(b | z) alone."""
    x, _ = values()
    seen = {"b": torch.ones(B, dtype=torch.bool)}
    found, z = joint_and_z(model, {"b": x["b"]}, seen, model.noise((B,), None, samples=2))
    density = sum(torch.distributions.Normal(0, 1).log_prob(part).sum(-1) for part in z.values())
    logits = model.outputs("b", z)
    b = torch.distributions.Bernoulli(logits=logits).log_prob(x["b"]).sum(-1)
    torch.testing.assert_close(found, density + b)


@torch.no_grad()
def test_a_swap_takes_the_shared_latent_of_one_and_the_private_ones_of_the_other(model):
    one, other = (model.latents(model.noise((B,), None)) for _ in range(2))
    z = other.swap("shared", one)
    assert torch.equal(z.shared, one.shared)
    assert set(z.private) == {"a", "b"}
    for name in z.private:
        assert torch.equal(z.private[name], other[name])


@torch.no_grad()
def test_the_loss_is_that_of_all_its_sources_with_drawn_noise(model):
    x, mask = values()
    data = {k: torch.where(mask[k].unsqueeze(-1), v, torch.nan) for k, v in x.items()}
    found = model.loss(data, beta=0.7, generator=torch.Generator().manual_seed(4))
    draws = model.noise((4, B), torch.Generator().manual_seed(4))
    assert torch.equal(found.total, elbos(model, x, mask, draws, 0.7).total)


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"modalities": ()}, "modalities"),
        ({"modalities": MODALITIES[:1] * 3}, "different names"),
        ({"private": (1, 1, 0)}, "private"),
        ({"private": -1}, "private"),
        ({"shared": 0}, "shared"),
    ],
)
def test_an_invalid_configuration_names_the_key(keys, named):
    with pytest.raises(ValueError, match=named):
        DMVAEConfig(**({"modalities": MODALITIES} | OPTIONS | keys))


def test_a_size_of_a_private_latent_that_is_none_names_the_key():
    with pytest.raises(ValueError, match="private"):
        Modality("a", 5, private=-1)
