"""Scores of a bundle on held-out people, from its own graph in ONNX Runtime."""

from functools import partial

import numpy as np
from torch import Tensor

from ..bundle.bundle import Bundle
from ..bundle.sequence import initial_states, run_sequence
from ..models import evaluation
from ..models.batch import Batch
from ..models.config import ARRAYS, Config, model_class
from ..models.data import People, load_data
from ..models.evaluation import Predicted, Predictions, Scores


def measure(
    bundle: Bundle, config: Config, seed: int, people: People = "test", held_out: Batch | None = None
) -> Scores:
    """Scores by pattern of missing modalities, as `models.evaluation.evaluate` computes them for a run.

    Args:
        held_out: samples or sequences to score instead of those that the configuration names. Without, there
            are no scores of a model that was trained from arrays.
    """
    if held_out is None and config.training.data == ARRAYS:
        return {}
    targets = tuple(m for m in config.model.modalities if m.role == "target")
    if held_out is None:
        groups = evaluation.held_out(config, load_data(config, training=False), seed, people)
    else:
        axes = model_class(config.model).axes
        groups = iter([evaluation.group_of(held_out, config.model.modalities, axes, config.rate, seed)])
    return evaluation.target_scores(targets, groups, partial(_predict, bundle))


def _predict(bundle: Bundle, batch: Batch, seen: dict[str, Tensor]) -> Predictions:
    people, ticks = next(iter(seen.values())).shape
    inputs = bundle.metadata.inputs
    absent = np.zeros((people, ticks), np.float32)
    feed = {
        m.name: batch.x[m.name].flatten(2).numpy()
        if m.name in seen
        else np.zeros((people, ticks, m.dim), np.float32)
        for m in inputs
    }
    feed["mask"] = np.stack([seen[m.name].numpy() if m.name in seen else absent for m in inputs], -1)
    feed["mask"] = feed["mask"].astype(np.float32)
    if bundle.metadata.graph == "full":
        (noise,) = (i for i in bundle.session.get_inputs() if i.name == "noise")
        feed["noise"] = np.zeros((people, ticks, noise.shape[-1]), np.float32)
    outputs, _ = run_sequence(bundle, feed, initial_states(bundle, people))
    predicted = Predicted(*(outputs[f"engagement_{k}"] for k in ("mean", "low", "high")))
    surprise = {
        m.name: np.where(feed["mask"][..., i] > 0, outputs["surprise"][..., i], np.nan)
        for i, m in enumerate(inputs)
        if m.role == "observed" and m.name in seen
    }
    (target,) = (m for m in bundle.metadata.modalities if m.role == "target")
    return Predictions({target.name: predicted}, surprise)
