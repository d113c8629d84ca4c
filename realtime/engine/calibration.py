"""A person's profile from a minute of data: empirical Bayes, between the training data and the person.

Known before are the moments of the training data that the bundle declares: of each feature the mean, the
spread between people and within a person. n seconds of a person's own data give a mean and a spread, whose
error follows from the means of blocks, as neighbouring ticks are alike. The person's mean is shrunk towards
that of the training data by the precision of both (Morris 1983, Parametric empirical Bayes inference, JASA
78); how much further than people of the training data this person is from it, all features of the modality
tell together.

The estimate is mapped by a Bayesian linear regression of engagement's logit on the estimate's location: with
labels, on those; without, the person was neutral, with an engagement of `NEUTRAL` on the whole.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...bundle.bundle import Bundle
from ...bundle.metadata import Moments
from ...contracts.errors import UserError
from .engine import Engine, Values
from .profile import Mapped, Output, Profile, location_scale

Array = NDArray[np.float64]

USUAL: Final = 60.0  # s of data that a profile is made of
LEAST: Final = 5.0  # s of data with something present
NEUTRAL: Final = 0.5  # engagement of a neutral person

# Chosen on people of `benchmarks/calibration.py --people development`.
NEUTRAL_SPREAD: Final = 0.3  # logits; standard deviation of a neutral person's engagement around it
SETTLING: Final = 5.0  # s at the beginning, in which the model's state is not yet of this person
BLOCK: Final = 5.0  # s of features that count as one observation of their mean
LABEL_BLOCK: Final = 10.0  # s of labels that count as one: engagement changes slowly
MOST: Final = 3.0  # a spread is changed by no larger factor
OWN_SPREAD: Final = 0.35  # of a person's ln spread around the training data's
OFFSET: Final = 1.0  # logits; standard deviation of the offset before data
SLOPE: Final = 0.2  # the same of the slope, around 1
LABEL_EDGE: Final = 0.02  # labels are kept this far from 0 and 1 before the logit

_MEDIAN_CHI2: Final = 0.4549  # of one degree of freedom


def calibrate(
    bundle: Bundle,
    name: str,
    ticks: Sequence[Values],
    labels: Array | None = None,
    now: datetime | None = None,
) -> Profile:
    """The profile of a person.

    Args:
        ticks: the person's values at each tick, in order.
        labels: engagement at each of them, on [0, 1], NaN where there is none; None: the person was neutral.
        now: when the profile is made; None: now.

    Raises:
        UserError: there are less than `LEAST` seconds of data, or of labels with data.
    """
    metadata = bundle.metadata
    rate = metadata.rate
    modalities = {}
    for m in metadata.inputs:
        if m.role != "observed":
            continue
        rows = [value for values in ticks if (value := values.get(m.name)) is not None]
        if m.moments is not None and len(rows) >= LEAST * rate:
            shift, scale = fit_features(np.array(rows, np.float64), m.moments, round(BLOCK * rate))
            modalities[m.name] = Mapped(m.schema, _short(shift), _short(scale), len(rows) / rate)
    observed = [m.name for m in metadata.inputs if m.role == "observed"]
    present = np.array([any(values.get(name) is not None for name in observed) for values in ticks], bool)
    use = present if labels is None else present & ~np.isnan(labels)
    if use.sum() < LEAST * rate:
        what = "data" if labels is None else "data with labels"
        raise UserError(
            f"{use.sum() / rate:.1f} s of {what} are too little for a profile; give {LEAST:g} s or more"
        )
    profile = Profile(
        name=name,
        made=(now or datetime.now().astimezone()).isoformat(timespec="seconds"),
        bundle=metadata.name,
        bundle_sha256=metadata.sha256,
        seconds=round(int(present.sum()) / rate, 2),
        labelled=0.0 if labels is None else round(int(use.sum()) / rate, 2),
        modalities=modalities,
        output=Output(),
    )
    engine = Engine(bundle, profile=profile)
    location = np.array([location_scale(step.low, step.high)[0] for step in map(engine.step, ticks)])
    settled = use & (np.arange(len(ticks)) >= SETTLING * rate)
    use = settled if settled.sum() >= LEAST * rate / 2 else use
    block = round(LABEL_BLOCK * rate)
    if labels is None:
        output = neutral_output(location[use], block)
    else:
        y = labels[use].clip(LABEL_EDGE, 1 - LABEL_EDGE)
        output = labelled_output(location[use], np.log(y / (1 - y)), block)
    return msgspec.structs.replace(profile, output=output)


def fit_features(rows: Array, moments: Moments, block: int) -> tuple[Array, Array]:
    """The map of a modality's values, shift and scale, `[D]`.

    Args:
        rows: `[n, D]`, the person's values.
        block: how many of them make a block.
    """
    mean, between, within = (
        np.array(moment, np.float64) for moment in (moments.mean, moments.between, moments.within)
    )
    own, spread = rows.mean(0), rows.std(0)
    error = _variance_of_mean(rows, block)
    excess = ((own - mean) ** 2 - error) / np.maximum(between, 1e-9) ** 2
    further = max(1.0, float(np.median(excess[between > 0])) / _MEDIAN_CHI2) if between.any() else 1.0
    prior = further * between**2
    typical = mean + prior / (prior + error + 1e-18) * (own - mean)
    count = np.clip(within**2 / np.maximum(error, 1e-18), 1, len(rows))  # effective
    weight = OWN_SPREAD**2 / (OWN_SPREAD**2 + 1 / (2 * count))
    moving = (spread > 0) & (within > 0)
    ratio = np.where(moving, within / np.where(moving, spread, 1), 1.0)
    scale: Array = np.clip(ratio, 1 / MOST, MOST) ** weight
    shift: Array = mean - scale * typical
    return shift, scale


def _variance_of_mean(rows: Array, block: int) -> Array:
    """Of the mean of dependent rows, `[D]`: from the means of blocks of them."""
    blocks = len(rows) // block
    variance: Array = rows.var(0)
    if blocks > 1:
        variance = rows[: blocks * block].reshape(blocks, block, -1).mean(1).var(0, ddof=1) / blocks
    return variance


def neutral_output(location: Array, block: int) -> Output:
    """The map of a neutral person's estimates, whose locations are given, `[n]`: an offset."""
    level = math.log(NEUTRAL / (1 - NEUTRAL))
    blocks = max(1.0, len(location) / block)
    variance = NEUTRAL_SPREAD**2 + float(location.var()) / blocks
    weight = OFFSET**2 / (OFFSET**2 + variance)
    return Output(weight * (level - float(location.mean())), 1.0, weight * variance)


def labelled_output(location: Array, target: Array, block: int) -> Output:
    """The map of estimates whose locations and engagement's logit are given, both `[n]`.

    Rows of a block count as one. The variance is that of the mapped location at the mean of the given ones.
    """
    rows = np.stack([np.ones_like(location), location], -1)
    noise = max(float((target - location).var()), 0.1)
    per_block = 1 / (block * noise)
    precision = per_block * rows.T @ rows + np.diag([1 / OFFSET**2, 1 / SLOPE**2])
    covariance = np.linalg.inv(precision)
    offset, slope = covariance @ (per_block * rows.T @ target + np.array([0.0, 1 / SLOPE**2]))
    at = np.array([1.0, location.mean()])
    return Output(float(offset), float(max(slope, 0.1)), float(at @ covariance @ at))


def _short(values: Array) -> tuple[float, ...]:
    """Numbers of a file, in the digits that carry information."""
    return tuple(float(f"{x:.6g}") for x in values)
