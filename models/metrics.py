"""Scores of an estimate against the truth."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Array = NDArray[np.floating]


def concordance(truth: Array, estimate: Array) -> float:
    """Lin's (1989) concordance correlation coefficient, over all elements; NaN where both are the
    same constant."""
    truth, estimate = truth.ravel().astype(np.float64), estimate.ravel().astype(np.float64)
    covariance = ((truth - truth.mean()) * (estimate - estimate.mean())).mean()
    spread = truth.var() + estimate.var() + (truth.mean() - estimate.mean()) ** 2
    return float(2 * covariance / spread) if spread > 0 else float("nan")


def pearson(truth: Array, estimate: Array) -> float:
    """Pearson's correlation, over all elements; 0 where one of them is constant."""
    truth, estimate = truth.ravel().astype(np.float64), estimate.ravel().astype(np.float64)
    spread = truth.std() * estimate.std()
    covariance = ((truth - truth.mean()) * (estimate - estimate.mean())).mean()
    return float(covariance / spread) if spread > 0 else 0.0


def coverage(truth: Array, low: Array, high: Array) -> float:
    """Share of true values inside the interval."""
    return float(np.mean((low <= truth) & (truth <= high)))


def rmse(truth: Array, estimate: Array) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(np.mean(np.square(truth.astype(np.float64) - estimate))))


def auc(truth: Array, score: Array) -> float:
    """Area under the ROC curve: the probability that a positive scores higher than a negative, ties counting
    half (Mann & Whitney 1947); NaN where the truth is all 0 or all 1."""
    positive = truth.ravel() > 0.5
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    ranks = rankdata(score.ravel())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))
