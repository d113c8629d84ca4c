"""How well a model does on simulated people whom it has not seen, for every pattern of missing modalities."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .config import Config
from .metrics import Array, concordance, coverage, pearson, rmse
from .missing import bursts
from .mm_vrnn import MMVRNN
from .training import Batch, simulate

# Round numbers from which no training round and no normalisation draws its people.
VALIDATION: Final = 2**31 - 2_000  # for choosing
TEST: Final = 2**31 - 1_000  # for reporting, once
GROUPS: Final = 6  # of people; engagement is slow, so a few people more or less are soon worth 0.05 of CCC
PEOPLE: Final = 128  # in a group
BURST_SECONDS, GAP_SECONDS = 3.0, 6.0


class Predictions(NamedTuple):
    """Of one pattern, all `[P, T]`; surprise by modality, NaN where missing."""

    mean: Array
    low: Array
    high: Array
    surprise: dict[str, Array]


class Group(NamedTuple):
    """Held-out people, and what is seen of them by pattern, bool `[P, T]` by input."""

    batch: Batch
    seen: dict[str, dict[str, Tensor]]


def held_out(config: Config, seed: int, people: int, groups: int = GROUPS) -> Iterator[Group]:
    """Groups of people of whom no model has seen any. The patterns are: everything (as far as the sensors
    gave it), each modality alone, and bursts in which any may be missing."""
    inputs = [m.name for m in config.model.of_role("observed", "context")]
    burst, gap = BURST_SECONDS * config.rate, GAP_SECONDS * config.rate
    for group in range(people, people + groups):
        batch = simulate(config, seed, group, PEOPLE)
        rng = np.random.default_rng((seed, group, 1))
        there = {name: batch.available[name] for name in inputs}
        seen = {"all": there}
        if len(inputs) > 1:
            seen |= {f"{name} only": {name: there[name]} for name in inputs}
        ticks = there[inputs[0]].shape[1]
        hidden = {name: bursts(rng, PEOPLE, ticks, burst, gap) for name in inputs}
        seen["bursts"] = {k: v & ~torch.from_numpy(hidden[k].copy()) for k, v in there.items()}
        yield Group(batch, seen)


@torch.no_grad()
def predict(model: MMVRNN, batch: Batch, seen: dict[str, Tensor]) -> Predictions:
    """Filter whole sessions."""
    state = model.initial_state(len(next(iter(seen.values()))))
    prediction, surprise, _ = model.predict({k: batch.x[k] for k in seen}, seen, state)
    mean, low, high = (v.squeeze(-1).numpy() for v in (prediction.mean, prediction.low, prediction.high))
    return Predictions(
        mean, low, high, {k: torch.where(seen[k], v, torch.nan).numpy() for k, v in surprise.items()}
    )


def evaluate(model: MMVRNN, config: Config, seed: int, people: int = TEST) -> dict[str, dict[str, float]]:
    """Scores by pattern on held-out people; with everything present also the 99th percentile of each
    modality's surprise."""
    truths: list[Array] = []
    predicted: dict[str, list[Predictions]] = {}
    for batch, seen in held_out(config, seed, people):
        truths.append(batch.x[model.target.name].squeeze(-1).numpy())
        for pattern, masks in seen.items():
            predicted.setdefault(pattern, []).append(predict(model, batch, masks))
    truth = np.concatenate(truths)
    results = {}
    for pattern, groups in predicted.items():
        mean, low, high = (np.concatenate([getattr(g, k) for g in groups]) for k in ("mean", "low", "high"))
        results[pattern] = {
            "ccc": concordance(truth, mean),
            "pearson": pearson(truth, mean),
            "rmse": rmse(truth, mean),
            "coverage90": coverage(truth, low, high),
        }
    for m in model.decoded:
        values = np.concatenate([g.surprise[m.name] for g in predicted["all"]])
        results["all"][f"surprise99_{m.name}"] = float(np.nanquantile(values, 0.99))
    return results
