"""How well an estimate follows the truth."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def concordance(truth: Array, estimate: Array) -> float:
    """Lin's (1989) concordance correlation coefficient, over all elements."""
    truth, estimate = truth.ravel().astype(np.float64), estimate.ravel().astype(np.float64)
    covariance = ((truth - truth.mean()) * (estimate - estimate.mean())).mean()
    spread = truth.var() + estimate.var() + (truth.mean() - estimate.mean()) ** 2
    return float(2 * covariance / spread)


def pearson(truth: Array, estimate: Array) -> float:
    """Pearson's correlation, over all elements; 0 where one of them is constant."""
    truth, estimate = truth.ravel().astype(np.float64), estimate.ravel().astype(np.float64)
    spread = truth.std() * estimate.std()
    covariance = ((truth - truth.mean()) * (estimate - estimate.mean())).mean()
    return float(covariance / spread) if spread > 0 else 0.0


def coverage(truth: Array, low: Array, high: Array) -> float:
    """Share of the truth inside the interval."""
    return float(np.mean((low <= truth) & (truth <= high)))


def rmse(truth: Array, estimate: Array) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(np.mean(np.square(truth.astype(np.float64) - estimate))))
