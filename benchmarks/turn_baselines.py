"""What models of CONVERSE's ratings are compared with: mean, clock, the partner's condition, and ridge."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from datasets.converse import Conversation
from turn_factors import Predicted, batch_labels, labels, parts, people_of, stretch_of
from turn_models import PATTERNS, TARGET, OnMeans, batch_of, spoilt

from enrapt.models import Batch
from enrapt.models.baselines import PENALTIES, Sums
from enrapt.models.metrics import rmse
from enrapt.models.target import HALF_WIDTH


class Ridge:
    """On the exponential means that ours sees, and their squares, of both speakers or of the person alone."""

    def __init__(self, batch: Batch) -> None:
        self.means = OnMeans(batch)

    def features(self, batch: Batch, names: Sequence[str]) -> np.ndarray:
        seen = self.means.seen(batch).x["partner" if len(names) > 1 else "own"]
        roots, model = seen[batch.available[TARGET]], self.means.means
        k = roots.shape[-1]
        roots = roots * model.feature_scale[:k] + model.feature_center[:k]
        return torch.cat([roots, roots**2], -1).double().numpy()

    def fitted(
        self, some: Sequence[Conversation], batch: Batch, names: Sequence[str]
    ) -> tuple[Callable[[Batch], np.ndarray], float, float]:
        """A regression of everybody; its penalty, stretch and error are those of people left out."""
        x, y = self.features(batch, names), batch_labels(batch)
        person = people_of(some)

        def sums(rows: np.ndarray) -> Sums:
            found = Sums(x.shape[1])
            found.add(x[rows], y[rows])
            return found

        out = [np.isin(person, sorted(part)) for part in parts(some)]
        others = [sums(~rows) for rows in out]

        def predicted(penalty: float) -> np.ndarray:
            means = np.empty_like(y)
            for rows, found in zip(out, others, strict=True):
                weights = found.ridge(penalty)
                means[rows] = x[rows] @ weights[1:] + weights[0]
            return means

        penalty = min(PENALTIES, key=lambda p: rmse(y, predicted(float(p))))
        means = predicted(float(penalty))
        factor = stretch_of(y, means)
        error = rmse(y, y.mean() + factor * (means - y.mean()))
        weights = sums(np.ones(len(y), bool)).ridge(float(penalty))
        return (lambda b: self.features(b, names) @ weights[1:] + weights[0]), factor, error


def stretched(mean: np.ndarray, factor: float, centre: float, error: float) -> Predicted:
    mean = np.clip(centre + factor * (mean - centre), 0, 1)
    return Predicted(mean, np.clip(mean - HALF_WIDTH * error, 0, 1), np.clip(mean + HALF_WIDTH * error, 0, 1))


def simple(train_on: Sequence[Conversation], others: Sequence[Conversation]) -> dict[str, Predicted]:
    """Predictions of models that see no speech, at the turns of others."""
    y = labels(train_on)

    def regression(columns: Callable[[Conversation, float], list[float]]) -> np.ndarray:
        x, to = (
            np.array([columns(c, t.end) for c in people for t in c.turns]) for people in (train_on, others)
        )
        sums = Sums(x.shape[1])
        sums.add(x, y)
        weights = sums.ridge(1e-5)
        return to @ weights[1:] + weights[0]

    def clock(c: Conversation, end: float) -> list[float]:
        return [(end / 600) ** power for power in (1, 2, 3)]

    def condition(c: Conversation, end: float) -> list[float]:
        return [float(c.condition == "high"), float(c.condition == "medium")]

    n = sum(len(c.turns) for c in others)
    means = {
        "mean": np.full(n, y.mean()),
        "clock": regression(clock),
        "condition (oracle)": regression(condition),
    }
    return {name: stretched(mean, 1.0, y.mean(), float(y.std())) for name, mean in means.items()}


def fixed_predictions(
    some: list[Conversation], others: list[Conversation]
) -> dict[tuple[str, str], Predicted]:
    """Of all of these, by name and pattern of missing speakers."""
    batch, test = batch_of(some), batch_of(others)
    found: dict[tuple[str, str], Predicted] = {}
    for name, one in simple(some, others).items():
        for pattern in PATTERNS:
            found[name, pattern] = one
    centre, ridge = float(batch_labels(batch).mean()), Ridge(batch)
    for pattern, names in PATTERNS.items():
        regression, factor, error = ridge.fitted(some, batch, names)
        found["ridge", pattern] = stretched(regression(test), factor, centre, error)
        found["ridge, errors", pattern] = stretched(regression(spoilt(test, 0)), factor, centre, error)
        found["ridge as fitted", pattern] = stretched(regression(test), 1.0, centre, error)
    return found
