import numpy as np
import pytest
import torch

from enrapt.models.datasets import linear_toy
from enrapt.models.forward_filter import ForwardFilter
from enrapt.models.mdvae import MDVAE, MDVAEConfig
from enrapt.models.modality import Modality

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


def noise(model):
    return model.noise(B, T, torch.Generator().manual_seed(5))


@torch.no_grad()
def test_shapes(filter_):
    beliefs, state = filter_(*values(), filter_.initial_state(B))
    assert {k: v.mean.shape[2] for k, v in beliefs.items()} == {"w": 3, "shared": 2, "a": 2, "v": 2}
    assert all(v.mean.shape == v.precision.shape and v.mean.shape[:2] == (B, T) for v in beliefs.values())
    assert [tuple(v.shape) for v in state] == [(B, 10), (B, 3), (B, 3)]


@torch.no_grad()
def test_streamed_equals_whole(filter_):
    x, mask = values()
    whole, end = filter_(x, mask, filter_.initial_state(B))
    state = filter_.initial_state(B)
    for t in range(T):
        one, state = filter_(
            {k: v[:, [t]] for k, v in x.items()}, {k: v[:, [t]] for k, v in mask.items()}, state
        )
        for name, belief in one.items():
            torch.testing.assert_close(belief.mean[:, 0], whole[name].mean[:, t])
            torch.testing.assert_close(belief.precision[:, 0], whole[name].precision[:, t])
    for streamed, at_once in zip(state, end, strict=True):
        torch.testing.assert_close(streamed, at_once)


@torch.no_grad()
def test_the_future_never_changes_the_past(filter_):
    x, mask = values()
    before, _ = filter_(x, mask, filter_.initial_state(B))
    later = {k: torch.cat([v[:, :5], v[:, 5:] + 3], 1) for k, v in x.items()}
    after, _ = filter_(later, mask, filter_.initial_state(B))
    for name in before:
        assert torch.equal(before[name].mean[:, :5], after[name].mean[:, :5])
        assert not torch.equal(before[name].mean[:, 5:], after[name].mean[:, 5:])


@torch.no_grad()
def test_what_is_known_of_w_grows_with_every_tick_at_which_anything_is_present(filter_):
    x, mask = values()
    anything = mask["a"] | mask["v"]
    lam = filter_(x, mask, filter_.initial_state(B))[0]["w"].precision
    growth = torch.diff(lam, dim=1, prepend=torch.ones(B, 1, 3))
    assert (growth[anything] > 0).all()
    assert (growth[~anything] == 0).all()


@torch.no_grad()
def test_with_nothing_present_w_is_its_prior(filter_):
    x, mask = values()
    nothing = {k: torch.zeros_like(v) for k, v in mask.items()}
    w = filter_(x, nothing, filter_.initial_state(B))[0]["w"]
    assert torch.equal(w.mean, torch.zeros(B, T, 3))
    assert torch.equal(w.precision, torch.ones(B, T, 3))


def loss_and_gradients(filter_, model, x, available, fed):
    filter_.zero_grad()
    losses = filter_.loss(model, x, available, fed, noise(model))
    sum(losses.values()).backward()
    return losses, [p.grad.clone() for p in filter_.parameters()]


def test_nan_under_the_mask_changes_nothing_gradients_included(model, filter_):
    x, available = values()
    fed = {k: v & (torch.arange(T) % 2 == 0) for k, v in available.items()}
    spoilt = {k: torch.where(available[k].unsqueeze(-1), v, torch.nan) for k, v in x.items()}
    losses, gradients = loss_and_gradients(filter_, model, x, available, fed)
    again, same = loss_and_gradients(filter_, model, spoilt, available, fed)
    assert all(torch.equal(losses[k], again[k]) for k in losses)
    assert all(torch.equal(g, s) for g, s in zip(gradients, same, strict=True))
    assert all(torch.isfinite(g).all() for g in gradients)


def test_distilling_leaves_the_smoother_alone(model, filter_):
    x, mask = values()
    model.zero_grad()
    loss_and_gradients(filter_, model, x, mask, mask)
    assert all(p.grad is None for p in model.parameters())


@torch.no_grad()
def test_the_loss_does_not_depend_on_the_order_of_the_dictionary(model, filter_):
    x, mask = values()
    losses = filter_.loss(model, x, mask, mask, noise(model))
    x, mask = ({k: v[k] for k in reversed(v)} for v in (x, mask))
    again = filter_.loss(model, x, mask, mask, noise(model))
    assert all(torch.equal(losses[k], again[k]) for k in losses)


@torch.no_grad()
def test_with_a_lag_beliefs_are_held_against_the_smoother_that_many_ticks_before(model):
    lagged = ForwardFilter(model, hidden=10, lag=3)
    x, mask = values()
    mask = {k: torch.ones_like(v) for k, v in mask.items()}
    smoother = model.encode(x, mask, noise(model))
    beliefs, _ = lagged(x, mask, lagged.initial_state(B))
    losses = lagged.loss(model, x, mask, mask, noise(model))

    def kl(p, q, cut_p, cut_q):
        p = torch.distributions.Normal(p.mean[:, cut_p], p.precision[:, cut_p].rsqrt())
        q = torch.distributions.Normal(q.mean[:, cut_q], q.precision[:, cut_q].rsqrt())
        return torch.distributions.kl_divergence(p, q).sum(-1).mean()

    expected = kl(smoother["shared"], beliefs["shared"], slice(0, T - 3), slice(3, None))
    torch.testing.assert_close(losses["shared"], expected)


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
