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
from .config import Config, Model
from .data import GROUPS, Batch, Data, People, load_data
from .dmvae import DMVAE
from .engagement import HALF_WIDTH, Prediction
from .forward_filter import ForwardFilter
from .likelihoods import EDGE, LOCATION_SCALE
from .mdvae import MDVAE
from .metrics import Array, auc, concordance, coverage, pearson, rmse
from .missing import bursts
from .mm_vrnn import MMVRNN
from .modality import Modality
from .mvae import MVAE

BURST_SECONDS, GAP_SECONDS = 3.0, 6.0
Scores = dict[str, dict[str, float]]  # by pattern, by metric
Patterns = dict[str, dict[str, Tensor]]  # masks, bool `[P, T]` by input, by pattern


class Predictions(NamedTuple):
    """Predictions of the target under one pattern, `[P, T]`; surprise by modality, NaN where missing."""

    mean: Array
    low: Array
    high: Array
    surprise: dict[str, Array]


Live = MMVRNN | ForwardFilter | MVAE | DMVAE  # models that predict the target causally
Predict = Callable[[Batch, dict[str, Tensor]], Predictions]  # of a batch, under masks


class Group(NamedTuple):
    """Held-out people, and masks by pattern."""

    batch: Batch
    seen: Patterns


def patterns(config: Config, batch: Batch, rng: np.random.Generator) -> Patterns:
    """Masks: everything that is available, each modality alone, and bursts of missing modalities."""
    inputs = [m.name for m in config.model.modalities if m.role != "target"]
    burst, gap = BURST_SECONDS * config.rate, GAP_SECONDS * config.rate
    there = {name: batch.available[name] for name in inputs}
    seen = {"all": there}
    if len(inputs) > 1:
        seen |= {f"{name} only": {name: there[name]} for name in inputs}
    people, ticks = there[inputs[0]].shape
    hidden = {name: bursts(rng, people, ticks, burst, gap) for name in inputs}
    seen["bursts"] = {k: v & ~torch.from_numpy(hidden[k].copy()) for k, v in there.items()}
    return seen


def held_out(config: Config, data: Data, seed: int, people: People, groups: int = GROUPS) -> Iterator[Group]:
    """Groups of people not used in training."""
    for number, batch in data.held_out(seed, people, groups):
        yield Group(batch, patterns(config, batch, np.random.default_rng((seed, number, 1))))


def evaluate(model: Model, config: Config, seed: int, people: People = "test") -> Scores:
    """Scores by pattern on held-out people: of the target if the model predicts it causally, else of every
    modality."""
    groups = held_out(config, load_data(config, training=False), seed, people)
    target = next((m for m in config.model.modalities if m.role == "target"), None)
    if target is None or isinstance(model, MDVAE):  # not causal
        return modality_scores(model, config, groups)
    return target_scores(target, groups, partial(predict, model))


@torch.no_grad()
def predict(model: Live, batch: Batch, seen: dict[str, Tensor]) -> Predictions:
    """Predict whole sessions causally, as in a live run."""
    x, people = {k: batch.x[k] for k in seen}, len(next(iter(seen.values())))
    match model:
        case MMVRNN():
            prediction, surprise, _ = model.predict(x, seen, model.initial_state(people))
        case ForwardFilter():
            prediction, surprise, _ = model.predict(x, seen, model.initial_state(people))
        case MVAE() | DMVAE():
            prediction, surprise = model.predict(*Batch(x, seen).flattened())
            shape = next(iter(seen.values())).shape
            prediction = Prediction(*(v.unflatten(0, shape) for v in prediction))
            surprise = {k: v.unflatten(0, shape) for k, v in surprise.items()}
    mean, low, high = (v.squeeze(-1).numpy() for v in (prediction.mean, prediction.low, prediction.high))
    surprise = {k: torch.where(seen[k], v, torch.nan) for k, v in surprise.items()}
    return Predictions(mean, low, high, {k: v.numpy() for k, v in surprise.items()})


def logit_normal_nll(y: Array, low: Array, high: Array) -> Array:
    """−log density at y of the logit-normal whose central 90 % is this interval."""
    y = y.clip(EDGE, 1 - EDGE).astype(np.float64)
    a, b = (logit(v.astype(np.float64).clip(1e-9, 1 - 1e-7)) for v in (low, high))
    location, scale = (a + b) / 2, (b - a) / 2 / HALF_WIDTH
    nats: Array = -norm.logpdf(logit(y), location, scale) + np.log(y) + np.log1p(-y)
    return nats


def bernoulli_nll(y: Array, mean: Array) -> Array:
    """−log probability of y, which is 0 or 1."""
    p = mean.astype(np.float64).clip(1e-6, 1 - 1e-6)
    nats: Array = -xlogy(y, p) - xlogy(1 - y, 1 - p)
    return nats


