import numpy as np
import pytest

from enrapt.models.metrics import auc, concordance, coverage, pearson, rmse


def test_concordance_of_equals_is_one_and_a_shift_costs():
    x = np.array([0.0, 1.0, 2.0, 3.0])
    assert concordance(x, x) == pytest.approx(1)
    # By hand: variances 1.25, covariance 1.25, shift 1.
    assert concordance(x, x + 1) == pytest.approx(2 * 1.25 / (1.25 + 1.25 + 1))
    assert concordance(x, -x + 3) == pytest.approx(-1)


def test_coverage_and_rmse():
    truth = np.array([0.1, 0.5, 0.9, 0.2])
    assert coverage(truth, truth - np.array([0, 0.1, -0.1, 1]), truth + 0.1) == 0.75
    assert rmse(truth, truth + 0.3) == pytest.approx(0.3)


def test_pearson_is_numpys_and_ignores_scale_and_shift():
    x, noise = np.random.default_rng(0).normal(size=(2, 200))
    assert pearson(x, x + noise) == pytest.approx(np.corrcoef(x, x + noise)[0, 1])
    assert pearson(x, 5 - 3 * x) == pytest.approx(-1)
    assert pearson(x, np.ones(200)) == 0


def test_auc_counts_pairs_in_the_right_order_ties_half():
    rng = np.random.default_rng(0)
    truth, score = rng.random(60) < 0.4, rng.integers(0, 8, 60) / 8.0
    pairs = [(a > b) + 0.5 * (a == b) for a in score[truth] for b in score[~truth]]
    assert auc(truth, score) == pytest.approx(np.mean(pairs))
    assert auc(truth, truth.astype(float)) == 1
    assert np.isnan(auc(np.ones(3), score[:3]))
