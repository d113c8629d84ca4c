import numpy as np
import pytest
import torch

from benchmarks.datasets import linear_toy
from enrapt.models import distillation
from enrapt.models.batch import Batch
from enrapt.models.forward_filter import Belief, ForwardFilter
from enrapt.models.likelihoods import logit_scale, scale
from enrapt.models.mdvae import MDVAE, MDVAEConfig
from enrapt.models.modality import Modality
from enrapt.models.whitening import WhitenedLinear

B, T = 3, 8
MODALITIES = (Modality("a", 4), Modality("v", 3, likelihood="normal"))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MDVAE(MDVAEConfig(MODALITIES, hidden=12, static=3, shared=2, private=2))


@pytest.fixture(scope="module")
def filter_(model):
    torch.manual_seed(1)
    return ForwardFilter(model, hidden=10)


def values(seed=1):
    g = torch.Generator().manual_seed(seed)
    x = {m.name: torch.randn(B, T, m.dim, generator=g) for m in MODALITIES}
    return x, {k: torch.rand(B, T, generator=g) < 0.6 for k in x}


def generator():
    return torch.Generator().manual_seed(5)


def noise(model):
    return model.noise((B, T), generator())


def smoothed(model, x, mask, prior=None):
    return model.inferred(model.encoded(x, mask), noise(model), prior).latents


def filtered(model, x, mask, state=()):
    """Beliefs, expectations and the state after the last tick."""
    return model.beliefs_of(model.encoded(x, mask), state)


@torch.no_grad()
def test_shapes(filter_):
    beliefs, _, state = filtered(filter_, *values())
    assert {k: v.mean.shape[2] for k, v in beliefs.items()} == {"w": 3, "shared": 2, "a": 2, "v": 2}
    assert all(v.mean.shape == v.precision.shape and v.mean.shape[:2] == (B, T) for v in beliefs.values())
    assert [tuple(v.shape) for v in state] == [(B, 10), (B, 3), (B, 3)]


@torch.no_grad()
def test_streamed_equals_whole(filter_):
    x, mask = values()
    whole, _, end = filtered(filter_, x, mask)
    state = filter_.initial_state(B)
    for t, tick in enumerate(Batch(x, mask).segments(1)):
        one, _, state = filtered(filter_, tick.x, tick.available, state)
        for name, belief in one.items():
            torch.testing.assert_close(belief.mean[:, 0], whole[name].mean[:, t])
            torch.testing.assert_close(belief.precision[:, 0], whole[name].precision[:, t])
    for streamed, at_once in zip(state, end, strict=True):
        torch.testing.assert_close(streamed, at_once)


@torch.no_grad()
def test_of_the_recent_past_too_streamed_equals_whole(model):
    torch.manual_seed(1)
    seeing = ForwardFilter(model, hidden=10, ticks=(2.0, 6.0), whiten=True)
    x, mask = values()
    seeing.fit_normalisation(Batch(*values(2)))
    layers = [layer for layer in seeing.modules() if isinstance(layer, WhitenedLinear)]
    assert [layer.in_features for layer in layers] == [4 + 2 * 9, 3 + 2 * 7]
    assert not any(torch.equal(layer.whitening, torch.eye(layer.in_features)) for layer in layers)
    whole = seeing.filter(Batch(x, mask))
    assert dict(zip(seeing.states, (s.shape[1] for s in whole.state), strict=True)) == {
        "h": 10, "w_precision": 3, "w_shift": 3, "recent": 2 * (9 + 7)
    }  # fmt: skip
    state, means = (), []
    for tick in Batch(x, mask).segments(1):
        found = seeing.filter(tick, state)
        state = found.state
        means.append(found.mean)
    torch.testing.assert_close(torch.cat(means, 1), whole.mean)
    for streamed, at_once in zip(state, whole.state, strict=True):
        torch.testing.assert_close(streamed, at_once)


def test_only_a_filter_that_looks_back_is_whitened(model):
    with pytest.raises(ValueError, match="give ticks"):
        ForwardFilter(model, whiten=True)


@torch.no_grad()
def test_the_future_never_changes_the_past(filter_):
    x, mask = values()
    before, _, _ = filtered(filter_, x, mask)
    later = {k: torch.cat([v[:, :5], v[:, 5:] + 3], 1) for k, v in x.items()}
    after, _, _ = filtered(filter_, later, mask)
    for name in before:
        assert torch.equal(before[name].mean[:, :5], after[name].mean[:, :5])
        assert not torch.equal(before[name].mean[:, 5:], after[name].mean[:, 5:])


@torch.no_grad()
def test_ws_precision_grows_at_every_tick_at_which_anything_is_present(filter_):
    x, mask = values()
    anything = mask["a"] | mask["v"]
    lam = filtered(filter_, x, mask)[0]["w"].precision
    growth = torch.diff(lam, dim=1, prepend=torch.ones(B, 1, 3))
    assert (growth[anything] > 0).all()
    assert (growth[~anything] == 0).all()


