"""The particle filter of `benchmarks/upper_bound.py` against exact answers."""

import importlib
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PEOPLE, TICKS, PARTICLES = 6, 300, 400


@pytest.fixture
def bound(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("engagement_filter"), importlib.import_module("simulated_cues")


def test_the_people_are_those_of_the_held_out_groups(bound):
    from enrapt.models.data import FIRST
    from enrapt.models.datasets.conversation import simulate

    seen = bound[1].see(0, 1, PEOPLE, TICKS)
    sessions = simulate(np.random.default_rng((0, FIRST["test"] + 1)), PEOPLE, TICKS, bound[1].RATE)
    np.testing.assert_array_equal(seen.engagement, sessions.values["engagement"][..., 0].T)
    for name in ("face", "audio"):
        np.testing.assert_array_equal(seen.there[name], sessions.available[name].T)


def test_without_cues_the_estimate_is_what_is_expected_of_anybody(bound):
    module, cues = bound
    seen = cues.see(0, 0, PEOPLE, TICKS)
    course = module.follow(seen, (), 4000, True, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    anybody = 1 / (1 + np.exp(-rng.normal(0.3, np.hypot(0.7, 1.0), 100_000)))
    assert course.mean[0] == pytest.approx(anybody.mean(), abs=0.02)
    assert course.low[0] == pytest.approx(np.quantile(anybody, 0.05), abs=0.03)
    assert course.high[0] == pytest.approx(np.quantile(anybody, 0.95), abs=0.03)


def test_a_resting_place_and_its_drift_are_filtered_as_by_a_kalman_filter(bound):
    """One particle of a constant engagement: the mean after n ticks is that of a plain implementation."""
    module, cues = bound
    seen = cues.see(0, 0, 1, 40)
    particles = module.Particles(seen, 1, True, np.random.default_rng(0))
    shifts, noise, there = module.Shifts(seen), np.array([0.3]), np.array([True])
    mean, cov, watched = np.zeros(2), np.diag([81.0, float(seen.restless[0]) ** 2]), np.ones(2)
    move, fresh = np.diag([1, cues.DRIFT]), np.diag([0, (1 - cues.DRIFT**2) * float(seen.restless[0]) ** 2])
    for value in np.random.default_rng(2).normal(3, 1, 40):
        got = shifts.drifting(particles, np.full((1, 1), value, np.float32), noise, there)
        total = watched @ cov @ watched + 0.3
        error = value - watched @ mean
        assert got[0, 0] == pytest.approx(-0.5 * error**2 / total, rel=1e-3, abs=1e-4)
        gain = cov @ watched / total
        mean, cov = mean + gain * error, cov - np.outer(gain, watched @ cov)
        mean, cov = move @ mean, move @ cov @ move.T + fresh
    np.testing.assert_allclose(particles.place[:, 0, 0], mean, rtol=1e-3, atol=1e-3)


def test_more_is_known_with_more_cues_and_later(bound):
    from enrapt.models.metrics import rmse

    module, cues = bound
    seen = cues.see(0, 0, 32, TICKS)

    def error(names, course="mean"):
        found = module.follow(seen, names, PARTICLES, True, np.random.default_rng(0))
        return rmse(seen.engagement, getattr(found, course))

    every = error(tuple(cues.CUES))
    assert every < 0.8 * error(())
    assert error(tuple(cues.CUES), "smooth") < every
