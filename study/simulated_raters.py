"""Made-up raters of a made-up person, whose lags are known: what estimates of lags are measured with.

The true value is smooth (a Gaussian process with a bell-shaped spectrum), between 0 and 1. A rater sees it
late, on a scale of their own, drifts slowly, trembles, and moves the control in small steps. Features follow
the true value without delay, each with noise of its own.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Simulated:
    """Attributes:
    truth: `[N]`, 0 to 1.
    ratings: `[R, N]`, NaN until the rater's first reaction.
    lags: s, `[R]`.
    features: `[N, D]`.
    """

    truth: Array
    ratings: Array
    lags: Array
    features: Array


def simulate(
    rng: np.random.Generator,
    *,
    seconds: float = 300.0,
    rate: float = 10.0,
    raters: int = 4,
    features: int = 20,
    scale: float = 2.0,
    noise: float = 0.2,
    longest: float = 4.0,
    lags: Array | None = None,
) -> Simulated:
    """One session.

    Args:
        scale: s; the standard deviation of the kernel that makes the true value smooth.
        noise: of a rater, slow drift and trembling each, as a share of the true value's deviation.
        longest: s; lags are uniform from 0 to this.
        lags: s; those of the raters, instead.
    """
    lags = rng.uniform(0, longest, raters) if lags is None else lags
    spare = int(np.ceil((lags.max() + 1) * rate))
    count = round(seconds * rate)
    wave = smooth_noise(rng, count + spare, scale * rate)
    truth = 1 / (1 + np.exp(-1.5 * wave))
    rows = [rated(rng, truth, lag, rate=rate, spare=spare, scale=scale, noise=noise) for lag in lags]
    mixing = rng.normal(size=(features, 2))
    clean = np.stack([wave[spare:], np.tanh(wave[spare:])], 1) @ mixing.T
    blur = np.stack([smooth_noise(rng, count, 0.2 * rate) for _ in range(features)], 1)
    return Simulated(truth[spare:], np.array(rows), lags, clean + clean.std(0) * blur)


def rated(
    rng: np.random.Generator,
    truth: Array,
    lag: float,
    *,
    rate: float,
    spare: int = 0,
    scale: float = 2.0,
    noise: float = 0.2,
) -> Array:
    """One rater's trace of a true value, NaN until the first reaction.

    Args:
        truth: `[spare + N]`; the first `spare` values are before the trace begins.
        scale, noise: as of `simulate`.
    """
    count, deviation = len(truth) - spare, truth.std()
    at = np.arange(count) + spare - lag * rate
    seen = np.interp(at, np.arange(len(truth)), truth)
    drift = noise * deviation * smooth_noise(rng, count, 4 * scale * rate)
    tremble = noise * deviation * smooth_noise(rng, count, 0.3 * rate)
    row: Array = rng.uniform(0.6, 1.4) * (seen - 0.5) + 0.5 + rng.uniform(-0.2, 0.2) + drift + tremble
    row = np.round(row, 2).astype(np.float64)
    row[: int(np.ceil(lag * rate))] = np.nan
    return row


def smooth_noise(rng: np.random.Generator, count: int, sigma: float) -> Array:
    """A stationary Gaussian process of unit variance; its kernel has that standard deviation, in ticks."""
    reach = int(np.ceil(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    return np.convolve(rng.normal(size=count + 2 * reach), kernel, "valid")
