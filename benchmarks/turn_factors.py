"""An ensemble of models of everybody, and what people tell of it whom other such models leave out.

They tell how far to stretch its estimates, and how wide its 90 % interval has to be. The prediction is that
of `enrapt.models.ensemble`. For the people whom a model left out, it stands for the ensemble: its error has
the variance of an ensemble's and, beyond it, that between models (Krogh and Vedelsby 1995), which is
subtracted.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from datasets.converse import Conversation
from scipy.special import expit, logit
from turn_models import TARGET, Located

from enrapt.models import Batch
from enrapt.models.calibration import Needed, widening
from enrapt.models.likelihoods import NODES, WEIGHTS
from enrapt.models.metrics import pearson
from enrapt.models.target import HALF_WIDTH

FOLD_SEED: Final = 18
MEMBERS: Final = 5
EXPONENT: Final = 1 / 3
MOST: Final = 3.0  # an estimate is not stretched by more
TRIALS: Final = 4  # in which stretching and the width of the interval are fitted in turn
LEAST_SHARE: Final = 0.25  # of the estimates' variance that is left in the ensemble
Split = tuple[list[Conversation], list[Conversation]]


class Predicted(NamedTuple):
    """At each rated turn's end, `[N]`, from 0 to 1."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Factors(NamedTuple):
    """On the distance of estimates from their centre, as logits, and on the predictive scale."""

    stretch: float
    widening: float


AS_FITTED: Final = Factors(1.0, 1.0)


class LeftOut(NamedTuple):
    """Turns of people whom a model was not trained on, `[N]`.

    Attributes:
        truth: labels, 0 to 1.
        people: whose.
        found: by pattern of missing speakers.
        between: variance between the models' locations by pattern; 0 for a prediction by one of them.
    """

    truth: np.ndarray
    people: np.ndarray
    found: dict[str, Located]
    between: dict[str, np.ndarray]

    def of_one(self) -> "LeftOut":
        """What they tell of a single model of everybody."""
        return self._replace(between={pattern: np.zeros_like(v) for pattern, v in self.between.items()})


def folds(people: Sequence[str], count: int, seed: int) -> list[set[str]]:
    order = np.random.default_rng(seed).permutation(sorted(set(people), key=lambda name: name.zfill(8)))
    return [set(order[k::count]) for k in range(count)]


def without(some: Sequence[Conversation], people: set[str]) -> Split:
    """Those of others, and of these people."""
    return [c for c in some if c.person not in people], [c for c in some if c.person in people]


def parts(some: Sequence[Conversation]) -> list[set[str]]:
    """The people whom each of the models leaves out that stand for the ensemble."""
    return folds([c.person for c in some], MEMBERS, FOLD_SEED + 1)


def people_of(some: Sequence[Conversation]) -> np.ndarray:
    """Whose each rated turn is."""
    return np.array([c.person for c in some for _ in c.turns])


def labels(some: Sequence[Conversation]) -> np.ndarray:
    """Of each rated turn, 0 to 1."""
    return np.array([t.engagement for c in some for t in c.turns])


def batch_labels(batch: Batch) -> np.ndarray:
    return batch.x[TARGET][batch.available[TARGET]][:, 0].double().numpy()


def mixture(members: Sequence[Located]) -> Located:
    """The normal distribution with the mean and variance of the members' mixture."""
    location, scale = (np.stack(v) for v in zip(*members, strict=True))
    return Located(location.mean(0), np.sqrt((scale**2).mean(0) + location.var(0)))


def predicted(members: Sequence[Located], factors: Factors, centre: float) -> Predicted:
    """The ensemble's, or that of a single member, its members stretched around a centre from 0 to 1."""
    middle = logit(centre)
    stretched = [m._replace(location=middle + factors.stretch * (m.location - middle)) for m in members]
    location, scale = mixture(stretched)
    scale = factors.widening * scale
    mean = expit(location[:, None] + scale[:, None] * NODES.numpy()) @ WEIGHTS.numpy()
    return Predicted(mean, expit(location - HALF_WIDTH * scale), expit(location + HALF_WIDTH * scale))


def stretch_of(truth: np.ndarray, mean: np.ndarray, share: float = 1.0, most: float = MOST) -> float:
    """The factor on estimates, 1 to `most`, after which their standard deviation is r^⅓ of the truth's.

    Args:
        share: of the estimates' variance that is left in the ensemble; the rest says nothing of the truth.
    """
    r = min(max(pearson(truth, mean), 0.0) / share**0.5, 1.0)
    return float(np.clip(r**EXPONENT * truth.std() / max(mean.std() * share**0.5, 1e-9), 1.0, most))


def left_out(some: Sequence[Conversation], models: Sequence[dict[str, Located]]) -> LeftOut:
    """Of each rated turn, what the model says that left the person out.

    Args:
        models: what each gives for all of these turns, by pattern; in the order of `parts`.
    """
    person, found, between = people_of(some), {}, {}
    which = np.argmax([np.isin(person, sorted(part)) for part in parts(some)], 0)
    for pattern in models[0]:
        location, scale = (np.stack(v) for v in zip(*(one[pattern] for one in models), strict=True))
        found[pattern] = Located(*(np.take_along_axis(v, which[None], 0)[0] for v in (location, scale)))
        between[pattern] = location.var(0)
    return LeftOut(labels(some), person, found, between)


def measured(out: LeftOut, centre: float) -> Factors:
    """Stretch by both speakers, width by both patterns, each person counting the same."""
    both, between = out.found["both"], float(out.between["both"].mean())
    share = max(1 - between / max(float(both.location.var()), 1e-9), LEAST_SHARE)
    stretch, wider = 1.0, 1.0
    for _ in range(TRIALS):  # a wider distribution on a bounded scale has its mean nearer to the middle
        mean = predicted([both], Factors(stretch, wider), centre).mean
        stretch *= stretch_of(out.truth, mean, share, MOST / stretch)
        wider = widened(out, stretch, centre)
    return Factors(stretch, wider)


def widened(out: LeftOut, stretch: float, centre: float) -> float:
    """The factor on the scale with which the 90 % interval holds 90 % of the labels of new people."""
    needed: Needed = {}
    middle = logit(centre)
    for pattern, found in out.found.items():
        errors = logit(out.truth) - middle - stretch * (found.location - middle)
        between = stretch**2 * out.between[pattern]
        squared = ((errors / HALF_WIDTH) ** 2 - between) / (found.scale**2 + between)
        factors = np.sqrt(np.maximum(squared, 0))
        for person in set(out.people):
            needed.setdefault(person, {})[pattern] = [factors[out.people == person]]
    return widening(needed)
