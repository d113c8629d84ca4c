"""study/agreement.py: the published examples, exactly; bounds; what is not defined."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from enrapt.study.agreement import (
    against_the_rest,
    concordance,
    correlation,
    intraclass,
    krippendorff,
    mean,
    pairwise,
)

NAN = math.nan
# Shrout and Fleiss (1979), table 2: six targets by four judges.
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
).T
# Krippendorff (2011), Computing Krippendorff's alpha-reliability: four observers, twelve units.
KRIPPENDORFF = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)
ratings = arrays(float, st.tuples(st.integers(2, 4), st.integers(2, 12)), elements=st.integers(-9, 9))


def test_the_example_of_shrout_and_fleiss():
    single, average = intraclass(SHROUT_FLEISS)
    assert round(single, 2) == 0.29
    assert round(average, 2) == 0.62
    # From the mean squares of their table 3 with more digits: 11.24, 32.49, 1.02.
    assert single == pytest.approx(0.2897638, abs=1e-6)
    assert average == pytest.approx(0.6200505, abs=1e-6)


def test_targets_that_one_did_not_rate_are_left_out():
    more = np.concatenate([SHROUT_FLEISS, [[3], [NAN], [4], [9]]], 1)
    assert intraclass(more) == intraclass(SHROUT_FLEISS)


@pytest.mark.parametrize(("level", "alpha"), [("interval", 0.849), ("ordinal", 0.815)])
def test_the_example_of_krippendorff(level, alpha):
    assert round(krippendorff(KRIPPENDORFF, level), 3) == alpha


def by_coincidences(rows, level):
    """Alpha from the coincidence matrix and the metrics as they are printed."""
    rows = rows[:, (~np.isnan(rows)).sum(0) >= 2]
    values = np.unique(rows[~np.isnan(rows)])
    counts = np.array([(rows == value).sum(0) for value in values])  # [values, units]
    matrix = sum((np.outer(c, c) - np.diag(c)) / (c.sum() - 1) for c in counts.T)  # o_ck
    n = matrix.sum(0)
    metric = np.zeros_like(matrix)
    for i in range(len(values)):
        for j in range(i, len(values)):
            d = values[j] - values[i] if level == "interval" else n[i : j + 1].sum() - (n[i] + n[j]) / 2
            metric[i, j] = metric[j, i] = d**2
    expected = (np.outer(n, n) * metric).sum() / (n.sum() - 1)
    return 1 - (matrix * metric).sum() / expected if expected else NAN


@given(ratings, st.sampled_from(["interval", "ordinal"]), st.data())
def test_alpha_is_that_of_the_coincidence_matrix(rows, level, data):
    missing = data.draw(arrays(bool, rows.shape))
    rows = np.where(missing, NAN, rows)
    if (~np.isnan(rows)).sum(0).max() < 2:
        assert math.isnan(krippendorff(rows, level))
    else:
        np.testing.assert_allclose(krippendorff(rows, level), by_coincidences(rows, level), atol=1e-9)


def test_concordance_by_hand():
    # Means 2 and 3, variances 2/3, covariance 2/3: 2·2/3 / (2/3 + 2/3 + 1).
    assert concordance([1, 2, 3], [2, 3, 4]) == pytest.approx(4 / 7)
    assert concordance([1, 2, NAN, 3], [2, 3, 9, 4]) == pytest.approx(4 / 7)
    assert correlation([1, 2, 3], [2, 3, 4]) == pytest.approx(1)
    assert concordance([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)


@given(ratings)
def test_concordance_is_at_most_the_correlation_and_one_of_equals(rows):
    a, b = rows[:2]
    ccc, r = concordance(a, b), correlation(a, b)
    if not math.isnan(r):
        assert abs(ccc) <= abs(r) + 1e-9
    if a.std() > 0:
        assert concordance(a, a) == pytest.approx(1)
    np.testing.assert_array_equal(pairwise(rows), pairwise(rows).T)


def test_one_against_the_mean_of_the_rest():
    rows = np.array([[1, 2, 3, NAN], [1, 2, 3, 4], [2, 3, 4, 5]])
    assert against_the_rest(rows)[0] == pytest.approx(concordance([1, 2, 3], [1.5, 2.5, 3.5]))
    np.testing.assert_array_equal(mean([[1, NAN, NAN], [3, 4, NAN]]), [2, 4, NAN])


@pytest.mark.parametrize("rows", [np.zeros((0, 0)), np.ones((1, 5)), np.full((3, 4), NAN), np.ones((3, 1))])
def test_what_is_not_defined_is_nan(rows):
    assert all(map(math.isnan, intraclass(rows)))
    assert math.isnan(krippendorff(rows))
    assert all(map(math.isnan, against_the_rest(rows)))


def test_no_variance_is_nan():
    assert math.isnan(concordance([1, 1], [1, 1]))
    assert math.isnan(krippendorff(np.ones((2, 4))))
    assert math.isnan(intraclass(np.ones((2, 4)))[0])


def test_an_unknown_level():
    with pytest.raises(ValueError, match="nominal"):
        krippendorff(KRIPPENDORFF, "nominal")
