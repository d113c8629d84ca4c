"""How late raters react, and traces without that delay.

A rater sees or hears something, and moves the control some seconds later; Mariooryad and Busso (2015,
Correcting time-continuous emotional labels by modeling the reaction lag of evaluators, IEEE Trans. Affective
Computing 6(2)) found about 2 to 6 s. A constant lag of each rater is estimated in two steps:

1. Differences: the normalised cross-correlation of each pair of raters (Padfield 2012, masked: missing
   values take no part), at its maximum; then the lags that explain all pairs best, in least squares weighted
   by n r².
2. What all lags have in common cannot be seen in ratings alone. With features, it is where the raters' mean
   is best explained by their principal components, linearly: the maximum of R² over a shift, as in
   Mariooryad and Busso with mutual information. Without, the quickest rater has lag 0.

Traces are smoothed and differentiated before, both in the band of the signal: a slow drift of a rater, which
has no shape to align, otherwise moves the maximum.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .agreement import mean

Array = NDArray[np.float64]

LONGEST: Final = 6.0  # s; of a lag
SMOOTH: Final = 1.5  # s; standard deviation of the smoothing
_SECONDS_A_COMPONENT: Final = 20.0  # of features: more principal components would explain any trace
_NOTHING: Final = 1e-9  # of the largest variance
_WHOLE: Final = 0.95  # of the smoothing's kernel must be rated: half a kernel shifts what it smooths
_LEAST: Final = 20.0  # s that two raters, or a rater and features, must have in common


def estimate_lags(
    sessions: Sequence[Array], rate: float, features: Sequence[Array | None] | None = None
) -> Array:
    """The lag of each rater, s, `[R]`; NaN where a rater shares too little with the others.

    Args:
        sessions: ratings of each, `[R, N]` at `rate` per second, NaN where not rated.
        features: of each session `[N, D]` on the same ticks, NaN where missing.
    """
    shapes = [np.stack([shape_of(row, rate) for row in rows]) for rows in sessions]
    lags = _differences(shapes, rate)
    if alone := len(lags) == 1:
        lags[:] = 0.0
    if np.isnan(lags).all():
        return lags
    lags -= np.nanmin(lags)
    common = math.nan if features is None else _common(shapes, lags, features, rate)
    return lags if math.isnan(common) and not alone else lags + common


def without_lag(row: Array, lag: float, rate: float) -> Array:
    """A trace as it would be without a lag, s: earlier by it, with linear interpolation."""
    if math.isnan(lag) or not len(row):
        return row.copy()
    at = np.arange(len(row)) + lag * rate
    low = np.floor(at).astype(int)
    part = at - low
    inside = low + (part > 0) < len(row)
    first, second = np.minimum(low, len(row) - 1), np.minimum(low + 1, len(row) - 1)
    value = np.where(part > 0, row[first] * (1 - part) + row[second] * part, row[first])
    return np.where(inside & (low >= 0), value, np.nan)


def shape_of(row: Array, rate: float) -> Array:
    """How a trace changes: smoothed by a Gaussian, then differentiated; NaN near missing values."""
    sigma = SMOOTH * rate
    reach = math.ceil(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    there = ~np.isnan(row)
    if len(row) <= 2 * reach:
        return np.full(len(row), np.nan)
    filled = np.where(there, row, 0.0)
    weight = np.convolve(there.astype(float), kernel, "same")
    smooth = np.convolve(filled, kernel, "same") / np.where(weight > _WHOLE, weight, np.nan)
    change = np.gradient(smooth)
    change[~there] = np.nan
    return change


def _differences(shapes: list[Array], rate: float) -> Array:
    """Lags that explain the shifts between pairs, up to a constant."""
    count = len(shapes[0]) if shapes else 0
    rows, values, weights = [], [], []
    for i in range(count):
        for j in range(i):
            shift, r, n = _shift([s[i] for s in shapes], [s[j] for s in shapes], rate)
            if n >= _LEAST * rate and r > 0:
                row = np.zeros(count)
                row[i], row[j] = 1, -1
                rows.append(row)
                values.append(shift)
                weights.append(math.sqrt(n) * r)
    if not rows:
        return np.full(count, np.nan)
    weight = np.array(weights)
    design = np.array(rows) * weight[:, None]
    lags = np.linalg.lstsq(design, np.array(values) * weight, rcond=None)[0]
    lags[~np.any(design != 0, 0)] = np.nan
    return np.asarray(lags)


def _shift(late: Sequence[Array], early: Sequence[Array], rate: float) -> tuple[float, float, float]:
    """By how many seconds `late` is later, the correlation there, and how many ticks it rests on."""
    longest = round(LONGEST * rate)
    sums = np.zeros((6, 2 * longest + 1))
    for a, b in zip(late, early, strict=True):
        sums += _masked_sums(a, b, longest)
    n, a, b, aa, bb, ab = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (ab - a * b / n) / np.sqrt((aa - a * a / n) * (bb - b * b / n))
    r[~np.isfinite(r) | (n < _LEAST * rate)] = -1
    best = int(np.argmax(r))
    return (best + _vertex(r, best) - longest) / rate, float(r[best]), float(n[best])


def _masked_sums(a: Array, b: Array, longest: int) -> Array:
    """Sums over what both have, at each shift of `a` against `b`: 1, a, b, a², b², ab, `[6, shifts]`."""
    size = 1 << (len(a) + len(b)).bit_length()
    masks, values = [], []
    for x in (a, b):
        there = ~np.isnan(x)
        masks.append(there.astype(float))
        values.append(np.where(there, x, 0.0))
    fa, fb = (
        [np.fft.rfft(x, size) for x in (mask, value, value**2)]
        for mask, value in zip(masks, values, strict=True)
    )
    pairs = ((0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1))
    found = [np.fft.irfft(fa[p] * np.conj(fb[q]), size) for p, q in pairs]
    order = np.arange(-longest, longest + 1) % size
    result = np.stack(found)[:, order]
    result[0] = np.rint(result[0])
    return result


def _common(shapes: list[Array], lags: Array, features: Sequence[Array | None], rate: float) -> float:
    """The shift at which features explain the raters' mean best, s; NaN without features."""
    shifts = np.arange(round(LONGEST * rate) + 1)
    grams, products, powers, ticks = 0.0, [], [], 0
    for rows, given in zip(shapes, features, strict=True):
        if given is None:
            continue
        target = mean([without_lag(row, lag, rate) for row, lag in zip(rows, lags, strict=True)])
        changes = np.stack([shape_of(column, rate) for column in given.T], 1)
        if np.isnan(changes).all(0).any():  # shorter than the smoothing, or never whole for so long
            continue
        scale = np.nanstd(changes, 0)
        changes = changes / np.where(scale > 0, scale, 1.0)
        length = len(target) - len(shifts)
        if length < _LEAST * rate:
            continue
        window = np.lib.stride_tricks.sliding_window_view(target, length)[: len(shifts)]  # [shifts, length]
        basis = changes[:length]
        use = ~np.isnan(basis).any(1) & ~np.isnan(window).any(0)
        if use.sum() < _LEAST * rate:
            continue
        x = basis[use] - basis[use].mean(0)
        y = window[:, use] - window[:, use].mean(1, keepdims=True)
        grams = grams + x.T @ x
        products.append(y @ x)
        powers.append((y**2).sum(1))
        ticks += len(x)
    if not products:
        return math.nan
    product, total = np.sum(products, 0), np.sum(powers, 0)
    power, axes = np.linalg.eigh(np.asarray(grams))  # ascending
    kept = power > _NOTHING * power[-1]
    kept[: -max(round(ticks / rate / _SECONDS_A_COMPONENT), 1)] = False
    if not kept.any():
        return math.nan
    explained = ((product @ axes[:, kept]) ** 2 / power[kept]).sum(1) / np.maximum(total, 1e-300)
    best = int(np.argmax(explained))
    return float((best + _vertex(explained, best)) / rate)


def _vertex(curve: Array, best: int) -> float:
    """Where a parabola through the maximum and its neighbours has its own, from -0.5 to 0.5 steps."""
    if not 0 < best < len(curve) - 1:
        return 0.0
    left, middle, right = curve[best - 1 : best + 2]
    below = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / below, -0.5, 0.5)) if below < 0 else 0.0
