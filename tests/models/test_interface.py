"""What every model has in common: shapes, missing modalities, draws, likelihoods, streaming, generation."""

import copy
import math

import pytest
import torch

from enrapt.contracts.errors import UserError
from enrapt.models.batch import Batch
from enrapt.models.causal import Causal
from enrapt.models.dmvae import DMVAE
from enrapt.models.forward_filter import ForwardFilter
from enrapt.models.mdvae import MDVAE
from enrapt.models.mm_vrnn import MMVRNN
from enrapt.models.modality import Modality
from enrapt.models.mvae import MVAE
from enrapt.models.vq_vae import VQVAE
from tests.support.every_model import FEW, MODELS, N, T, build, data_of, leading

torch.set_num_threads(1)


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return build(request.param)


@pytest.fixture(scope="module", params=[n for n in MODELS if not n.startswith(("mdvae", "vq_vae"))])
def causal(request):
    return build(request.param)


@pytest.fixture(scope="module", params=[n for n in MODELS if not n.startswith("vq_vae")])
def multimodal(request):
    return build(request.param)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def decoded_shapes(model, leading):
    return {m.name: (*leading, *m.shape) for m in model.modalities if m.role != "context"}


def shapes(tensors):
    return {name: tuple(value.shape) for name, value in tensors.items()}


def check_values(model, values):
    """Finite, and in the range of the likelihood."""
    for name, value in values.items():
        m = model.by_name[name]
        assert value.isfinite().all()
        if m.likelihood in ("bernoulli", "categorical", "logit_normal"):
            assert ((value >= 0) & (value <= 1)).all()
        if m.likelihood == "categorical":
            torch.testing.assert_close(value.sum(-1), torch.ones(value.shape[:-1]))


# Shapes.


@torch.no_grad()
@pytest.mark.parametrize("samples", [None, 1, 4])
def test_latents_are_by_name_and_decode_to_every_modality_that_is_no_context(model, samples):
    z = model.encode(data_of(model), samples=samples, generator=seeded())
    front, known = () if samples is None else (samples,), leading(model)
    latents = {
        k: (*front, N, v) if k in model.static else (*front, *known, v) for k, v in model.sizes.items()
    }
    if isinstance(model, MMVRNN):
        latents["h"] = (*front, *known, 6)
    assert shapes(z) == latents
    assert list(z)[: len(model.sizes)] == list(model.sizes)
    assert set(z.private) == {m.name for m in model.modalities if m.name in model.sizes}
    assert all(value.isfinite().all() for value in z.values())
    for values in (model.decode(z), model.draw(z, generator=seeded())):
        assert shapes(values) == decoded_shapes(model, (*front, *known))
        check_values(model, values)
    (last, *_) = reversed(decoded_shapes(model, ()))
    assert torch.equal(model.decode(z, [last])[last], model.decode(z)[last])
    assert list(model.decode(z, [last])) == list(model.draw(z, [last])) == [last]


@torch.no_grad()
def test_draws_of_bernoulli_and_categorical_modalities_are_of_their_values(multimodal):
    drawn = multimodal.draw(multimodal.encode(data_of(multimodal)), generator=seeded())
    for m in multimodal.modalities:
        if m.name in drawn and m.likelihood in ("bernoulli", "categorical"):
            assert set(drawn[m.name].unique().tolist()) <= {0.0, 1.0}


@torch.no_grad()
def test_generated_values_have_the_shape_and_the_range_of_data(model):
    ticks = () if model.axes == 1 else (4,)
    new = model.generate(6, *ticks, generator=seeded())
    assert shapes(new) == decoded_shapes(model, (6, *ticks))
    check_values(model, new)
    if model.axes == 2:
        after = model.generate(2, 4, data_of(model), generator=seeded())
        assert shapes(after) == decoded_shapes(model, (2, N, 4))
        check_values(model, after)


def test_log_likelihoods_are_one_number_a_sample_or_sequence(model):
    for names in ({}, {"of": [model.modalities[0].name]}):
        found = model.log_likelihood(data_of(model), samples=3, generator=seeded(), **names)
        assert found.shape == (N,)
        assert found.isfinite().all()


