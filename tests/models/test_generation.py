import copy
import math

import pytest
import torch
from torch.distributions import Normal

from enrapt.models.batch import Batch
from enrapt.models.likelihoods import parameters, sample, scale
from enrapt.models.mm_vrnn import MMVRNN, MMVRNNConfig
from enrapt.models.modality import Modality

B, T = 4, 7


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    config = MMVRNNConfig(
        (
            Modality("a", 3, likelihood="normal"),
            Modality("units", 2, likelihood="bernoulli"),
            Modality("traits", 2, likelihood="logit_normal"),
            Modality("relation", 3, likelihood="categorical"),
            Modality("role", 1, role="target", likelihood="bernoulli"),
        ),
        hidden=8,
        latent=2,
    )
    model = MMVRNN(config)
    model.normalise("a", torch.tensor([5.0, -5.0, 0.0]), torch.tensor([0.1, 2.0, 1.0]))
    return model


def test_new_sequences_are_in_each_modalitys_own_range(model):
    x = model.generate(B, T, generator=torch.Generator().manual_seed(0))
    assert {k: tuple(v.shape) for k, v in x.items()} == {
        "a": (B, T, 3), "units": (B, T, 2), "traits": (B, T, 2), "relation": (B, T, 3), "role": (B, T, 1)
    }  # fmt: skip
    for name in ("units", "role"):
        assert set(x[name].unique().tolist()) == {0.0, 1.0}
    assert ((x["traits"] > 0) & (x["traits"] < 1)).all()
    assert torch.equal(x["relation"].sum(-1), torch.ones(B, T))
    assert (x["a"][..., 0] - 5).abs().max() < 1.5  # its spread is 0.1
    again = model.generate(B, T, generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(x[k], again[k]) for k in x)


@pytest.mark.parametrize("fusion", ["experts", "zeros", "token"])
@torch.no_grad()
def test_new_sequences_begin_with_draws_from_the_prior(fusion):
    """Whatever the posterior of nothing is: a decoder that gives back z shows z's distribution."""
    torch.manual_seed(0)
    modalities = (
        Modality("a", 1, likelihood="normal"),
        Modality("y", 1, role="target", likelihood="bernoulli"),
    )
    model = MMVRNN(MMVRNNConfig(modalities, hidden=2, latent=1, fusion=fusion))
    model.phi_z[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))  # z as relu(z) and relu(-z)
    model.phi_z[0].bias.zero_()
    decoder = model.decoder["a"]
    decoder[0].weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0]]))
    decoder[0].bias.zero_()
    decoder[2].weight.copy_(torch.tensor([[1.0, -1.0], [0, 0]]))
    decoder[2].bias.copy_(torch.tensor([0.0, -9.0]))
    some = {"a": torch.zeros(1, 1, 1)}, {"a": torch.zeros(1, 1, dtype=torch.bool)}
    prior = model.inferred(model.encoded(*some), None).latents["z"]
    x = model.generate(20_000, 1, generator=torch.Generator().manual_seed(0))["a"]
    scale = prior.prior_precision.rsqrt().item()
    assert x.std().item() == pytest.approx(scale, rel=0.03)
    assert x.mean().item() == pytest.approx(prior.prior_mean.item(), abs=0.03 * scale)


def log_likelihood(model, x, mask, samples):
    generator = torch.Generator().manual_seed(0)
    return model.log_likelihood(Batch(x, mask), samples=samples, generator=generator)


@torch.no_grad()
def test_log_p_is_of_raw_values(model):
    """In a unit a tenth as large, values are ten times as far apart and their density is a tenth."""
    x = {"a": torch.randn(B, T, 3)}
    seen = {"a": torch.rand(B, T) < 0.7}
    raw = copy.deepcopy(model)
    center, scale = model.moments("a")
    raw.normalise("a", 10 * center, 10 * scale)
    one = log_likelihood(model, x, seen, 3)
    other = log_likelihood(raw, {"a": 10 * x["a"]}, seen, 3)
    torch.testing.assert_close(other, one - 3 * math.log(10) * seen["a"].sum(1))