def target_scores(target: Modality, groups: Iterator[Group], predict: Predict) -> Scores:
    """Scores where the target is known: negative log-likelihood in nats; CCC, Pearson, RMSE and coverage of
    the 90 % interval, or AUC and RMSE for a binary target. With everything present, also the 99th percentile
    of each modality's surprise.

    Raises:
        UserError: the target is not known at any tick.
    """
    truths: list[Array] = []
    predicted: dict[str, list[tuple[Array, ...]]] = {}
    surprises: dict[str, list[Array]] = {}
    for batch, seen in groups:
        known = batch.available[target.name].numpy()
        truths.append(batch.x[target.name].squeeze(-1).numpy()[known])
        for pattern, masks in seen.items():
            found = predict(batch, masks)
            predicted.setdefault(pattern, []).append(tuple(part[known] for part in found[:3]))
            if pattern == "all":
                for name, nats in found.surprise.items():
                    surprises.setdefault(name, []).append(nats[~np.isnan(nats)])
    truth = np.concatenate(truths)
    if not truth.size:
        raise UserError(f"{target.name}: no held-out session has a value of it, so there is nothing to score")
    results = {}
    for pattern, parts in predicted.items():
        mean, low, high = (np.concatenate(part) for part in zip(*parts, strict=True))
        if target.likelihood == "bernoulli":
            nll = bernoulli_nll(truth, mean)
            scores = {"nll": float(nll.mean()), "rmse": rmse(truth, mean), "auc": auc(truth, mean)}
        else:
            nll = logit_normal_nll(truth, low, high)
            scores = {
                "nll": float(nll.mean()),
                "rmse": rmse(truth, mean),
                "ccc": concordance(truth, mean),
                "pearson": pearson(truth, mean),
                "coverage90": coverage(truth, low, high),
            }
        results[pattern] = scores
    for name, found_nats in surprises.items():
        if (nats := np.concatenate(found_nats)).size:
            results["all"][f"surprise99_{name}"] = float(np.quantile(nats, 0.99))
    return results


def modality_scores(model: Model, config: Config, groups: Iterator[Group]) -> Scores:
    """Scores of every modality, reconstructed under each pattern: RMSE (in its standard deviations if its
    likelihood has a location and a scale) and Pearson, or AUC where it is 0 or 1."""
    truths: dict[str, list[Array]] = {m.name: [] for m in config.model.modalities}
    estimates: dict[str, dict[str, list[Array]]] = {}
    for batch, seen in groups:
        for m in config.model.modalities:
            truths[m.name].append(batch.x[m.name][batch.available[m.name]].numpy())
        for pattern, masks in seen.items():
            means = reconstruct(model, {k: batch.x[k] for k in masks}, masks)
            for m in config.model.modalities:
                found = means[m.name][batch.available[m.name]].numpy()
                estimates.setdefault(pattern, {}).setdefault(m.name, []).append(found)
    results: Scores = {}
    for pattern, by_name in estimates.items():
        scores = results.setdefault(pattern, {})
        for m in config.model.modalities:
            scores |= _scores(m, np.concatenate(truths[m.name]), np.concatenate(by_name[m.name]))
    return results


def _scores(m: Modality, truth: Array, estimate: Array) -> dict[str, float]:
    if not truth.size:
        return {}
    if m.likelihood in ("bernoulli", "categorical"):
        return {f"auc_{m.name}": auc(truth, estimate)}
    spread = truth.std(0).clip(1e-6) if m.likelihood in LOCATION_SCALE else np.ones(m.dim)
    return {
        f"rmse_{m.name}": rmse(truth / spread, estimate / spread),
        f"pearson_{m.name}": float(np.mean([pearson(truth[:, d], estimate[:, d]) for d in range(m.dim)])),
    }


@torch.no_grad()
def reconstruct(model: Model, x: dict[str, Tensor], mask: dict[str, Tensor]) -> dict[str, Tensor]:
    """The mean of every modality, `[P, T, D]` in raw units, given what is present."""
    assert not isinstance(model, MMVRNN)  # `generation.reconstruct`
    if isinstance(model, MDVAE):
        return model.decode({name: latent.sample for name, latent in model.encode(x, mask).items()})
    if isinstance(model, ForwardFilter):
        beliefs, _, _ = model(x, mask, model.initial_state(len(next(iter(mask.values())))))
        return model.smoother.decode({name: belief.mean for name, belief in beliefs.items()})
    shape = next(iter(mask.values())).shape
    mean, _ = model.posterior(*Batch(x, mask).flattened())
    return {name: value.unflatten(0, shape) for name, value in model.decode(mean).items()}