def test_a_loss_has_its_parts_and_finite_gradients(model):
    model.zero_grad()
    data = data_of(model)
    losses = model.loss(data, beta=0.5, generator=seeded())
    assert losses.total.shape == losses.kl.shape == ()
    costs = set(decoded_shapes(model, ()))
    if isinstance(model, ForwardFilter):  # of the smoother's decoders none is trained
        costs = {m.name for m in model.targets}
    assert set(losses.nll) == costs
    assert all(value.isfinite() for value in (losses.total, losses.kl, *losses.nll.values()))
    losses.total.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all(g.isfinite().all() for g in gradients)
    if model.states if isinstance(model, Causal) else ():
        assert [s.shape for s in losses.state] == [s.shape for s in model.initial_state(N)]


@torch.no_grad()
def test_a_filter_predicts_every_target_at_every_tick(causal):
    data = data_of(causal)
    found = causal.filter(data)
    known, size = leading(causal), sum(causal.sizes.values())
    assert list(found.prediction) == [m.name for m in causal.targets]
    for m in causal.targets:
        prediction = found.prediction[m.name]
        assert all(part.shape == (*known, m.dim) for part in prediction)
        assert all(part.isfinite().all() for part in prediction)
        assert (prediction.std >= 0).all()
        assert (prediction.low <= prediction.high).all()
        if m.likelihood not in ("normal", "laplace"):
            assert (prediction.low >= 0).all()
            assert (prediction.high <= 1).all()
    assert found.mean.shape == found.std.shape == (*known, size)
    assert list(found.surprise) == [m.name for m in causal.observed]
    for name, nats in found.surprise.items():
        missing = data[name].flatten(len(known)).isnan().all(-1)
        assert nats.shape == known
        assert nats.isfinite().all()
        assert (nats[missing] == 0).all()
    assert shapes(dict(enumerate(found.state))) == shapes(dict(enumerate(causal.initial_state(N))))
    assert len(causal.initial_state(N)) == len(causal.states)


# Missing modalities.


def absent(model, name):
    """The same data with a modality NaN, masked, and left out."""
    data = data_of(model)
    nan = data | {name: torch.full_like(data[name], torch.nan)}
    batch = model.checked(data)
    masked = Batch(batch.x, batch.available | {name: torch.zeros_like(batch.available[name])})
    return nan, masked, {k: v for k, v in data.items() if k != name}


@torch.no_grad()
def test_a_missing_modality_is_one_of_nan_is_one_left_out(multimodal):
    for m in multimodal.modalities:
        if m.name not in ("laplace", "image", "bernoulli_1", "categorical_3", "role"):
            continue
        whole = multimodal.encode(data_of(multimodal))
        nan, *others = absent(multimodal, m.name)
        z = multimodal.encode(nan)
        likelihood = multimodal.log_likelihood(nan, samples=3, generator=seeded())
        if m.role != "target" or not isinstance(multimodal, ForwardFilter):
            assert any(not torch.equal(whole[k], z[k]) for k in z)
        for other in (*others, Batch(*multimodal.checked(data_of(multimodal))).given(set(nan) - {m.name})):
            torch.testing.assert_close(dict(multimodal.encode(other)), dict(z))
            found = multimodal.log_likelihood(other, samples=3, generator=seeded())
            torch.testing.assert_close(found, likelihood)
        if isinstance(multimodal, Causal):
            filtered = multimodal.filter(nan)
            for other in others:
                again = multimodal.filter(other)
                torch.testing.assert_close(again.mean, filtered.mean)
                torch.testing.assert_close(again.std, filtered.std)
                torch.testing.assert_close(again.prediction, filtered.prediction)
                torch.testing.assert_close(again.state, filtered.state)
        # Draws of models of samples depend on the number of modalities given.
        if multimodal.axes == 2:
            total = multimodal.loss(nan, generator=seeded()).total
            for other in others:
                torch.testing.assert_close(multimodal.loss(other, generator=seeded()).total, total)


@torch.no_grad()
def test_encoding_given_some_modalities_is_that_of_those_alone(multimodal):
    data = data_of(multimodal)
    names = [m.name for m in multimodal.modalities if m.role != "target"][:2]
    z = multimodal.encode({name: data[name] for name in names})
    torch.testing.assert_close(dict(multimodal.encode(data, given=names)), dict(z))
    backwards = {name: data[name] for name in reversed(data)}
    torch.testing.assert_close(dict(multimodal.encode(backwards)), dict(multimodal.encode(data)))


