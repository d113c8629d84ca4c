import math

import msgspec
import pytest
import torch

from enrapt.models.dmvae import DMVAE, DMVAEConfig
from enrapt.models.modality import Modality

B, S = 6, 3
MODALITIES = (
    Modality("a", 5, likelihood="normal"),
    Modality("b", 3, likelihood="bernoulli", weight=2.0),
    Modality("c", 4, likelihood="categorical"),
)
A, B_, C = slice(S, S + 2), slice(S + 2, S + 3), slice(S + 3, S + 3)  # where the private latents lie in z
Z = S + 3


@pytest.fixture
def model():
    torch.manual_seed(0)
    return DMVAE(DMVAEConfig(MODALITIES, private=(2, 1, 0), shared=S, hidden=(8,)))


def values():
    g = torch.Generator().manual_seed(1)
    x = {
        "a": torch.randn(B, 5, generator=g),
        "b": (torch.rand(B, 3, generator=g) < 0.5).float(),
        "c": torch.eye(4)[torch.randint(4, (B,), generator=g)],
    }
    return x, {name: torch.rand(B, generator=g) < 0.6 for name in x}


def noise():
    return torch.randn(4, B, Z, generator=torch.Generator().manual_seed(2))


def loss_and_gradients(model, x, mask):
    model.zero_grad()
    losses = model.loss(x, mask, noise(), 0.7)
    losses.total.backward()
    return losses, [p.grad.clone() for p in model.parameters() if p.grad is not None]


@torch.no_grad()
def test_with_nothing_present_the_posterior_is_the_prior(model):
    x, mask = values()
    mean, precision = model.posterior(x, {name: torch.zeros_like(seen) for name, seen in mask.items()})
    assert torch.equal(mean, torch.zeros(B, Z))
    assert torch.equal(precision, torch.ones(B, Z))


@torch.no_grad()
def test_the_shared_latent_is_a_product_and_the_private_ones_are_their_own(model):
    x, mask = values()
    mean, precision = model.posterior(x, mask)
    experts = model.experts(x, mask)
    weights = [lam[:, :S] * mask[name].unsqueeze(-1) for name, (_, lam) in experts.items()]
    alone = torch.stack(list(mask.values())).sum(0) == 1
    assert 0 < alone.sum() < B
    total = (~alone).float().unsqueeze(-1) + sum(weights)
    torch.testing.assert_close(precision[:, :S], total)
    weighted = sum(w * mu[:, :S] for w, (mu, _) in zip(weights, experts.values(), strict=True))
    torch.testing.assert_close(mean[:, :S], weighted / total)
    for name, part in (("a", A), ("b", B_)):
        seen = mask[name]
        assert torch.equal(mean[seen, part], experts[name][0][seen, S:])
        assert torch.equal(mean[~seen, part], torch.zeros_like(mean[~seen, part]))
        assert torch.equal(precision[~seen, part], torch.ones_like(mean[~seen, part]))


@torch.no_grad()
def test_one_modality_alone_is_its_own_posterior_or_a_product_with_the_prior(model):
    x, _ = values()
    seen = torch.ones(B, dtype=torch.bool)
    ((own, lam),) = model.experts({"a": x["a"]}, {"a": seen}).values()
    mean, precision = model.posterior({"a": x["a"]}, {"a": seen})
    torch.testing.assert_close((mean[:, :S], precision[:, :S]), (own[:, :S], lam[:, :S]))
    config = DMVAEConfig(MODALITIES, private=(2, 1, 0), shared=S, hidden=(8,), prior_expert="always")
    other = DMVAE(config)
    other.load_state_dict(model.state_dict())
    mean, precision = other.posterior({"a": x["a"]}, {"a": seen})
    torch.testing.assert_close(precision[:, :S], 1 + lam[:, :S])
    torch.testing.assert_close(mean[:, :S], own[:, :S] * lam[:, :S] / (1 + lam[:, :S]))


@torch.no_grad()
def test_the_loss_is_the_mean_over_minibatches_where_all_have_the_sources(model):
    x, mask = values()
    mask = {"a": torch.ones(B, dtype=torch.bool), "b": torch.ones(B, dtype=torch.bool)}
    x = {name: x[name] for name in mask}
    whole = model.loss(x, mask, noise())
    parts = [
        model.loss({k: v[i] for k, v in x.items()}, {k: v[i] for k, v in mask.items()}, noise()[:, i])
        for i in torch.arange(B).split(2)
    ]
    torch.testing.assert_close(torch.stack([part.total for part in parts]).mean(), whole.total)


@torch.no_grad()
def test_a_rare_modality_counts_little_unless_reweighted(model):
    x, mask = values()
    mask = {"a": torch.ones(B, dtype=torch.bool), "c": torch.arange(B) == 1}
    x = {name: x[name] for name in mask}
    (joint,) = model.sources[:1]
    model.sources = (joint,)
    rare = model.loss(x, mask, noise()[:1])
    again = DMVAE(msgspec.structs.replace(model.config, reweight=True))
    again.load_state_dict(model.state_dict())
    again.sources = (joint,)
    torch.testing.assert_close(again.loss(x, mask, noise()[:1]).nll["c"], B * rare.nll["c"])


