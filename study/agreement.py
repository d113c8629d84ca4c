"""How far raters agree: concordance, intraclass correlation, Krippendorff's alpha.

Ratings are float64 `[R, N]`, one row a rater, NaN where a rater did not rate. Coefficients are NaN where they
are not defined: fewer than two raters or targets, or no variance at all.

Ticks of a trace are not independent: a coefficient over them describes these sessions, and no confidence
interval that takes them for independent is right.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def concordance(a: ArrayLike, b: ArrayLike) -> float:
    """Concordance (Lin 1989) of what both rated: 2 s_ab / (s_a² + s_b² + (ā − b̄)²)."""
    x, y = np.asarray(a, float), np.asarray(b, float)
    both = ~(np.isnan(x) | np.isnan(y))
    x, y = x[both], y[both]
    if len(x) < 2:
        return math.nan
    below = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    return float(2 * ((x - x.mean()) * (y - y.mean())).mean() / below) if below > 0 else math.nan


def correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Pearson's correlation of what both rated."""
    x, y = np.asarray(a, float), np.asarray(b, float)
    both = ~(np.isnan(x) | np.isnan(y))
    x, y = x[both], y[both]
    if len(x) < 2:
        return math.nan
    x, y = x - x.mean(), y - y.mean()
    below = math.sqrt((x @ x) * (y @ y))
    return float(x @ y / below) if below > 0 else math.nan


def pairwise(ratings: ArrayLike) -> Array:
    """Concordance of each pair of raters, `[R, R]`; 1 on the diagonal."""
    rows = np.asarray(ratings, float)
    found = np.eye(len(rows))
    for i in range(len(rows)):
        for j in range(i):
            found[i, j] = found[j, i] = concordance(rows[i], rows[j])
    return found


def against_the_rest(ratings: ArrayLike) -> Array:
    """Concordance of each rater with the mean of the others, `[R]`."""
    rows = np.asarray(ratings, float)
    return np.array([concordance(row, mean(np.delete(rows, k, 0))) for k, row in enumerate(rows)], float)


def mean(ratings: ArrayLike) -> Array:
    """The mean of those who rated, `[N]`; NaN where nobody did."""
    rows = np.asarray(ratings, float)
    there = ~np.isnan(rows)
    count = there.sum(0)
    total = np.where(there, rows, 0.0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def intraclass(ratings: ArrayLike) -> tuple[float, float]:
    """ICC(2,1) and ICC(2,k) of Shrout and Fleiss (1979): raters and targets are random, agreement absolute.

    The first is of one rater, the second of the mean of all. Targets that somebody did not rate are left out.
    """
    rows = np.asarray(ratings, float)
    if rows.ndim != 2:
        return math.nan, math.nan
    rows = rows[:, ~np.isnan(rows).any(0)]
    k, n = rows.shape
    if k < 2 or n < 2:
        return math.nan, math.nan
    grand, targets, raters = rows.mean(), rows.mean(0), rows.mean(1)
    between = k * ((targets - grand) ** 2).sum() / (n - 1)  # mean squares: BMS, JMS, EMS
    judges = n * ((raters - grand) ** 2).sum() / (k - 1)
    error = ((rows - targets - raters[:, None] + grand) ** 2).sum() / ((n - 1) * (k - 1))
    single = between + (k - 1) * error + k * (judges - error) / n
    average = between + (judges - error) / n
    above = between - error
    return (
        float(above / single) if single > 0 else math.nan,
        float(above / average) if average > 0 else math.nan,
    )


def krippendorff(ratings: ArrayLike, level: str = "interval") -> float:
    """Krippendorff's alpha (Computing Krippendorff's alpha-reliability, 2011), with missing values.

    Args:
        level: `interval`, or `ordinal`. The ordinal metric between two values is the squared difference of
            their places in the order, the middle one of those with the same value: so alpha is the interval
            one of these places.
    """
    rows = np.asarray(ratings, float)
    rows = rows[:, (~np.isnan(rows)).sum(0) >= 2]  # a unit with one value has no pair
    there = ~np.isnan(rows)
    n = int(there.sum())
    if n < 2:
        return math.nan
    if level == "ordinal":
        rows = rows.copy()
        _, place, count = np.unique(rows[there], return_inverse=True, return_counts=True)
        rows[there] = (np.cumsum(count) - count / 2)[place]
    elif level != "interval":
        raise ValueError(f"level {level!r}")
    values = np.where(there, rows - rows[there].mean(), 0.0)
    units = there.sum(0)
    # The sum of squared differences of all pairs of m values is m Σx² − (Σx)².
    observed = ((units * (values**2).sum(0) - values.sum(0) ** 2) / (units - 1)).sum()
    expected = n * (values**2).sum() - values.sum() ** 2
    return float(1 - (n - 1) * observed / expected) if expected > 0 else math.nan