@torch.no_grad()
def test_with_nothing_at_all_everything_is_finite(model):
    data = {m.name: torch.full((*leading(model), *m.shape), torch.nan) for m in model.modalities}
    check_values(model, model.decode(model.encode(data)))
    found = model.log_likelihood(data, samples=5, generator=seeded())
    assert found.isfinite().all()
    if not isinstance(model, MMVRNN) or model.config.fusion == "experts":  # where the posterior is the prior
        torch.testing.assert_close(found, torch.zeros(N), atol=1e-4, rtol=0)
    losses = copy.deepcopy(model).train().loss(data, generator=seeded())
    assert losses.total.isfinite()
    assert all(nats == 0 for nats in losses.nll.values())


# Draws.


@torch.no_grad()
def test_draws_with_a_generator_repeat(model):
    data, ticks = data_of(model), () if model.axes == 1 else (3,)
    z = model.encode(data)

    def draws():
        g = seeded(7)
        yield dict(model.encode(data, samples=2, generator=g))
        yield model.draw(z, generator=g)
        yield model.generate(2, *ticks, generator=g)
        yield {"loss": model.loss(data, generator=g).total}
        yield {"log p": model.log_likelihood(data, samples=2, generator=g)}

    state = torch.get_rng_state()
    for one, again in zip(draws(), draws(), strict=True):
        assert all(torch.equal(one[k], again[k]) for k in one)
    assert torch.equal(torch.get_rng_state(), state)  # all numbers come from the generator


def test_draws_without_a_generator_differ(model):
    z = model.encode(data_of(model))
    name = model.modalities[0].name
    assert not torch.equal(model.draw(z)[name], model.draw(z)[name])


def test_the_log_likelihood_does_not_depend_on_chunks(model):
    data, given = data_of(model), {} if isinstance(model, VQVAE) else {"given": [model.modalities[0].name]}
    whole = model.log_likelihood(data, samples=7, generator=seeded(), **given)
    for chunk in (1, 3, 7):
        again = model.log_likelihood(data, samples=7, chunk=chunk, generator=seeded(), **given)
        torch.testing.assert_close(again, whole)


def test_contexts_alone_are_conditions_without_a_likelihood():
    model = build("mm_vrnn of experts")
    data = data_of(model)
    given = model.log_likelihood(data, ["normal"], ["role"], samples=5, generator=seeded())
    pair = {name: data[name] for name in ("normal", "role")}
    both = model.log_likelihood(pair, samples=5, generator=seeded())
    torch.testing.assert_close(given, both)


# Streaming.


@torch.no_grad()
def test_a_streamed_filter_equals_that_of_the_whole_sequence(causal):
    data = data_of(causal)
    whole, state = causal.filter(data), causal.initial_state(N)
    if causal.axes == 1:
        assert state == whole.state == ()
        return
    for t in range(T):
        one = causal.filter({k: v[:, [t]] for k, v in data.items()}, state)
        torch.testing.assert_close(one.mean[:, 0], whole.mean[:, t])
        torch.testing.assert_close(one.std[:, 0], whole.std[:, t])
        for name, prediction in one.prediction.items():
            for part, all_ticks in zip(prediction, whole.prediction[name], strict=True):
                torch.testing.assert_close(part[:, 0], all_ticks[:, t])
        for name, nats in one.surprise.items():
            torch.testing.assert_close(nats[:, 0], whole.surprise[name][:, t])
        state = one.state
    torch.testing.assert_close(state, whole.state)


@torch.no_grad()
def test_new_input_never_changes_old_output(causal):
    data = data_of(causal)
    if causal.axes == 1:
        data = {k: torch.stack([v] * T).flatten(0, 1) for k, v in data.items()}
    else:
        data = {k: v.transpose(0, 1) for k, v in data.items()}  # ticks first
    later = {k: torch.cat([v[:3], v[3:].flip(1)]) for k, v in data.items()}

    def filtered(data):
        found = causal.filter(data if causal.axes == 1 else {k: v.transpose(0, 1) for k, v in data.items()})
        parts = [found.mean, found.std, *found.surprise.values()]
        parts += [part for prediction in found.prediction.values() for part in prediction]
        return [part if causal.axes == 1 else part.transpose(0, 1) for part in parts]

    before, after = filtered(data), filtered(later)
    assert all(torch.equal(one[:3], other[:3]) for one, other in zip(before, after, strict=True))
    assert not torch.equal(before[0][3:], after[0][3:])


