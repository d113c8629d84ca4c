"""Scores of a bundle on held-out people, from its own graph in ONNX Runtime."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from torch import Tensor

from ..bundle.bundle import Bundle
from ..bundle.sequence import initial_states, run_sequence
from ..models import evaluation
from ..models.batch import Batch
from ..models.config import ARRAYS, Config, model_class
from ..models.data import People, load_data
from ..models.evaluation import Group, Predicted, Predictions, Scores

ROWS: Final = 2**20  # ticks of all people and patterns in memory at a time


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
    found: dict[int, Predictions] = {}  # by the identity of a pattern's masks

    def predicted() -> Iterator[Group]:
        for batch, seen in groups:
            several = max(1, ROWS // next(iter(batch.available.values())).numel())
            patterns = [*seen.values()]
            for start in range(0, len(patterns), several):
                some = patterns[start : start + several]
                found.update(zip(map(id, some), _predict(bundle, batch, some), strict=True))
            yield Group(batch, seen)

    return evaluation.target_scores(targets, predicted(), lambda batch, masks: found.pop(id(masks)))


def _predict(bundle: Bundle, batch: Batch, patterns: Sequence[dict[str, Tensor]]) -> list[Predictions]:
    """The predictions under each pattern, all in one batch: what a step costs hardly depends on its size."""
    people, ticks = next(iter(batch.available.values())).shape
    inputs = bundle.metadata.inputs
    absent = np.zeros((people, ticks), bool)
    feed = {
        m.name: np.concatenate(
            [
                batch.x[m.name].flatten(2).numpy()
                if m.name in seen
                else np.zeros((people, ticks, m.dim), np.float32)
                for seen in patterns
            ]
        )
        for m in inputs
    }
    masks = [[seen[m.name].numpy() if m.name in seen else absent for m in inputs] for seen in patterns]
    feed["mask"] = np.concatenate([np.stack(mask, -1) for mask in masks]).astype(np.float32)
    if bundle.metadata.graph == "full":
        (noise,) = (i for i in bundle.session.get_inputs() if i.name == "noise")
        feed["noise"] = np.zeros((len(feed["mask"]), ticks, noise.shape[-1]), np.float32)
    outputs, _ = run_sequence(bundle, feed, initial_states(bundle, len(feed["mask"])))
    (target,) = (m for m in bundle.metadata.modalities if m.role == "target")
    found = []
    for k, seen in enumerate(patterns):
        own = {key: value[k * people : (k + 1) * people] for key, value in outputs.items()}
        mask = feed["mask"][k * people : (k + 1) * people]
        surprise = {
            m.name: np.where(mask[..., i] > 0, own["surprise"][..., i], np.nan)
            for i, m in enumerate(inputs)
            if m.role == "observed" and m.name in seen
        }
        predicted = Predicted(*(own[f"engagement_{part}"] for part in ("mean", "low", "high")))
        found.append(Predictions({target.name: predicted}, surprise))
    return found
