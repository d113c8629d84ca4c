"""study/consensus.py: the evaluator-weighted estimator by hand, and on made-up raters."""

import math

import numpy as np
import pytest

from enrapt.study.agreement import concordance, correlation
from enrapt.study.consensus import consensus, evaluator_weights, ticks, weighted
from enrapt.study.ratings import Intervals, Trace
from enrapt.study.simulated_raters import simulate

NAN = math.nan


def test_weights_are_correlations_with_the_mean_of_all_and_never_negative():
    rows = np.array([[1.0, 2, 3, 4], [1, 2, 4, 3], [4, 3, 2, 1]])
    found = evaluator_weights([rows])
    assert found[0] == pytest.approx(correlation(rows[0], rows.mean(0)))
    assert found[2] == 0
    np.testing.assert_array_equal(evaluator_weights([np.array([[1.0, 2, 3]])]), [1])
    np.testing.assert_array_equal(evaluator_weights([np.ones((2, 3))]), [1, 1])


def test_the_weighted_mean_and_its_spread_are_of_those_who_rated():
    values, spread = weighted(
        np.array([[0, 1, NAN, NAN], [1, NAN, NAN, 0.5], [9, 9, NAN, 9]]), np.array([3, 1, 0])
    )
    np.testing.assert_allclose(values, [0.25, 1, NAN, 0.5])
    np.testing.assert_allclose(spread, [math.sqrt(0.75 * 0.0625 + 0.25 * 0.5625), NAN, NAN, NAN])


def test_the_consensus_of_made_up_raters_is_nearer_to_the_truth_without_their_lags():
    scores = []
    for seed in range(5):
        person = simulate(np.random.default_rng(seed))
        times = np.arange(len(person.truth)) / 10
        labels = [Trace("abcd"[k], "engagement", times, row) for k, row in enumerate(person.ratings)]
        for features, lags in (([person.features], True), (None, False)):
            found = consensus([labels], [(0.0, times[-1])], features, lags=lags)
            scores.append(concordance(found.values[0], person.truth))
    with_lags, without = np.array(scores).reshape(-1, 2).T
    assert with_lags.min() > 0.9
    assert (with_lags > without + 0.05).all()


def test_raters_of_different_sessions_are_rows_of_one_table():
    labels = [
        [Trace("anna", "e", [0, 1], [0.5, 0.5])],
        [Intervals("ben", "e", [0], [1], [0.25], [NAN])],
    ]
    found = consensus(labels, [(0.0, 1.0), (0.0, 1.0)], lags=False)
    assert found.raters == ("anna", "ben")
    assert np.isnan(found.before[0][1]).all()
    np.testing.assert_array_equal(found.values[0], np.full(11, 0.5))
    np.testing.assert_array_equal(found.values[1], [0.25] * 10 + [NAN])
    assert np.isnan(found.spread[0]).all()


def test_ticks_are_within_the_session():
    np.testing.assert_allclose(ticks((2.0, 2.35)), [2.0, 2.1, 2.2, 2.3])
    assert len(ticks((0.0, 0.3))) == 4
    assert consensus([], []).raters == ()