@torch.no_grad()
def test_a_loss_carries_the_state_of_a_filter(causal):
    if causal.axes == 1:
        assert causal.loss(data_of(causal)).state == ()
        return
    first, second = causal.batch(data_of(causal)).segments(3)
    state = causal.filter(first).state
    if isinstance(causal, MMVRNN):  # at the mean of z, as in a filter
        parts = causal.flat(first.x), first.available, first.available
        found = causal.negative_elbo(*parts, (), {"z": torch.zeros(N, 3, 3)})
    else:
        found = causal.loss(first, generator=seeded())
    torch.testing.assert_close(found.state, state)
    fresh, later = (causal.loss(second, state=s, generator=seeded()) for s in ((), state))
    assert later.total.isfinite()
    assert later.total != fresh.total


# Likelihoods in closed form.


def gaussian(weights, biases, noise):
    """Mean and covariance of W z + b + e, z ~ N(0, I), e ~ N(0, noise²)."""
    return biases, weights @ weights.T + torch.diag(noise**2)


def log_density(gaussian, x):
    return torch.distributions.MultivariateNormal(*gaussian).log_prob(x)


A, B, Y = slice(0, 3), slice(3, 5), slice(5, 6)  # dimensions of the modalities a, b and y of what follows
SIZES = {"a": A, "b": B, "y": Y}


class Linear:
    """x = W z + b + e of three modalities, its joint distribution in raw units, and data."""

    def __init__(self, loadings, raw=True):
        g = torch.Generator().manual_seed(3)
        self.loadings = loadings  # of normalised values
        self.biases = torch.randn(6, generator=g, dtype=torch.float64)
        self.noise = torch.rand(6, generator=g, dtype=torch.float64) * 0.5 + 0.4
        center, scale = torch.randn(6, generator=g, dtype=torch.float64) * 3, torch.ones(6).double()
        if raw:
            scale = torch.tensor([0.1, 2.0, 5.0, 0.5, 1.5, 3.0], dtype=torch.float64)
        self.center, self.scale = center * raw, scale
        mean, covariance = gaussian(loadings, self.biases, self.noise)
        self.mean = self.center + self.scale * mean
        self.covariance = self.scale[:, None] * covariance * self.scale
        draws = torch.distributions.MultivariateNormal(self.mean, self.covariance)
        torch.manual_seed(1)
        x = draws.sample((8,))
        self.data = {name: x[:, where] for name, where in SIZES.items()}

    def modalities(self):
        return [
            Modality("a", 3, likelihood="normal"),
            Modality("b", 2, likelihood="normal"),
            Modality("y", 1, role="target", likelihood="normal"),
        ]

    def normalise(self, model):
        for name, where in SIZES.items():
            model.normalise(name, self.center[where], self.scale[where])

    def raw_scales(self, where):
        return torch.log(torch.expm1(self.noise[where] - 0.02))  # inverse of softplus plus the floor

    def decode(self, linear, where, columns):
        """Set a decoder's linear layer."""
        size = where.stop - where.start
        linear.weight.zero_()[:size] = self.loadings[where][:, columns]
        linear.bias.zero_()[:size] = self.biases[where]
        linear.bias[size:] = self.raw_scales(where)

    def encode(self, linear, where, columns, prior, sharp=1.0):
        """Set an encoder's last layer to the expert p(x | z), times N(0, 1) where there is a prior: exact
        where the columns of the loadings are orthogonal."""
        loadings, variance = self.loadings[where][:, columns], self.noise[where] ** 2
        precision = ((loadings**2 / variance[:, None]).sum(0) + prior).clamp(min=1e-9)  # [Z]
        slope = loadings.T / variance / precision[:, None]
        z = len(precision)
        linear.weight.zero_()[:z] = slope
        linear.bias[:z] = -slope @ self.biases[where]
        linear.bias[z:] = torch.log(torch.expm1((sharp * precision - 1e-4).clamp(min=1e-9)))

    def exact(self, *names):
        """log p of those modalities."""
        index = torch.cat([torch.arange(6)[SIZES[name]] for name in names])
        marginal = self.mean[index], self.covariance[index][:, index]
        return log_density(marginal, torch.cat([self.data[name] for name in names], -1))

    def conditional(self, of, given):
        """Mean and standard deviation of one modality given another."""
        of, given = SIZES[of], torch.cat([torch.arange(6)[SIZES[name]] for name in given])
        x = torch.cat(list(self.data.values()), -1)[:, given]
        gain = torch.linalg.solve(self.covariance[given][:, given], self.covariance[given][:, of]).T
        mean = self.mean[of] + (x - self.mean[given]) @ gain.T
        covariance = self.covariance[of, of] - gain @ self.covariance[given][:, of]
        return mean, covariance.diagonal().sqrt().expand(len(mean), -1)


