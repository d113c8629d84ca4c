from typing import get_args

import numpy as np
import pytest

from benchmarks.datasets.linked import DIMS, NOISE, SPEED, Link, simulate

LINKS = get_args(Link)


@pytest.mark.parametrize("link", LINKS)
def test_observations_are_clean_values_and_independent_noise(link):
    clean, x = simulate(np.random.default_rng(0), link, 2000, 20)
    noise = {m: x[m] - clean[m] for m in DIMS}
    for m, dim in DIMS.items():
        assert x[m].shape == (2000, 20, dim)
        assert x[m].dtype == np.float32
        assert noise[m].std() == pytest.approx(NOISE, rel=0.02)
        assert abs(noise[m].mean()) < 0.002
    assert abs(np.mean(noise["a"] * noise["b"])) < 0.02 * NOISE**2


@pytest.mark.parametrize("link", LINKS)
def test_a_seed_repeats_its_sequences(link):
    first, second = (simulate(np.random.default_rng(5), link, 3, 4) for _ in range(2))
    assert all(np.array_equal(first.x[m], second.x[m]) for m in DIMS)


def test_a_spiral_runs_outwards_and_counterclockwise_at_constant_speed():
    clean, _ = simulate(np.random.default_rng(0), "spiral", 100, 40)
    (x, r), (y, r_again) = np.moveaxis(clean["a"], -1, 0), np.moveaxis(clean["b"], -1, 0)
    assert np.array_equal(r, r_again)
    np.testing.assert_allclose(np.hypot(x, y), r, rtol=1e-5)
    assert (np.diff(r) >= 0).all()
    steps = np.diff(np.unwrap(np.arctan2(y, x)))
    np.testing.assert_allclose(steps, steps[:, :1].repeat(39, 1), atol=1e-4)
    assert steps.min() >= SPEED[0] - 1e-4
    assert steps.max() <= SPEED[1] + 1e-4


@pytest.mark.parametrize("link", ["quadratic", "sinusoid"])
def test_a_oscillates_with_variance_1_at_speeds_of_its_own(link):
    a = simulate(np.random.default_rng(0), link, 4000, 40).clean["a"].astype(np.float64)
    assert a.mean() == pytest.approx(0, abs=0.02)
    np.testing.assert_allclose(a.var((0, 1)), 1, rtol=0.03)
    # cos(θ − ω) + cos(θ + ω) = 2 cos ω cos θ: one ω for all ticks of a sequence's coordinate
    sums, middle = a[:, :-2] + a[:, 2:], a[:, 1:-1]
    twice_cosine = (sums * middle).sum(1) / np.square(middle).sum(1)
    np.testing.assert_allclose(sums, twice_cosine[:, None] * middle, atol=1e-5)
    assert twice_cosine.min() >= 2 * np.cos(SPEED[1]) - 1e-5
    assert twice_cosine.max() <= 2 * np.cos(SPEED[0]) + 1e-5
    assert abs(np.corrcoef(twice_cosine.T)[0, 1]) < 0.05


def test_the_quadratic_link():
    clean, _ = simulate(np.random.default_rng(0), "quadratic", 50, 10)
    (a1, a2), (b1, b2) = np.moveaxis(clean["a"], -1, 0), np.moveaxis(clean["b"], -1, 0)
    np.testing.assert_allclose(b1 - a1, a2**2, atol=1e-5)
    np.testing.assert_allclose(b2 - a2, a1**2, atol=1e-5)


def test_the_sinusoidal_link():
    clean, _ = simulate(np.random.default_rng(0), "sinusoid", 50, 10)
    (a1, a2), (b1, b2) = np.moveaxis(clean["a"], -1, 0), np.moveaxis(clean["b"], -1, 0)
    np.testing.assert_allclose(b1 + b2, 2 * np.sin(a1) * np.cos(a2), atol=1e-5)
    np.testing.assert_allclose(b1 - b2, 2 * np.cos(a1) * np.sin(a2), atol=1e-5)
