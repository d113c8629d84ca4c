"""Scores of a model on held-out people, by pattern of missing modalities."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import logit, xlogy
from scipy.stats import norm
from torch import Tensor

from ..contracts.errors import UserError
from .arguments import check_count
from .batch import Batch, Data
from .causal import Causal
from .config import Config
from .data import GROUPS, People, load_data
from .data import Data as HeldOut
from .likelihoods import EDGE, LOCATION_SCALE
from .metrics import Array, auc, concordance, coverage, pearson, rmse
from .missing import bursts
from .modality import Modality
from .model import Model
from .target import HALF_WIDTH

BURST_SECONDS, GAP_SECONDS = 3.0, 6.0
AT_ONCE = 32  # sequences in memory at a time
Scores = dict[str, dict[str, float]]  # by pattern, by metric
Patterns = dict[str, dict[str, Tensor]]  # masks, bool `[P, T]` by input, by pattern


class Predicted(NamedTuple):
    """Of a target: mean and central 90 %, `[P, T, D]`."""

    mean: Array
    low: Array
    high: Array


class Predictions(NamedTuple):
    """Under one pattern, by target; and the surprise by modality, `[P, T]`, NaN where missing."""

    targets: dict[str, Predicted]
    surprise: dict[str, Array]


Predict = Callable[[Batch, dict[str, Tensor]], Predictions]  # of a batch, under masks


class Group(NamedTuple):
    """Held-out people, and masks by pattern."""

    batch: Batch
    seen: Patterns


def patterns(modalities: tuple[Modality, ...], rate: int, batch: Batch, rng: np.random.Generator) -> Patterns:
    """Masks: everything that is available, each modality alone, and bursts of missing modalities.

    Args:
        rate: ticks per second.

    Raises:
        UserError: the batch has targets only.
    """
    inputs = [m.name for m in modalities if m.role != "target" and m.name in batch.x]
    if not inputs:
        raise UserError(f"{', '.join(batch.x)}: targets only, so there is nothing to predict them from")
    burst, gap = BURST_SECONDS * rate, GAP_SECONDS * rate
    there = {name: batch.available[name] for name in inputs}
    seen = {"all": there}
    if len(inputs) > 1:
        seen |= {f"{name} only": {name: there[name]} for name in inputs}
    people, ticks = there[inputs[0]].shape
    hidden = {name: bursts(rng, people, ticks, burst, gap) for name in inputs}
    seen["bursts"] = {k: v & ~torch.from_numpy(hidden[k].copy()) for k, v in there.items()}
    return seen


def held_out(
    config: Config, data: HeldOut, seed: int, people: People, groups: int = GROUPS
) -> Iterator[Group]:
    """Groups of people not used in training."""
    for number, batch in data.held_out(seed, people, groups):
        rng = np.random.default_rng((seed, number, 1))
        yield Group(batch, patterns(config.model.modalities, config.rate, batch, rng))


def group_of(batch: Batch, modalities: tuple[Modality, ...], axes: int, rate: int, seed: int) -> Group:
    """Sequences as held-out people, or samples as the ticks of one.

    Args:
        axes: 1 for samples, 2 for sequences.

    Raises:
        UserError: nothing is present, or nothing but targets.
    """
    if not batch.present:
        raise UserError("nothing is present in the data, so there is nothing to score")
    batch = batch.map(lambda v: (v.unsqueeze(0) if axes == 1 else v).detach().cpu())
    return Group(batch, patterns(modalities, rate, batch, np.random.default_rng((seed, 1))))


def evaluate(model: Model, data: Data | Batch, rate: int = 25, seed: int = 0) -> Scores:
    """Scores of a model on arrays that it was not trained on, by pattern of missing modalities, then by name:
    what `enrapt evaluate` prints of the held-out people of a run.

    The patterns: `all` that is there; of several modalities each alone, `NAME only`; `bursts`, in which each
    is missing for 3 s on average every 9 s. The model sees no target.

    Of a causal model, the scores of its targets where the data have them, predicted as live, from what came
    before: `nll`, the negative log-likelihood in nats under the predicted interval; `rmse` in the target's
    unit; `ccc`, `pearson` and `coverage90`, the share inside the central 90 %; instead of these `auc` if the
    target is `bernoulli`, `accuracy` if it is `categorical`. With several targets, names end in the target's,
    `ccc_NAME`. Under `all`, `surprise99_NAME` is the 99th percentile of a modality's surprise.

    Of other models, or without targets, those of every modality as reconstructed: `rmse_NAME` in standard
    deviations of the data, and `pearson_NAME`, or `auc_NAME` if it is `bernoulli` or `categorical`.

    Args:
        data: `[N, *shape]`, or of sequences `[N, T, *shape]`, by modality; NaN is missing.
        rate: ticks per second, for the bursts; samples are taken as the ticks of one sequence.
        seed: of the bursts.

    Raises:
        UserError: data that do not fit the model, without one of its targets, or with nothing else.
    """
    check_count("rate", rate)
    check_count("seed", seed, least=0)
    groups = iter([group_of(model.checked(data), model.modalities, model.axes, rate, seed)])
    return _scores_of(model, groups)


def evaluate_run(model: Model, config: Config, seed: int, people: People = "test") -> Scores:
    """The same on the held-out people that the configuration of a run names."""
    return _scores_of(model, held_out(config, load_data(config, training=False), seed, people))


def _scores_of(model: Model, groups: Iterator[Group]) -> Scores:
    if not isinstance(model, Causal) or not model.targets:
        return modality_scores(model, groups)
    return target_scores(model.targets, groups, partial(predict, model))


@torch.no_grad()
def predict(model: Causal, batch: Batch, seen: dict[str, Tensor]) -> Predictions:
    """Predict whole sessions causally, as in a live run."""
    given = Batch({k: batch.x[k] for k in seen}, seen)
    parts = [
        _predicted(model, given.map(lambda v, first=first: v[first : first + AT_ONCE]))  # type: ignore[misc]
        for first in range(0, max(given.size, 1), AT_ONCE)
    ]
    targets = {
        name: Predicted(*map(np.concatenate, zip(*(part.targets[name] for part in parts), strict=True)))
        for name in parts[0].targets
    }
    surprise = {k: np.concatenate([part.surprise[k] for part in parts]) for k in parts[0].surprise}
    return Predictions(targets, surprise)


def _predicted(model: Causal, given: Batch) -> Predictions:
    filtered = model.filter(model.batch(given))
    targets = {
        name: Predicted(*(v.cpu().numpy() for v in (found.mean, found.low, found.high)))
        for name, found in filtered.prediction.items()
    }
    there = given.available
    nats = {k: torch.where(there[k], v.cpu(), torch.nan).numpy() for k, v in filtered.surprise.items()}
    return Predictions(targets, nats)


def logit_normal_nll(y: Array, low: Array, high: Array) -> Array:
    """−log density at y of the logit-normal whose central 90 % is this interval."""
    y = y.clip(EDGE, 1 - EDGE).astype(np.float64)
    a, b = (logit(v.astype(np.float64).clip(1e-9, 1 - 1e-7)) for v in (low, high))
    location, scale = (a + b) / 2, (b - a) / 2 / HALF_WIDTH
    nats: Array = -norm.logpdf(logit(y), location, scale) + np.log(y) + np.log1p(-y)
    return nats


def interval_nll(y: Array, low: Array, high: Array) -> Array:
    """−log density at y of the normal distribution whose central 90 % is this interval."""
    location, std = (low + high) / 2, (high - low) / 2 / HALF_WIDTH
    nats: Array = -norm.logpdf(y, location, np.maximum(std, 1e-9))
    return nats


def bernoulli_nll(y: Array, mean: Array) -> Array:
    """−log probability of y, which is 0 or 1."""
    p = mean.astype(np.float64).clip(1e-6, 1 - 1e-6)
    nats: Array = -xlogy(y, p) - xlogy(1 - y, 1 - p)
    return nats


def target_scores(targets: tuple[Modality, ...], groups: Iterator[Group], predict: Predict) -> Scores:
    """Scores of each target where it is known; see `scores`. Those of several have their name at the end.
    With everything present, also the 99th percentile of each modality's surprise.

    Raises:
        UserError: a target is not known at any tick.
    """
    truths: dict[str, list[Array]] = {m.name: [] for m in targets}
    predicted: dict[str, dict[str, list[Predicted]]] = {}  # by pattern, by target
    surprises: dict[str, list[Array]] = {}
    for batch, seen in groups:
        if missing := [m.name for m in targets if m.name not in batch.x]:
            raise UserError(f"{missing[0]}: not among the held-out data, so there is nothing to score")
        known = {m.name: batch.available[m.name].numpy() for m in targets}
        for m in targets:
            truths[m.name].append(batch.x[m.name].flatten(2).numpy()[known[m.name]])
        for pattern, masks in seen.items():
            found = predict(batch, masks)
            by_target = predicted.setdefault(pattern, {m.name: [] for m in targets})
            for m in targets:
                by_target[m.name].append(Predicted(*(part[known[m.name]] for part in found.targets[m.name])))
            if pattern == "all":
                for name, nats in found.surprise.items():
                    surprises.setdefault(name, []).append(nats[~np.isnan(nats)])
    results: Scores = {}
    for pattern, by_target in predicted.items():
        results[pattern] = {}
        for m in targets:
            truth = np.concatenate(truths[m.name])
            if not truth.size:
                raise UserError(
                    f"{m.name}: no held-out session has a value of it, so there is nothing to score"
                )
            parts = Predicted(*(np.concatenate(part) for part in zip(*by_target[m.name], strict=True)))
            end = f"_{m.name}" if len(targets) > 1 else ""
            results[pattern] |= {f"{name}{end}": v for name, v in scores(m.likelihood, truth, parts).items()}
    for name, found_nats in surprises.items():
        if (nats := np.concatenate(found_nats)).size:
            results["all"][f"surprise99_{name}"] = float(np.quantile(nats, 0.99))
    return results


def scores(likelihood: str, truth: Array, predicted: Predicted) -> dict[str, float]:
    """Of a target, `[N, D]`: negative log-likelihood in nats and RMSE; also CCC, Pearson and coverage of the
    90 % interval, or AUC where it is 0 or 1, or accuracy of categories. CCC and Pearson are means over D."""
    mean, low, high = predicted
    if likelihood == "categorical":
        right = truth.argmax(-1) == mean.argmax(-1)
        nll = -(truth * np.log(mean.astype(np.float64).clip(1e-6))).sum(-1)
        return {"nll": float(nll.mean()), "rmse": rmse(truth, mean), "accuracy": float(right.mean())}
    if likelihood == "bernoulli":
        nll = bernoulli_nll(truth, mean).sum(-1)
        return {"nll": float(nll.mean()), "rmse": rmse(truth, mean), "auc": auc(truth, mean)}
    density = logit_normal_nll if likelihood == "logit_normal" else interval_nll
    columns = range(truth.shape[-1])
    return {
        "nll": float(density(truth, low, high).sum(-1).mean()),
        "rmse": rmse(truth, mean),
        "ccc": float(np.mean([concordance(truth[:, d], mean[:, d]) for d in columns])),
        "pearson": float(np.mean([pearson(truth[:, d], mean[:, d]) for d in columns])),
        "coverage90": coverage(truth, low, high),
    }


def modality_scores(model: Model, groups: Iterator[Group]) -> Scores:
    """Scores of every modality that is decoded, reconstructed under each pattern: RMSE (in its standard
    deviations if its likelihood has a location and a scale) and Pearson, or AUC where it is 0 or 1."""
    decoded = [m for m in model.modalities if m.role != "context"]
    truths: dict[str, list[Array]] = {m.name: [] for m in decoded}
    estimates: dict[str, dict[str, list[Array]]] = {}
    for batch, seen in groups:
        there = [m for m in decoded if m.name in batch.x]
        for m in there:
            truths[m.name].append(batch.x[m.name][batch.available[m.name]].numpy())
        for pattern, masks in seen.items():
            means = reconstruct(model, {k: batch.x[k] for k in masks}, masks)
            by_name = estimates.setdefault(pattern, {m.name: [] for m in decoded})
            for m in there:
                by_name[m.name].append(means[m.name][batch.available[m.name]].numpy())
    results: Scores = {}
    for pattern, by_name in estimates.items():
        scores = results.setdefault(pattern, {})
        for m in decoded:
            if truths[m.name]:
                scores |= _scores(m, np.concatenate(truths[m.name]), np.concatenate(by_name[m.name]))
    return results


def _scores(m: Modality, truth: Array, estimate: Array) -> dict[str, float]:
    if not truth.size:
        return {}
    if m.likelihood in ("bernoulli", "categorical"):
        return {f"auc_{m.name}": auc(truth, estimate)}
    truth, estimate = (v.reshape(len(v), -1) for v in (truth, estimate))
    spread = truth.std(0).clip(1e-6) if m.likelihood in LOCATION_SCALE else np.ones(m.dim)
    return {
        f"rmse_{m.name}": rmse(truth / spread, estimate / spread),
        f"pearson_{m.name}": float(np.mean([pearson(truth[:, d], estimate[:, d]) for d in range(m.dim)])),
    }


@torch.no_grad()
def reconstruct(model: Model, x: dict[str, Tensor], mask: dict[str, Tensor]) -> dict[str, Tensor]:
    """The mean of every modality, `[P, T, *shape]` in raw units on the CPU, given what is present."""
    batch, shape = Batch(x, mask), next(iter(mask.values())).shape
    means = model.decode(model.encode(batch if model.axes == 2 else batch.flattened()))
    means = {name: value.cpu() for name, value in means.items()}
    return means if model.axes == 2 else {name: value.unflatten(0, shape) for name, value in means.items()}