@torch.no_grad()
def test_the_joint_density_is_of_raw_values(model):
    """In a unit a tenth as large, values are ten times as far apart and their density is a tenth."""
    x, mask = values()
    z = torch.randn(2, B, Z)
    one = model.log_joint(x, mask, z)
    center, scale = model.moments("a")
    model.normalise("a", 10 * center, 10 * scale)
    other = model.log_joint(x | {"a": 10 * x["a"]}, mask, z)
    torch.testing.assert_close(other, one - 5 * math.log(10) * mask["a"])


@torch.no_grad()
def test_cross_elbos_take_the_shared_latent_from_the_source_only(model):
    x, mask = values()
    mask = {name: torch.ones_like(seen) for name, seen in mask.items()}
    experts = model.experts(x, mask)
    joint, _ = model.combine(experts, mask, ("a", "b", "c"))
    across, _ = model.combine(experts, mask, ("c",))
    alone, _ = model.posterior({"c": x["c"]}, {"c": mask["c"]})
    torch.testing.assert_close(across[:, :S], alone[:, :S])
    assert not torch.equal(across[:, :S], joint[:, :S])
    assert torch.equal(across[:, S:], joint[:, S:])


@torch.no_grad()
def test_a_private_latent_affects_its_own_modality_only(model):
    z = torch.randn(B, Z)
    before = model.decode(z)
    z[:, A] += 1
    after = model.decode(z)
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
    doubled = model.loss(twice, masks, torch.cat([noise(), noise()], 1), 0.7)
    torch.testing.assert_close(doubled.total, losses.total)
    backwards, _ = loss_and_gradients(model, dict(reversed(x.items())), mask)
    assert torch.equal(backwards.total, losses.total)


@torch.no_grad()
def test_a_modality_left_out_is_one_masked_throughout(model):
    x, mask = values()
    mask["b"] = torch.zeros(B, dtype=torch.bool)
    whole = model.loss(x, mask, noise())
    assert whole.nll["b"] == 0
    del x["b"], mask["b"]
    torch.testing.assert_close(model.loss(x, mask, noise()).total, whole.total)


@torch.no_grad()
def test_the_loss_is_the_sum_of_joint_and_cross_elbos_when_all_is_present(model):
    x, mask = values()
    mask = {name: torch.ones_like(seen) for name, seen in mask.items()}
    expected = torch.zeros(())
    standard = torch.distributions.Normal(0, 1)
    for source, draw in zip([tuple(x), ("a",), ("b",), ("c",)], noise(), strict=True):
        mean, precision = model.combine(model.experts(x, mask), mask, source)
        q = torch.distributions.Normal(mean, precision.rsqrt())
        expected += 0.7 * torch.distributions.kl_divergence(q, standard).sum(-1).mean()
        for m in MODALITIES:
            z = mean + draw * precision.rsqrt()
            expected += m.weight * model.nll(m.name, x[m.name], mask[m.name], z).mean()
    torch.testing.assert_close(model.loss(x, mask, noise(), 0.7).total, expected)


@torch.no_grad()
def test_gamma_weights_private_nats(model):
    x, mask = values()
    mask = {name: torch.ones_like(seen) for name, seen in mask.items()}
    private = torch.zeros(())
    for source in model.sources:
        mean, precision = model.combine(model.experts(x, mask), mask, source)
        q = torch.distributions.Normal(mean[:, S:], precision[:, S:].rsqrt())
        private += torch.distributions.kl_divergence(q, torch.distributions.Normal(0, 1)).sum(-1).mean()
    plain, dear = model.loss(x, mask, noise()), model.loss(x, mask, noise(), gamma=3.0)
    torch.testing.assert_close(dear.total, plain.total + 2 * private)
    assert dear.kl == plain.kl


@torch.no_grad()
def test_missing_values_do_not_change_the_joint_density(model):
    """With only b present, log p(z, x) differs from log N(z; 0, I) by log p(b | z) alone."""
    x, _ = values()
    seen = {"b": torch.ones(B, dtype=torch.bool)}
    z = torch.randn(2, B, Z)
    density = torch.distributions.Normal(0, 1).log_prob(z).sum(-1)
    logits = model.parameters_of("b", z)
    b = torch.distributions.Bernoulli(logits=logits).log_prob(x["b"]).sum(-1)
    torch.testing.assert_close(model.log_joint({"b": x["b"]}, seen, z), density + b)


@torch.no_grad()
def test_a_swap_takes_the_shared_latent_of_one_and_the_private_ones_of_the_other(model):
    one, other = torch.randn(2, B, Z)
    z = model.swap(one, other)
    assert torch.equal(z[:, :S], one[:, :S])
    assert torch.equal(z[:, S:], other[:, S:])


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ({"modalities": ()}, "modalities"),
        ({"modalities": MODALITIES[:1] * 3}, "different names"),
        ({"private": (1, 1)}, "private must be 3 numbers"),
        ({"private": (1, 1, -1)}, "private"),
        ({"shared": 0}, "shared"),
    ],
)
def test_an_invalid_configuration_names_the_key(keys, named):
    with pytest.raises(ValueError, match=named):
        DMVAEConfig(**({"modalities": MODALITIES, "private": (2, 1, 0)} | keys))