# Two latents. Orthogonal columns in each modality, after dividing by the noise: their posterior is diagonal.
ORTHOGONAL = torch.tensor([[1.2, 0], [0.5, 0], [0, -0.8], [0, 1.0], [0.9, 0], [0.7, 0]]).double()
# One shared latent, then one private latent each of a and b.
SHARED = torch.tensor(
    [[1.2, 0, 0], [0.5, 0, 0], [0, -0.8, 0], [0.6, 0, 0], [0, 0, 1.1], [0.7, 0, 0]]
).double()
TANGLED = SHARED + 0.5 * torch.tensor(
    [[0, 0.3, 0], [0, 0, 0], [0.4, 0, 0], [0, 0, 0.3], [0.2, 0, 0], [0, 0, 0]]
)


@torch.no_grad()
def mvae(linear, sharp=1.0):
    model = MVAE(linear.modalities(), hidden=[], latent=2).double().eval()
    linear.normalise(model)
    for name, where in SIZES.items():
        linear.encode(model.encoder[name][-1], where, [0, 1], 0.0, sharp)
        decoder = model.decoder[name]
        linear.decode(decoder.of_z if name == "y" else decoder[-1], where, [0, 1])
    return model


@torch.no_grad()
def dmvae(linear, prior_expert="always", sharp=1.0):
    options = {"shared": 1, "private": 1, "prior_expert": prior_expert}
    model = DMVAE(linear.modalities(), hidden=[], **options).double().eval()
    linear.normalise(model)
    for column, (name, where) in enumerate(SIZES.items(), 1):
        columns = [0] if name == "y" else [0, column]
        # q(z_s | x) is a product with the prior, q(z_m | x_m) a Gaussian by itself.
        prior = torch.tensor([0.0, 1.0][: len(columns)], dtype=torch.float64)
        linear.encode(model.encoder[name][-1], where, columns, prior, sharp)
        decoder = model.decoder[name]
        linear.decode(decoder.of_z if name == "y" else decoder[-1], where, columns)
    return model


EXACT = {
    "mvae": lambda raw: (linear := Linear(ORTHOGONAL, raw), mvae(linear)),
    "dmvae": lambda raw: (linear := Linear(SHARED, raw), dmvae(linear)),
}
# Posteriors that are not those of the model: too sharp by a fifth, diagonal, or without the prior.
CLOSE = {
    "mvae": lambda: (linear := Linear(ORTHOGONAL), mvae(linear, 0.8)),
    "dmvae": lambda: (linear := Linear(TANGLED), dmvae(linear, sharp=0.7)),
    "dmvae without the prior's expert": lambda: (linear := Linear(SHARED), dmvae(linear, "several")),
}


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("kind", EXACT)
def test_with_the_exact_posterior_log_likelihoods_are_exact_for_any_number_of_samples(kind, raw):
    """Within 0.002 nats: an expert's least precision is 1e-4, where y says nothing about a latent."""
    linear, model = EXACT[kind](raw)
    for of, given in ((None, ()), (["a"], ()), (["b"], ["a"]), (["y"], ["a", "b"]), (["a", "y"], ["b"])):
        found = model.log_likelihood(linear.data, of, given, samples=2, generator=seeded())
        exact = linear.exact(*(of or SIZES), *given) - (linear.exact(*given) if given else 0)
        torch.testing.assert_close(found, exact, rtol=0, atol=2e-3)