@torch.no_grad()
def test_with_nothing_present_w_is_its_prior(filter_):
    x, mask = values()
    nothing = {k: torch.zeros_like(v) for k, v in mask.items()}
    w = filtered(filter_, x, nothing)[0]["w"]
    assert torch.equal(w.mean, torch.zeros(B, T, 3))
    assert torch.equal(w.precision, torch.ones(B, T, 3))


def distance(filter_, x, available, fed):
    return distillation.distance(filter_, x, available, fed, smoothed(filter_.smoother, x, available), ())


def costs_and_gradients(filter_, x, available, fed):
    filter_.zero_grad()
    total = distance(filter_, x, available, fed).total
    total.backward()
    return total, [p.grad.clone() for p in filter_.parameters() if p.grad is not None]


def test_nan_under_the_mask_changes_nothing_gradients_included(filter_):
    x, available = values()
    fed = {k: v & (torch.arange(T) % 2 == 0) for k, v in available.items()}
    spoilt = {k: torch.where(available[k].unsqueeze(-1), v, torch.nan) for k, v in x.items()}
    total, gradients = costs_and_gradients(filter_, x, available, fed)
    again, same = costs_and_gradients(filter_, spoilt, available, fed)
    assert torch.equal(total, again)
    assert all(torch.equal(g, s) for g, s in zip(gradients, same, strict=True))
    assert all(torch.isfinite(g).all() for g in gradients)


def test_distilling_does_not_train_the_smoother(filter_):
    x, mask = values()
    costs_and_gradients(filter_, x, mask, mask)
    assert all(p.grad is None for p in filter_.smoother.parameters())


@torch.no_grad()
def test_the_loss_does_not_depend_on_the_order_of_the_dictionary(filter_):
    x, mask = values()
    total = distance(filter_, x, mask, mask).total
    x, mask = ({k: v[k] for k in reversed(v)} for v in (x, mask))
    assert torch.equal(distance(filter_, x, mask, mask).total, total)


def kl(p, q):
    p = torch.distributions.Normal(p.mean, p.precision.rsqrt())
    q = torch.distributions.Normal(q.mean, q.precision.rsqrt())
    return torch.distributions.kl_divergence(p, q).sum(-1).mean()


@torch.no_grad()
def test_beliefs_and_predictions_are_compared_with_their_tick_and_predictions_see_only_the_past(
    filter_, model
):
    x, mask = values()
    mask = {k: torch.ones_like(v) for k, v in mask.items()}
    smoother = smoothed(model, x, mask)
    beliefs, expected, _ = filtered(filter_, x, mask)
    w = Belief(*(part.unsqueeze(1).expand(-1, T, -1) for part in smoother["w"][:2]))
    by_hand = kl(w, beliefs["w"])
    for name in ("shared", "a", "v"):
        by_hand = by_hand + kl(smoother[name], beliefs[name]) + kl(smoother[name], expected[name])
    torch.testing.assert_close(distance(filter_, x, mask, mask).kl, by_hand)
    later = {k: torch.cat([v[:, :5], v[:, 5:] + 3], 1) for k, v in x.items()}
    _, after, _ = filtered(filter_, later, mask)
    for name in expected:
        assert torch.equal(expected[name].mean[:, :6], after[name].mean[:, :6])
        assert not torch.equal(expected[name].mean[:, 6:], after[name].mean[:, 6:])


TARGET = Modality("y", 1, role="target", likelihood="logit_normal", weight=3.0)


@pytest.fixture(scope="module")
def with_target():
    """A filter of an MDVAE with a target."""
    torch.manual_seed(2)
    return ForwardFilter(
        MDVAE(MDVAEConfig((*MODALITIES, TARGET), hidden=12, static=3, shared=2, private=2)), 10
    ).eval()


def labelled(seed=1):
    x, mask = values(seed)
    g = torch.Generator().manual_seed(seed + 1)
    known = torch.rand(B, T, generator=g) < 0.7
    return x | {"y": torch.rand(B, T, 1, generator=g)}, mask | {"y": known}


