"""One trace of several raters': their delay taken out, then the evaluator-weighted estimator, and its spread.

Grimm and Kroschel (2005, Evaluation of natural emotions using self assessment manikins, ASRU): the consensus
is the mean of the ratings, weighted by each rater's correlation with the mean of all; a weight below 0 is 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .agreement import correlation, mean
from .lags import estimate_lags, without_lag
from .ratings import Label

Array = NDArray[np.float64]

RATE: Final = 10.0  # ticks per second; far above what a rater's hand can do


@dataclass(frozen=True, slots=True)
class Consensus:
    """The consensus of the raters of one dimension over several sessions.

    Attributes:
        raters: the names, in the order of rows.
        lags: s, of each rater; NaN: not known, and taken as 0.
        weights: of each rater, 0 to 1; those of all raters with a weight, not their shares.
        before: by session, ratings as they were made, `[R, N]`, NaN where not rated.
        ratings: by session, without the raters' lags.
        values: by session, the consensus, `[N]`; NaN where nobody rated.
        spread: by session, the weighted standard deviation of the ratings around it, `[N]`; NaN where fewer
            than two rated.
    """

    raters: tuple[str, ...]
    lags: Array
    weights: Array
    before: tuple[Array, ...]
    ratings: tuple[Array, ...]
    values: tuple[Array, ...]
    spread: tuple[Array, ...]


def consensus(
    sessions: Sequence[Sequence[Label]],
    spans: Sequence[tuple[float, float]],
    features: Sequence[Array | None] | None = None,
    *,
    rate: float = RATE,
    lags: bool = True,
) -> Consensus:
    """The consensus of the labels of each session, all of one dimension.

    Args:
        spans: s; of each session. Ticks are `span[0] + k / rate`; see `ticks`.
        features: of each session, `[N, D]` at its ticks: they give the lag that all raters share.
        lags: take the raters' lags out. Wrong for values of whole turns, which are rated afterwards.
    """
    raters = tuple(sorted({label.rater for labels in sessions for label in labels}))
    before = [
        on_ticks(labels, raters, ticks(span, rate)) for labels, span in zip(sessions, spans, strict=True)
    ]
    late = estimate_lags(before, rate, features) if lags and before else np.full(len(raters), np.nan)
    ratings = [
        np.stack([without_lag(row, lag, rate) for row, lag in zip(rows, late, strict=True)])
        for rows in before
    ]
    weights = evaluator_weights(ratings)
    merged = [weighted(rows, weights) for rows in ratings]
    return Consensus(
        raters,
        late,
        weights,
        tuple(before),
        tuple(ratings),
        tuple(values for values, _ in merged),
        tuple(spread for _, spread in merged),
    )


def ticks(span: tuple[float, float], rate: float = RATE) -> Array:
    """The times, s, at which the ratings of a session are compared."""
    return span[0] + np.arange(math.floor((span[1] - span[0]) * rate + 1e-6) + 1) / rate


def on_ticks(labels: Sequence[Label], raters: Sequence[str], times: Array) -> Array:
    """The ratings at those times, `[R, N]`: a row of NaN for a rater without labels."""
    rows = np.full((len(raters), len(times)), np.nan)
    for label in labels:
        rows[raters.index(label.rater)] = label.at(times)
    return rows


def evaluator_weights(sessions: Sequence[Array]) -> Array:
    """The correlation of each rater with the mean of all raters over all sessions, at least 0, `[R]`.

    1 for all, if there is one rater or no correlation is above 0.
    """
    rows = np.concatenate(sessions, 1) if sessions else np.zeros((0, 0))
    everyone = mean(rows)
    found = np.array([correlation(row, everyone) for row in rows], float)
    weights = np.maximum(np.nan_to_num(found), 0.0)
    return weights if weights.any() else np.ones(len(rows))


def weighted(rows: Array, weights: Array) -> tuple[Array, Array]:
    """Weighted mean and standard deviation of the ratings at each tick, `[N]` each; see `Consensus`."""
    there = ~np.isnan(rows) & (weights[:, None] > 0)
    shares = np.where(there, weights[:, None], 0.0)
    total = shares.sum(0)
    shares = shares / np.where(total > 0, total, 1.0)
    filled = np.where(there, rows, 0.0)
    values = (shares * filled).sum(0)
    spread = np.sqrt((shares * (filled - values) ** 2 * there).sum(0))
    count = there.sum(0)
    return np.where(count > 0, values, np.nan), np.where(count > 1, spread, np.nan)
