"""`Model.log_likelihood`, on an MVAE whose decoders are linear: everything is Gaussian, and exact."""

import math

import pytest
import torch

from enrapt.contracts.errors import UserError
from enrapt.models.experts import log_normal
from enrapt.models.likelihoods import FLOOR
from enrapt.models.modality import Modality
from enrapt.models.mvae import MVAE
from tests.support.every_model import MODELS, build, data_of

# z ~ N(0, I), x = A z + e, y = B z + f with noise of variance V.
Z, X, Y, N, V = 3, 4, 3, 5, 0.3
SCALE = math.sqrt(V)


def weights(orthogonal):
    """A and B; where their columns are orthogonal, the posterior is a product of independent Gaussians."""
    g = torch.Generator().manual_seed(0)
    a, b = (torch.randn(d, Z, generator=g, dtype=torch.float64) for d in (X, Y))
    columns = [torch.linalg.qr(w)[0] * torch.tensor([2.0, 1.0, 0.5]) for w in (a, b)]
    return columns if orthogonal else [c + 0.2 * w for c, w in zip(columns, (a, b), strict=True)]


def linear(a, b, spread=1.0, scale=SCALE):
    """An MVAE of that A and B.

    Args:
        spread: its experts have the exact ones' shift, and their precision over this without what is not on
            its diagonal.
        scale: in raw units; None to have the decoders predict √V in normalised ones.
    """
    modalities = [Modality("x", X, likelihood="normal", scale=scale)]
    modalities += [Modality("y", Y, likelihood="normal", scale=scale)]
    model = MVAE(modalities, hidden=(), latent=Z).double().eval()
    wide = torch.tensor(math.log(math.expm1(SCALE - FLOOR)), dtype=torch.float64)
    for name, w in (("x", a), ("y", b)):
        precision = (w.T @ w).diagonal() / V  # of the exact expert, whose shift is Wᵀ x / V
        raw = torch.log(torch.expm1(precision / spread - 1e-4))
        encoder, decoder = model.encoder[name][1], model.decoder[name][0]
        with torch.no_grad():
            encoder.weight.copy_(torch.cat([w.T / V / precision.unsqueeze(-1), 0 * w.T]))
            encoder.bias.copy_(torch.cat([torch.zeros(Z, dtype=torch.float64), raw]))
            decoder.weight.zero_()[: len(w)] = w
            decoder.bias.zero_()[len(w) :] = wide
    return model


