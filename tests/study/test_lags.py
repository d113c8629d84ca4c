"""study/lags.py: lags of made-up raters are found; a known shift exactly; missing values take no part."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrapt.study.lags import estimate_lags, without_lag
from enrapt.study.simulated_raters import simulate, smooth_noise

RATE = 10.0


def errors(seed, with_features, **options):
    person = simulate(np.random.default_rng(seed), **options)
    features = [person.features] if with_features else None
    expected = person.lags if with_features else person.lags - person.lags.min()
    return np.abs(estimate_lags([person.ratings], RATE, features) - expected)


@pytest.mark.parametrize("with_features", [True, False])
def test_lags_of_five_minutes_are_found_within_a_fifth_of_a_second(with_features):
    found = np.concatenate([errors(seed, with_features) for seed in range(15)])
    assert np.median(found) < 0.06
    assert found.max() < 0.2


@pytest.mark.parametrize("with_features", [True, False])
def test_more_sessions_of_the_same_raters_give_better_lags(with_features):
    lags = np.array([0.4, 1.3, 2.2, 3.6])
    people = [simulate(np.random.default_rng(s), lags=lags, noise=0.4) for s in range(6)]
    features = [p.features for p in people] if with_features else None
    found = estimate_lags([p.ratings for p in people], RATE, features)
    assert np.abs(found - lags + (0 if with_features else 0.4)).max() < 0.15


@settings(max_examples=20)
@given(st.integers(0, 60), st.integers(0, 1000))
def test_a_shift_by_whole_ticks_is_found_exactly(shift, seed):
    wave = smooth_noise(np.random.default_rng(seed), 3060, 20)
    rows = np.stack([wave[60:], wave[60 - shift : 3060 - shift]])
    assert estimate_lags([rows], RATE) == pytest.approx([0, shift / RATE], abs=0.01)


def test_missing_stretches_take_no_part():
    person = simulate(np.random.default_rng(5))
    rows = person.ratings.copy()
    rows[0, 500:900] = np.nan
    rows[1, 2000:2600] = np.nan
    found = estimate_lags([rows], RATE, [person.features])
    assert np.abs(found - person.lags).max() < 0.25
    features = person.features.copy()
    features[1200:1300] = np.nan
    assert np.abs(estimate_lags([rows], RATE, [features]) - person.lags).max() < 0.25


def test_a_rater_who_shares_no_time_with_others_has_no_lag():
    person = simulate(np.random.default_rng(1))
    rows = person.ratings.copy()
    rows[2] = np.nan
    found = estimate_lags([rows], RATE, [person.features])
    assert np.isnan(found).tolist() == [False, False, True, False]
    assert np.isnan(estimate_lags([np.full((3, 100), np.nan)], RATE)).all()
    assert len(estimate_lags([], RATE)) == 0


def test_one_rater_alone_has_a_lag_only_where_there_are_features():
    person = simulate(np.random.default_rng(2), raters=1)
    assert np.isnan(estimate_lags([person.ratings], RATE)).all()
    assert np.isnan(estimate_lags([person.ratings], RATE, [None])).all()
    assert np.abs(estimate_lags([person.ratings], RATE, [person.features]) - person.lags).max() < 0.25


@pytest.mark.parametrize("rows", [np.zeros((2, 3000)), np.zeros((2, 5)), np.zeros((2, 0))])
def test_traces_without_a_shape_have_no_lag(rows):
    assert np.isnan(estimate_lags([rows], RATE, [np.zeros((rows.shape[1], 2))])).all()


def test_a_lag_is_taken_out():
    row = np.arange(6.0)
    np.testing.assert_array_equal(without_lag(row, 0.2, RATE), [2, 3, 4, 5, math.nan, math.nan])
    np.testing.assert_allclose(without_lag(row, 0.15, RATE), [1.5, 2.5, 3.5, 4.5, math.nan, math.nan])
    np.testing.assert_array_equal(without_lag(row, math.nan, RATE), row)
    np.testing.assert_array_equal(without_lag(row, 0, RATE), row)


def test_sessions_shorter_than_the_smoothing_give_no_common_lag():
    rows, features = np.zeros((1, 50)), np.random.default_rng(0).normal(size=(50, 2))
    assert np.isnan(estimate_lags([rows], 10.0, [features])).all()
