"""Checks that the graph in a bundle computes what the model it was made from computes."""

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ..bundle.bundle import Bundle
from ..bundle.sequence import Arrays, initial_states, run_sequence
from ..contracts.errors import UserError
from ..models.batch import Batch
from ..models.causal import Causal
from ..models.missing import bursts
from ..models.model import State
from .layout import layout

TOLERANCE: Final = 1e-4  # relative to the value (for a state: to its largest), absolute below 1
# Sizes of batches, and the share of the ticks that each runs: how far a graph drifts does not depend on the
# size, and 64 sequences take as long as all others together.
BATCHES: Final = {1: 1.0, 2: 1.0, 7: 1.0, 64: 0.25}
SEGMENT: Final = 250  # ticks compared at a time


@torch.no_grad()
def check_parity(
    model: Causal,
    bundle: Bundle,
    ticks: int = 10_000,
    seed: int = 0,
    progress: Callable[[float], None] = lambda share: None,
) -> float:
    """Compare a bundle in ONNX Runtime with its model in PyTorch over whole sequences, each with its state.

    Inputs and masks are random, with bursts of missing data and NaN under the masks. A step graph is stepped
    and a block graph takes segments; the model takes segments by its public methods. So step and block agree
    with each other as well. The graph runs the sequences in batches of each size of `BATCHES`, the model all
    of them at once: a sequence depends on no other.

    Args:
        progress: called with the share of the ticks that is done.

    Returns:
        The largest difference found: relative, absolute for values below 1.

    Raises:
        UserError: a difference above the tolerance; names the output, the tick and the batch size.
    """
    rng, worst = np.random.default_rng(seed), 0.0
    state = model.initial_state(sum(BATCHES))
    carried = {batch: initial_states(bundle, batch) for batch in BATCHES}
    for start in range(0, ticks, SEGMENT):
        batches = [batch for batch, share in BATCHES.items() if start < share * ticks]
        state = tuple(s[: sum(batches)] for s in state)
        x, mask, noise = _inputs(model, sum(batches), min(SEGMENT, ticks - start), rng)
        expected, state = _pytorch(model, x, mask, noise, state)
        after = zip(bundle.metadata.states, state, strict=True)
        expected |= {f"next_state_{spec.name}": tensor.numpy() for spec, tensor in after}
        feed = x | {"mask": mask.astype(np.float32), "noise": noise}
        for batch, end in zip(batches, np.cumsum(batches).tolist(), strict=True):
            rows = slice(end - batch, end)
            given = {key: v[rows] for key, v in feed.items()}
            found, carried[batch] = run_sequence(bundle, given, carried[batch])
            found |= {f"next_{key}": value for key, value in carried[batch].items()}
            part = {key: value[rows] for key, value in expected.items()}
            worst = max(worst, _difference(bundle, part, found, start))
        progress(min(start + SEGMENT, ticks) / ticks)
    return worst


def _difference(bundle: Bundle, expected: Arrays, found: Arrays, start: int) -> float:
    """The largest difference in a segment that begins at a tick.

    Raises:
        UserError: it is above the tolerance.
    """
    worst = 0.0
    for key, value in expected.items():
        if key not in found:  # a reconstruction, which only a full graph has
            continue
        got = found[key]
        # A state may be a long sum, only as exact as its largest numbers.
        size = np.abs(value).max() if key.startswith("next_state") else np.abs(value)
        difference = np.abs(value - got) / np.maximum(1, size)
        if not difference.max() <= TOLERANCE:
            tick = start if difference.ndim == 2 else start + int(difference.max((0, 2)).argmax())
            raise UserError(
                f"{bundle.path}: {key} differs from the model's by {difference.max():.1e} at tick "
                f"{tick}, batch {len(value)}, allowed {TOLERANCE:.0e}; do not use the bundle"
            )
        worst = max(worst, float(difference.max()))
    return worst


def _inputs(
    model: Causal, batch: int, ticks: int, rng: np.random.Generator
) -> tuple[Arrays, NDArray[np.bool_], NDArray[np.float32]]:
    """Raw values `[batch, T, D]`, NaN where missing, their mask `[batch, T, M]`, and noise for z."""
    content = layout(model)
    alone = rng.random((batch, ticks, len(content.inputs))) < rng.choice([0.0, 0.1, 0.5, 1.0], (batch, 1, 1))
    together = [bursts(rng, batch, ticks, mean_burst=20, mean_gap=40) for _ in content.inputs]
    mask = ~(alone | np.stack(together, -1))
    x = {}
    for column, m in enumerate(content.inputs):
        center, scale = (moment.numpy() for moment in model.moments(m.name))
        value = center + scale * 2 * rng.standard_normal((batch, ticks, m.dim))
        x[m.name] = np.where(mask[..., [column]], value, np.nan).astype(np.float32)
    return x, mask, rng.standard_normal((batch, ticks, content.z)).astype(np.float32)


def _pytorch(
    model: Causal, x: Arrays, mask: NDArray[np.bool_], noise: NDArray[np.float32], state: State
) -> tuple[Arrays, State]:
    """What the graph's outputs should be, `[batch, T, ·]`, and the state after."""
    content, shape = layout(model), mask.shape[:2]
    values = {m.name: model.shaped(m, torch.from_numpy(x[m.name])) for m in content.inputs}
    present = {m.name: torch.from_numpy(mask[..., i]) for i, m in enumerate(content.inputs)}
    found = model.filter(Batch(values, present), state)
    z = (found.mean + torch.from_numpy(noise) * found.std).split([*model.sizes.values()], -1)
    parts = dict(zip(model.sizes, z, strict=True)) | found.context
    (prediction,) = found.prediction.values()
    outputs = {f"engagement_{k}": v for k, v in prediction._asdict().items()}
    outputs |= {"z_mean": found.mean, "z_std": found.std}
    nothing = torch.zeros(shape)
    outputs["surprise"] = torch.stack([found.surprise.get(m.name, nothing) for m in content.inputs], -1)
    outputs |= {f"reconstruction_{m.name}": model.mean(m, parts) for m in content.decoded}
    return {k: v.reshape(*shape, -1).numpy() for k, v in outputs.items()}, found.state
