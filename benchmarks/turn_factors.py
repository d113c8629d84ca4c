"""Measured on people whom a model was not trained on: how far to stretch its estimates, and how wide its 90 %
interval has to be."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from datasets.converse import Conversation
from scipy.special import logit
from turn_models import PATTERNS, TARGET, Gru, Ours, batch_of, widen

from enrapt.models import Batch
from enrapt.models.metrics import pearson

FOLD_SEED: Final = 18
INNER: Final = 4  # one in so many training people is left out
MOST: Final = 2.5  # an estimate is not stretched by more
TRIALS: Final = 3  # in which stretching and the width of the interval are fitted in turn
Split = tuple[list[Conversation], list[Conversation]]


class Factors(NamedTuple):
    """On the distance of estimates from their centre, as logits, and on the predictive scale."""

    stretch: float
    widening: float


def folds(people: Sequence[str], count: int, seed: int) -> list[set[str]]:
    order = np.random.default_rng(seed).permutation(sorted(set(people), key=lambda name: name.zfill(8)))
    return [set(order[k::count]) for k in range(count)]


def without(some: Sequence[Conversation], people: set[str]) -> Split:
    """Those of others, and of these people."""
    return [c for c in some if c.person not in people], [c for c in some if c.person in people]


def batch_labels(batch: Batch) -> np.ndarray:
    return batch.x[TARGET][batch.available[TARGET]][:, 0].double().numpy()


def inner_split(some: Sequence[Conversation]) -> tuple[Batch, Batch, list[str]]:
    """Most of the people to train on, the others to measure on, and whose each of their rated turns is."""
    most, others = without(some, folds([c.person for c in some], INNER, FOLD_SEED + 1)[0])
    return batch_of(most), batch_of(others), [c.person for c in others for _ in c.turns]


def stretch_of(truth: np.ndarray, mean: np.ndarray, most: float = MOST) -> float:
    """The factor on estimates, 1 to `most`, after which their standard deviation is r^⅔ of the truth's."""
    r = max(pearson(truth, mean), 0.0)
    return float(np.clip(r ** (2 / 3) * truth.std() / max(mean.std(), 1e-9), 1.0, most))


def stretch(model: Ours | Gru, factor: float, centre: float) -> None:
    """Of the location of its target's distribution, a logit, around a centre from 0 to 1."""
    with torch.no_grad():
        if isinstance(model, Ours):
            decoder = model.model.target_decoder(model.model.by_name[TARGET])
            decoder.of_z.weight *= factor
            assert decoder.of_h is not None
            last = decoder.of_h[-1]
        else:
            last = model.model.head[TARGET][-1]
        last.weight[0] *= factor
        last.bias[0] = factor * last.bias[0] + (1 - factor) * float(logit(centre))


def measured(trial: Ours | Gru, held: Batch, people: Sequence[str], centre: float) -> Factors:
    """By people whom `trial` was not trained on; changes it."""
    factor, widening = 1.0, 1.0
    for _ in range(TRIALS):  # a wider distribution on a bounded scale has its mean nearer to the middle
        more = stretch_of(batch_labels(held), trial.predict(held, PATTERNS["both"]).mean, MOST / factor)
        stretch(trial, more, centre)
        factor *= more
        if isinstance(trial, Ours):
            widening = widen(trial, held, people)
    return Factors(factor, widening)


def apply(model: Ours | Gru, factors: Factors, centre: float) -> None:
    """Take over the factors that were measured with another one."""
    stretch(model, factors.stretch, centre)
    if isinstance(model, Ours):
        target = model.model.by_name[TARGET]
        model.model.target_decoder(target).widening.fill_(factors.widening)