@torch.no_grad()
def test_w_and_the_shared_latent_are_integrated_out_of_the_target(with_target):
    x, mask = values()
    decoder = with_target.decoder["y"]
    torch.nn.init.normal_(decoder.of_z.weight, std=0.7)
    prediction = with_target.filter(Batch(x, mask)).prediction["y"]
    beliefs, _, _ = filtered(with_target, x, mask)
    z = torch.cat([beliefs["w"].mean, beliefs["shared"].mean], -1)
    std = torch.cat([beliefs[k].precision.rsqrt() for k in ("w", "shared")], -1)
    g = torch.Generator().manual_seed(0)
    draws = z + std * torch.randn(20_000, *z.shape, generator=g)
    of_z, b = decoder.of_z.weight[0], decoder.of_z.bias[0]
    _, raw = decoder(z).chunk(2, -1)
    own = logit_scale(raw).squeeze(-1) * torch.randn(draws.shape[:-1], generator=g)
    y = torch.sigmoid(draws @ of_z + b + own)
    torch.testing.assert_close(prediction.mean.squeeze(-1), y.mean(0), atol=0.01, rtol=0)
    torch.testing.assert_close(prediction.std.squeeze(-1), y.std(0), atol=0.01, rtol=0)
    low, high = torch.quantile(y, torch.tensor([0.05, 0.95]), dim=0)
    torch.testing.assert_close(prediction.low.squeeze(-1), low, atol=0.015, rtol=0)
    torch.testing.assert_close(prediction.high.squeeze(-1), high, atol=0.015, rtol=0)


@torch.no_grad()
def test_surprise_is_that_of_the_decoders_at_the_prediction(with_target):
    x, mask = values()
    surprise = with_target.filter(Batch(x, mask)).surprise
    _, expected, _ = filtered(with_target, x, mask)
    t = 4
    z = {k: b.mean[:, t] for k, b in expected.items()}
    parameters = with_target.smoother.decoder["a"](torch.cat([z["w"], z["shared"], z["a"]], -1))
    location, raw = parameters.chunk(2, -1)
    by_hand = -torch.distributions.Laplace(location, scale(raw)).log_prob(x["a"][:, t]).sum(-1)
    torch.testing.assert_close(surprise["a"][:, t], by_hand * mask["a"][:, t])


@torch.no_grad()
def test_the_smoothers_target_is_no_input_of_the_filter(with_target):
    x, mask = labelled()
    prediction = with_target.filter(Batch(x, mask)).prediction["y"]
    del x["y"], mask["y"]
    without = with_target.filter(Batch(x, mask)).prediction["y"]
    assert torch.equal(prediction.mean, without.mean)


def test_every_parameter_gets_a_gradient_and_a_missing_label_has_no_effect(with_target):
    x, available = labelled()
    fed = {k: v & (torch.arange(T) % 3 > 0) for k, v in available.items()}

    def go(x):
        with_target.zero_grad()
        losses = with_target.loss(Batch(x, available), fed, generator=generator())
        losses.total.backward()
        own = {k: p for k, p in with_target.named_parameters() if not k.startswith("smoother.")}
        return losses, [p.grad.clone() for p in own.values()]

    losses, gradients = go(x)
    assert losses.nll.keys() == {"y"}
    torch.testing.assert_close(losses.total, losses.kl + 3 * losses.nll["y"])  # λ
    assert all((g != 0).any() for g in gradients)
    spoilt = {k: torch.where(available[k].unsqueeze(-1), v, torch.nan) for k, v in x.items()}
    again, same = go(spoilt)
    assert torch.equal(losses.total, again.total)
    assert torch.equal(losses.kl, again.kl)
    assert all(torch.equal(g, s) for g, s in zip(gradients, same, strict=True))


@torch.no_grad()
def test_the_filters_w_before_a_segment_is_the_smoothers_prior(with_target):
    x, mask = values()
    state = with_target.full_state(filtered(with_target, x, mask)[2], B)
    known = state.w_shift / state.w_precision, state.w_precision
    fresh, later = (smoothed(with_target.smoother, x, mask, prior)["w"] for prior in (None, known))
    torch.testing.assert_close(later.precision - fresh.precision, state.w_precision - 1)
    shift = later.precision * later.mean - fresh.precision * fresh.mean
    torch.testing.assert_close(shift, state.w_shift, atol=1e-4, rtol=1e-4)
    losses = with_target.loss(Batch(x, mask), mask, state[:3], generator=generator())
    latents = smoothed(with_target.smoother, x, mask, known)
    by_hand = distillation.distance(with_target, x, mask, mask, latents, state[:3])
    assert torch.equal(losses.kl, by_hand.kl)
    assert torch.equal(losses.total, by_hand.total)


def test_kalmans_filter_is_the_conditional_mean():
    """Against the joint Gaussian of states and observations, solved at once."""
    rng = np.random.default_rng(0)
    ticks = 6
    _, x = linear_toy.simulate(rng, 4, ticks)
    present = rng.random(x.shape) < 0.7
    lags = np.abs(np.subtract.outer(np.arange(ticks), np.arange(ticks)))
    covariance = linear_toy.VARIANCE * linear_toy.A**lags
    means = linear_toy.kalman(x, present)
    for stream in range(len(x)):
        for t in range(ticks):
            seen = np.flatnonzero(present[stream, : t + 1])
            observed = covariance[np.ix_(seen, seen)] + np.eye(len(seen))
            exact = covariance[t, seen] @ np.linalg.solve(observed, x[stream, seen])
            np.testing.assert_allclose(means[stream, t], exact, rtol=1e-6, atol=1e-9)