@pytest.mark.parametrize("kind", CLOSE)
def test_a_joint_log_likelihood_is_that_of_its_parts(kind):
    """log p(a, b) = log p(a) + log p(b | a), and each that of the closed form, within 0.05 nats: with 10,000
    samples the standard errors are up to 0.01."""
    linear, model = CLOSE[kind]()
    options = {"samples": 10_000, "chunk": 2_000}
    a = model.log_likelihood(linear.data, ["a"], generator=seeded(1), **options)
    both = model.log_likelihood(linear.data, ["a", "b"], generator=seeded(2), **options)
    b_given_a = model.log_likelihood(linear.data, ["b"], ["a"], generator=seeded(3), **options)
    torch.testing.assert_close(both, a + b_given_a, rtol=0, atol=0.05)
    torch.testing.assert_close(a, linear.exact("a"), rtol=0, atol=0.05)
    torch.testing.assert_close(both, linear.exact("a", "b"), rtol=0, atol=0.05)
    few = model.log_likelihood(linear.data, ["a"], samples=2, generator=seeded(2))
    assert (few - a).abs().max() > 0.1  # the posterior is not exact


@pytest.mark.parametrize("kind", EXACT)
@torch.no_grad()
def test_with_the_exact_posterior_a_filters_prediction_is_the_exact_conditional(kind):
    linear, model = EXACT[kind](True)
    for given in (["a"], ["b"], ["a", "b"]):
        found = model.filter({name: linear.data[name] for name in given}).prediction["y"]
        mean, std = linear.conditional("y", given)
        torch.testing.assert_close(found.mean, mean)
        torch.testing.assert_close(found.std, std)
        torch.testing.assert_close(found.high - found.low, 2 * 1.6448536269514722 * std)
        decoded = model.decode(model.encode(linear.data, given), ["y"])["y"]
        torch.testing.assert_close(decoded, mean)


@pytest.mark.parametrize("kind", EXACT)
@torch.no_grad()
def test_generated_samples_have_the_moments_of_the_closed_form(kind):
    linear, model = EXACT[kind](True)
    x = torch.cat(list(model.generate(100_000, generator=seeded()).values()), -1)
    standard = (x - linear.mean) / linear.covariance.diagonal().sqrt()
    correlation = linear.covariance / linear.covariance.diagonal().sqrt().outer(
        linear.covariance.diagonal().sqrt()
    )
    # Standard errors are 0.003.
    torch.testing.assert_close(standard.mean(0), torch.zeros(6).double(), rtol=0, atol=0.015)
    torch.testing.assert_close(torch.cov(standard.T), correlation, rtol=0, atol=0.02)


# Generation of sequences.

SHARP = 1e-6  # a scale of which nothing is seen


@torch.no_grad()
def autoregressive(coefficient, precision):
    """An MDVAE whose modalities are its latents: w, and a shared autoregressive process of first order."""
    torch.manual_seed(0)
    options = {"likelihood": "normal", "decoder": "Linear(2, 1)", "scale": SHARP}
    modalities = [Modality("static", 1, **options), Modality("dynamic", 1, **options)]
    model = MDVAE(modalities, hidden=4, static=1, shared=1, private=0)
    prior = model.shared.prior
    prior.weight.zero_()[0, -1] = coefficient
    prior.bias.copy_(torch.tensor([0.0, math.log(math.expm1(precision - 1e-4))]))
    for name, weight in (("static", [1.0, 0.0]), ("dynamic", [0.0, 1.0])):
        model.decoder[name].network.weight.copy_(torch.tensor([weight]))
        model.decoder[name].network.bias.zero_()
    return model


@torch.no_grad()
def test_new_sequences_have_the_moments_of_their_priors():
    x = autoregressive(0.9, 2.0).generate(20_000, 3, generator=seeded())
    w, z = x["static"].squeeze(-1), x["dynamic"].squeeze(-1)
    torch.testing.assert_close(w[:, 0], w[:, 2], rtol=0, atol=1e-4)
    assert w[:, 0].mean().item() == pytest.approx(0, abs=0.03)
    assert w[:, 0].std().item() == pytest.approx(1, rel=0.02)
    variance = 0.0
    for t in range(3):
        variance = 0.81 * variance + 0.5
        assert z[:, t].mean().item() == pytest.approx(0, abs=0.03)
        assert z[:, t].var().item() == pytest.approx(variance, rel=0.04)
    assert torch.corrcoef(torch.stack([w[:, 0], z[:, 0]]))[0, 1].item() == pytest.approx(0, abs=0.03)