def data(a, b):
    z = torch.randn(N, Z, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    return {"x": z @ a.T, "y": z @ b.T}


def exact(w, values):
    """log N(values; 0, W Wᵀ + V I)."""
    covariance = w @ w.T + V * torch.eye(len(w), dtype=w.dtype)
    zero = torch.zeros(len(w), dtype=w.dtype)
    return torch.distributions.MultivariateNormal(zero, covariance).log_prob(values)


def generator():
    return torch.Generator().manual_seed(1)


def test_the_estimate_is_the_exact_log_likelihood_of_a_linear_gaussian_model():
    a, b = weights(orthogonal=False)
    model, values = linear(a, b, spread=2.0), data(a, b)
    options = {"samples": 20_000, "chunk": 1_000, "generator": generator()}
    both = exact(torch.cat([a, b]), torch.cat([values["x"], values["y"]], -1))
    torch.testing.assert_close(model.log_likelihood(values, **options), both, rtol=0, atol=0.05)
    found = model.log_likelihood(values, ["x"], ["y"], **options)
    torch.testing.assert_close(found, both - exact(b, values["y"]), rtol=0, atol=0.05)
    found = model.log_likelihood(values, ["x"], **options)
    torch.testing.assert_close(found, exact(a, values["x"]), rtol=0, atol=0.05)


def test_one_draw_of_the_true_posterior_is_exact():
    a, b = weights(orthogonal=True)
    model, values = linear(a, b), data(a, b)
    both, y = exact(torch.cat([a, b]), torch.cat([values["x"], values["y"]], -1)), exact(b, values["y"])
    torch.testing.assert_close(model.log_likelihood(values, samples=1), both)
    for of in (None, ["x"]):  # what is given is not predicted
        torch.testing.assert_close(model.log_likelihood(values, of, ["y"], samples=1), both - y)
    torch.testing.assert_close(model.log_likelihood({"y": values["y"]}, samples=1), y)
    torch.testing.assert_close(model.log_likelihood(values, ["y"], samples=1), y)


def test_what_is_missing_adds_nothing():
    a, b = weights(orthogonal=True)
    model, values = linear(a, b), data(a, b)
    both, x = exact(torch.cat([a, b]), torch.cat([values["x"], values["y"]], -1)), exact(a, values["x"])
    nothing = torch.full((1, Y), torch.nan, dtype=torch.float64)
    some = {"x": values["x"], "y": torch.cat([nothing, values["y"][1:]])}
    torch.testing.assert_close(model.log_likelihood(some, samples=1), torch.cat([x[:1], both[1:]]))
    given = model.log_likelihood(some, ["x"], ["y"], samples=1)
    torch.testing.assert_close(given, torch.cat([x[:1], (both - exact(b, values["y"]))[1:]]))
    found = model.log_likelihood(some, ["y"], ["x"], samples=1)
    torch.testing.assert_close(found, torch.cat([torch.zeros(1, dtype=both.dtype), (both - x)[1:]]))


@pytest.mark.parametrize("scale", [None, 3 * SCALE])
def test_it_is_of_raw_values(scale):
    """In a unit a third as large, values are three times as far apart; their density is a third."""
    a, b = weights(orthogonal=True)
    model, values = linear(a, b, scale=scale), data(a, b)
    both, y = exact(torch.cat([a, b]), torch.cat([values["x"], values["y"]], -1)), exact(b, values["y"])
    raw = {}
    for name, value in values.items():
        center = torch.arange(value.shape[-1], dtype=torch.float64)
        model.normalise(name, center, torch.full_like(center, 3.0))
        raw[name] = 3 * value + center
    found = model.log_likelihood(raw, samples=1)
    torch.testing.assert_close(found, both - (X + Y) * math.log(3))
    found = model.log_likelihood(raw, ["x"], ["y"], samples=1)
    torch.testing.assert_close(found, both - y - X * math.log(3))


def test_the_result_does_not_depend_on_the_chunks():
    a, b = weights(orthogonal=False)
    model, values = linear(a, b), data(a, b)
    for given in ((), ("y",)):
        whole = model.log_likelihood(values, given=given, samples=37, chunk=37, generator=generator())
        for chunk in (1, 10, 36, 100):
            found = model.log_likelihood(values, given=given, samples=37, chunk=chunk, generator=generator())
            torch.testing.assert_close(found, whole)


def test_the_log_is_of_the_mean_and_not_the_mean_of_the_log():
    a, b = weights(orthogonal=False)
    model, values = linear(a, b), {"x": data(a, b)["x"]}
    draws = generator()
    elbo = torch.stack([model.log_likelihood(values, samples=1, generator=draws) for _ in range(50)]).mean(0)
    assert (model.log_likelihood(values, samples=50, generator=generator()) > elbo).all()
    # Where every weight is the same, their number does not matter.
    model = linear(*weights(orthogonal=True))
    one = model.log_likelihood(values, samples=1)
    torch.testing.assert_close(model.log_likelihood(values, samples=7, chunk=2), one)


def test_log_normal_is_the_librarys():
    z, mean, precision = torch.randn(7), torch.randn(7), torch.rand(7) + 0.1
    expected = torch.distributions.Normal(mean, precision.rsqrt()).log_prob(z).sum()
    torch.testing.assert_close(log_normal(z, mean, precision), expected)
    assert log_normal(torch.zeros(1), torch.zeros(1), torch.ones(1)).item() == pytest.approx(
        -0.5 * math.log(2 * math.pi)
    )


def test_a_modality_that_the_model_has_not_is_one_line():
    model = linear(*weights(orthogonal=True))
    for options in ({"of": ["u"]}, {"given": ["u"]}):
        with pytest.raises(UserError, match="u: no such modality; the model has x, y"):
            model.log_likelihood({"x": torch.zeros(1, X)}, **options)


def test_memory_does_not_grow_with_the_number_of_samples(monkeypatch):
    monkeypatch.setattr("enrapt.models.importance.ROWS", 2)
    a, b = weights(orthogonal=True)
    model, values = linear(a, b), data(a, b)
    rows = []
    model.decoder["x"].register_forward_hook(lambda module, z, x: rows.append(x[..., 0].numel()))
    found = model.log_likelihood(values, samples=6, chunk=3)
    assert max(rows) == 2 * 3
    torch.testing.assert_close(found, exact(torch.cat([a, b]), torch.cat([values["x"], values["y"]], -1)))


@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("vq_vae")])
def test_what_is_missing_has_a_conditional_log_likelihood_of_0(name):
    """Exactly, with any draws: both parts of the ratio take the same ones."""
    model, draws = build(name), torch.Generator().manual_seed(1)
    data = data_of(model)
    data["normal"][0] = torch.nan
    found = model.log_likelihood(data, ["normal"], ["laplace", "bernoulli"], samples=3, generator=draws)
    torch.testing.assert_close(found[0], torch.zeros(()), rtol=0, atol=2e-5)
    assert (found[1:].abs() > 1e-2).any()
