"""A linear state and its noisy observation, with the exact filter of Kalman (1960).

z_t = a z_{t-1} + q N(0, 1),  z_1 from the stationary distribution;  x_t = z_t + N(0, 1)
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

A: Final = 0.95
Q: Final = 0.5  # low enough that x is much less autocorrelated than z
VARIANCE: Final = Q**2 / (1 - A**2)  # of z


def simulate(rng: np.random.Generator, streams: int, ticks: int) -> tuple[NDArray[np.float32], ...]:
    """States z and observations x, each `[streams, ticks]`."""
    z = np.empty((streams, ticks))
    z[:, 0] = np.sqrt(VARIANCE) * rng.normal(size=streams)
    for t in range(1, ticks):
        z[:, t] = A * z[:, t - 1] + Q * rng.normal(size=streams)
    x = z + rng.normal(size=z.shape)
    return z.astype(np.float32), x.astype(np.float32)


def kalman(x: NDArray[np.floating], present: NDArray[np.bool_]) -> NDArray[np.float64]:
    """E[z_t | x_{1:t} where present], `[streams, ticks]`."""
    mean, variance = np.zeros(len(x)), np.full(len(x), VARIANCE)
    means = np.empty(x.shape)
    for t in range(x.shape[1]):
        if t:
            mean, variance = A * mean, A**2 * variance + Q**2
        gain = np.where(present[:, t], variance / (variance + 1), 0.0)
        mean = mean + gain * (np.where(present[:, t], x[:, t], 0.0) - mean)
        variance = (1 - gain) * variance
        means[:, t] = mean
    return means
