"""One factor on a target's predictive scale, so that its 90 % interval holds 90 % of new people's labels.

A model that has seen few people is too sure of the next one. People whom it was not trained on tell by how
much: the smallest factor with which the interval holds 90 % of their labels. Each person counts the same,
however much of them is labelled, and so does each pattern of missing modalities: the labels of a person
depend on each other, so it is people who stand for new people (Dunn, Wasserman and Ramdas 2023,
Distribution-free prediction sets for two-layer hierarchical models, JASA: "pooling CDFs").

Few people say little of the next one, whom the interval would hold too rarely. As for the interval of a new
draw after n draws of a normal distribution whose mean is known, the factor is multiplied by the quantile of
Student's t with n degrees of freedom over the normal's, with n people: 1.30 of 4, 1.10 of 10, 1.01 of 100.
This takes a person for one draw, which is on the safe side.

The people must not be those of the test.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from scipy.special import logit
from scipy.stats import t as student

from .batch import Batch
from .by_person import indexed
from .causal import Causal
from .data import Arrays, Data, Recordings, by_length
from .evaluation import Predicted, patterns, predict
from .likelihoods import EDGE, SCALED
from .metrics import Array
from .model import Model
from .target import HALF_WIDTH

HELD: Final = 0.9  # share of the labels
LIMITS: Final = 0.1, 10.0  # of the factor
# By person and pattern: the factor that each label needs, in one or more arrays.
Needed = dict[str, dict[str, list[Array]]]


def calibrate(model: Model, data: Data, rate: int, seed: int) -> dict[str, float]:
    """Fit the factor of each target that has a scale on the validation people, and keep it in the model.

    Fitted again it is the same: the factor before plays no part. Without a label of a target, and in models
    that do not predict causally, it is 1.

    Args:
        rate: ticks per second.

    Returns:
        The factor by target.
    """
    reset(model)
    found: dict[str, float] = {}
    if not isinstance(model, Causal):
        return found
    targets = [m for m in model.targets if m.likelihood in SCALED]
    needed: dict[str, Needed] = {m.name: {} for m in targets}
    model.eval()
    for number, (names, batch) in enumerate(_people(data, seed, model.axes)):
        seen = patterns(model.modalities, rate, batch, np.random.default_rng((seed, number, 5)))
        for pattern, masks in seen.items():
            predicted = predict(model, batch, masks).targets
            for m in targets:
                for row, name in enumerate(names):
                    known = batch.available[m.name][row].numpy() if m.name in batch.x else np.zeros(0, bool)
                    if known.any():
                        y = batch.x[m.name][row].flatten(1).numpy()[known]
                        own = Predicted(*(part[row][known] for part in predicted[m.name]))
                        factors = factors_needed(m.likelihood, y, own)
                        needed[m.name].setdefault(name, {}).setdefault(pattern, []).append(factors)
    for m in targets:
        if needed[m.name]:
            found[m.name] = widening(needed[m.name])
            model.widening(m).fill_(found[m.name])
    return found


def reset(model: Model) -> None:
    """Set the factors to 1: those that a model has are of other weights."""
    if isinstance(model, Causal):
        for m in model.targets:
            model.widening(m).fill_(1.0)


def widening(needed: Needed) -> float:
    """The smallest factor with which the intervals hold 90 % of the labels, times `for_new_people`; within
    `LIMITS`."""
    values, weights = [], []
    for by_pattern in needed.values():
        for several in by_pattern.values():
            factors = np.concatenate(several)
            values.append(factors)
            weights.append(np.full(len(factors), 1 / (len(needed) * len(by_pattern) * len(factors))))
    factors, shares = np.concatenate(values), np.concatenate(weights)
    order = np.argsort(factors)
    place = int(np.searchsorted(shares[order].cumsum(), HELD - 1e-9))
    found = factors[order][min(place, len(order) - 1)] * for_new_people(len(needed))
    return float(found.clip(*LIMITS))


def for_new_people(number: int) -> float:
    """The factor on the width of an interval that holds 90 % of that many people, for it to hold others."""
    return float(student.ppf((1 + HELD) / 2, number)) / HALF_WIDTH


def factors_needed(likelihood: str, y: Array, predicted: Predicted) -> Array:
    """By how much the interval of each label would have to be wider, or narrower, to end there, `[N · D]`."""
    return np.abs(places(likelihood, y, predicted)).ravel()


def places(likelihood: str, y: Array, predicted: Predicted) -> Array:
    """Where labels are in their intervals: -1 at the lower end, 0 in the middle, 1 at the upper end.
    Of a logit-normal that is on the logit."""
    y, low, high = (part.astype(np.float64) for part in (y, predicted.low, predicted.high))
    if likelihood == "logit_normal":
        y, low, high = logit(y.clip(EDGE, 1 - EDGE)), logit(low.clip(1e-9)), logit(high.clip(0, 1 - 1e-7))
    centre, reach = (low + high) / 2, (high - low) / 2
    found: Array = (y - centre) / np.maximum(reach, 1e-9)
    return found


def _people(data: Data, seed: int, axes: int) -> Iterator[tuple[list[str], Batch]]:
    """Validation people, `[P, T]`, with their names; each sequence or sample of arrays is a person."""
    if isinstance(data, Recordings):
        names = [person for person, _ in indexed(data.folder, "validation")]
        sessions = data.read("validation")
        for group in by_length(sessions):
            yield [names[k] for k in group], data.batch([sessions[k] for k in group])
        return
    for number, batch in data.held_out(seed, "validation", groups=1):
        batch = batch.map(lambda v: v.unsqueeze(1)) if axes == 1 and isinstance(data, Arrays) else batch
        yield [f"{number}.{row}" for row in range(batch.size)], batch