@torch.no_grad()
def test_sequences_after_others_go_on_from_their_latents():
    model = autoregressive(0.9, 2.0)
    before = model.generate(2, 4, generator=seeded(1))
    z = model.encode(before, samples=20_000, generator=seeded(2))
    last = z.shared[:, :, -1, 0]
    after = model.generate(20_000, 1, before, generator=seeded(3))
    w, following = after["static"][:, :, 0, 0], after["dynamic"][:, :, 0, 0]
    torch.testing.assert_close(w.mean(0), z.w[..., 0].mean(0), rtol=0, atol=0.04)
    torch.testing.assert_close(w.var(0), z.w[..., 0].var(0), rtol=0.06, atol=0)
    torch.testing.assert_close(following.mean(0), 0.9 * last.mean(0), rtol=0, atol=0.04)
    torch.testing.assert_close(following.var(0), 0.81 * last.var(0) + 0.5, rtol=0.06, atol=0)


def agree(found, expected, sigmas=5.0):
    """Whether means and variances of draws, `[K, …]` by modality, are within that many standard errors."""
    for name in expected:
        for one, other in ((found[name], expected[name]), (found[name].square(), expected[name].square())):
            error = (one.var(0) / len(one) + other.var(0) / len(other)).sqrt()
            if ((one.mean(0) - other.mean(0)).abs() > sigmas * error + 1e-6).any():
                return False
    return True


@torch.no_grad()
def lively(name):
    """A model with weights twice as large, so that its ticks depend more on those before."""
    model = build(name, FEW)
    for parameter in model.parameters():
        parameter.mul_(2.0 if parameter.ndim > 1 else 1.0)
    return model


def first_tick(model, after):
    """Of 2,000 continuations of each sequence."""
    return {k: v[:, :, 0] for k, v in model.generate(2000, 1, after, generator=seeded(1)).items()}


def earlier(data):
    return {k: v[:, :-2] for k, v in data.items()}


def with_missing_tick(data):
    return {k: torch.cat([v, torch.full_like(v[:, :1], torch.nan)], 1) for k, v in data.items()}


@torch.no_grad()
@pytest.mark.parametrize("name", ["mdvae", "mdvae without w", "forward filter"])
def test_the_first_tick_after_others_is_the_one_step_prediction(name):
    """That of a tick at which nothing is present."""
    model = lively(name)
    data = data_of(model)
    whole = model.smoother if isinstance(model, ForwardFilter) else model
    z = whole.encode(with_missing_tick(data), samples=2000, generator=seeded(2))
    expected = {k: v[:, :, -1] for k, v in whole.draw(z, generator=seeded(3)).items()}
    assert agree(first_tick(model, data), expected)
    assert not agree(first_tick(model, earlier(data)), expected)


@torch.no_grad()
@pytest.mark.parametrize("fusion", ["of experts", "with zeros", "with tokens"])
def test_the_first_tick_after_others_is_the_prior_of_an_mm_vrnn(fusion):
    model = lively(f"mm_vrnn {fusion}")
    data = data_of(model)
    batch = model.batch(with_missing_tick(data))
    encoded = model.encoded(model.flat(batch.x), batch.available)
    inferred = model.drawn(encoded, model.noise((N, T + 1), seeded(2), 2000))
    prior = inferred.latents["z"]
    noise = torch.randn(2000, N, 3, generator=seeded(3))
    z = prior.prior_mean[:, :, -1] + noise * prior.prior_precision[:, :, -1].rsqrt()
    expected = model.draw({"z": z, "h": inferred.context["h"][:, :, -1]}, generator=seeded(4))
    assert agree(first_tick(model, data), expected)
    assert not agree(first_tick(model, earlier(data)), expected)


# Names.


def test_names_that_a_model_does_not_have_are_one_line(model):
    data = data_of(model)
    z = model.encode(data)
    for call in (
        lambda: model.encode(data, given=["ear"]),
        lambda: model.decode(z, ["ear"]),
        lambda: model.draw(z, ["ear"]),
    ):
        with pytest.raises(UserError, match="ear: no such modality; the model has"):
            call()