def test_any_modality_is_predicted_from_what_is_present(model):
    x = model.generate(B, T, generator=torch.Generator().manual_seed(0))
    x = {k: v for k, v in x.items() if k != "role"}
    seen = torch.ones(B, T, dtype=torch.bool)
    blind = model.decode(model.encode(Batch(x, dict.fromkeys(x, ~seen))))
    for given in x:
        mask = {k: seen if k == given else ~seen for k in x}
        spoilt = {k: v if k == given else torch.full_like(v, torch.nan) for k, v in x.items()}
        predicted = model.decode(model.encode(Batch(spoilt, mask)))
        assert set(predicted) == {*x, "role"}
        for name, value in predicted.items():
            assert torch.isfinite(value).all()
            assert not torch.equal(value, blind[name])


def test_draws_have_the_distribution_of_their_likelihood():
    g = torch.Generator().manual_seed(2)
    outputs = torch.tensor([0.7, -0.4]).expand(200_000, 2)
    for name, spread in (("normal", 1.0), ("laplace", math.sqrt(2))):
        drawn = sample(name, parameters(name, outputs), g)
        assert drawn.mean().item() == pytest.approx(0.7, abs=0.01)
        assert drawn.std().item() == pytest.approx(spread * scale(torch.tensor(-0.4)).item(), rel=0.02)
    shares = torch.softmax(torch.tensor([0.7, -0.4]), 0)
    drawn = sample("categorical", parameters("categorical", outputs), g)
    torch.testing.assert_close(drawn.mean(0), shares, atol=5e-3, rtol=0)


@torch.no_grad()
def test_importance_sampling_is_exact_on_a_linear_gaussian_tick():
    """One tick, z ~ N(m, 1/λ), x = c z + noise: x is Gaussian."""
    torch.manual_seed(0)
    a = Modality("a", 1, likelihood="normal")
    target = Modality("y", 1, role="target", likelihood="logit_normal")
    model = MMVRNN(MMVRNNConfig((a, target), hidden=2, latent=1))
    model.phi_z[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))  # z as relu(z) and relu(-z)
    model.phi_z[0].bias.zero_()
    decoder = model.decoder["a"]
    decoder[0].weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0]]))
    decoder[0].bias.zero_()
    decoder[2].weight.copy_(torch.tensor([[1.5, -1.5], [0, 0]]))
    decoder[2].bias.copy_(torch.tensor([0.2, -0.5]))
    x = {"a": torch.tensor([[[-1.0]], [[0.3]], [[2.0]]])}
    mask = {"a": torch.ones(3, 1, dtype=torch.bool)}
    prior = model.inferred(model.encoded(x, mask), None).latents["z"]
    variance = 1.5**2 / prior.prior_precision[0, 0, 0] + scale(torch.tensor(-0.5)) ** 2
    exact = Normal(1.5 * prior.prior_mean[0, 0, 0] + 0.2, variance.sqrt()).log_prob(x["a"][:, 0, 0])
    found = log_likelihood(model, x, mask, 100_000)
    torch.testing.assert_close(found, exact, atol=0.015, rtol=0)
    both = x | {"y": torch.full((3, 1, 1), 0.4)}, mask | {"y": mask["a"]}
    joint = log_likelihood(model, *both, 200)
    alone = log_likelihood(model, {"y": both[0]["y"]}, {"y": mask["a"]}, 200)
    assert torch.isfinite(joint - alone).all()


@torch.no_grad()
def test_missing_values_do_not_change_log_p(model):
    x = {"a": torch.randn(B, T, 3)}
    nothing = {"a": torch.zeros(B, T, dtype=torch.bool)}
    found = log_likelihood(model, x, nothing, 3)
    torch.testing.assert_close(found, torch.zeros(B), atol=1e-4, rtol=0)
