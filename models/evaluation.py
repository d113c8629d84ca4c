"""How well a model does on simulated people whom it has not seen, for every pattern of missing modalities."""

from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .config import Config
from .metrics import concordance, coverage, rmse
from .missing import bursts
from .mm_vrnn import MMVRNN
from .training import Batch, simulate

# Round numbers that no training round and no normalisation has; with the seed they make disjoint people.
VALIDATION: Final = 2**31 - 2  # for choosing
TEST: Final = 2**31 - 3  # for reporting, once
PEOPLE: Final = 128
BURST_SECONDS, GAP_SECONDS = 3.0, 6.0


class Predictions(NamedTuple):
    """Of a pattern, all `[P, T]`; surprise by modality, NaN where missing."""

    mean: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    surprise: dict[str, NDArray[np.float32]]


def patterns(config: Config, batch: Batch, seed: int) -> dict[str, dict[str, Tensor]]:
    """What is seen in each pattern, bool `[P, T]` by input: everything (as the sensors gave it), each
    modality alone, and bursts in which any may be missing."""
    inputs = [m.name for m in config.model.of_role("observed", "context")]
    rng = np.random.default_rng((seed, TEST, 1))
    streams, ticks = batch.available[inputs[0]].shape
    seen = {"all": {name: batch.available[name] for name in inputs}}
    if len(inputs) > 1:
        for name in inputs:
            seen[f"{name} only"] = {name: batch.available[name]}
    burst, gap = BURST_SECONDS * config.rate, GAP_SECONDS * config.rate
    seen["bursts"] = {
        name: batch.available[name] & ~torch.from_numpy(bursts(rng, streams, ticks, burst, gap).copy())
        for name in inputs
    }
    return seen


@torch.no_grad()
def predict(model: MMVRNN, batch: Batch, seen: dict[str, Tensor]) -> Predictions:
    """Filter whole sessions."""
    state = model.initial_state(len(next(iter(seen.values()))))
    prediction, surprise, _ = model.predict({k: batch.x[k] for k in seen}, seen, state)
    return Predictions(
        *(getattr(prediction, k).squeeze(-1).numpy() for k in ("mean", "low", "high")),
        {k: torch.where(seen[k], v, torch.nan).numpy() for k, v in surprise.items()},
    )


def scores(truth: NDArray[np.float32], predicted: Predictions) -> dict[str, float]:
    return {
        "ccc": concordance(truth, predicted.mean),
        "rmse": rmse(truth, predicted.mean),
        "coverage90": coverage(truth, predicted.low, predicted.high),
    }


def evaluate(model: MMVRNN, config: Config, seed: int, people: int = TEST) -> dict[str, dict[str, float]]:
    """Scores by pattern on held-out people; with everything present also the 99th percentile of each
    modality's surprise."""
    batch = simulate(config, seed, people, PEOPLE)
    truth = batch.x[model.target.name].squeeze(-1).numpy()
    results = {}
    for name, seen in patterns(config, batch, seed).items():
        predicted = predict(model, batch, seen)
        results[name] = scores(truth, predicted)
        if name == "all":
            for modality, values in predicted.surprise.items():
                results[name][f"surprise99_{modality}"] = float(np.nanquantile(values, 0.99))
    return results
