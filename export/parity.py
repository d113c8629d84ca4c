"""Checks that the graph in a bundle computes what the model it was made from computes."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ..bundle.bundle import Bundle
from ..bundle.sequence import Arrays, initial_states, run_sequence
from ..contracts.errors import UserError
from ..models.data import Batch
from ..models.forward_filter import FilterState, ForwardFilter
from ..models.missing import bursts
from ..models.mm_vrnn import MMVRNN
from ..models.objective import State, initial_state
from .layout import Exportable, layout

TOLERANCE: Final = 1e-4  # relative to the value (for a state: to its largest), absolute below 1
BATCHES: Final = (1, 2, 7, 64)
SEGMENT: Final = 250  # ticks compared at a time


def check_parity(model: Exportable, bundle: Bundle, ticks: int = 10_000, seed: int = 0) -> float:
    """Compare a bundle in ONNX Runtime with its model in PyTorch over whole sequences, each with its state.

    Inputs and masks are random, with bursts of missing data and NaN under the masks. A step graph is stepped
    and a block graph takes segments; the model takes segments by its public methods. So step and block agree
    with each other as well.

    Returns:
        The largest difference found: relative, absolute for values below 1.

    Raises:
        UserError: a difference above the tolerance; names the output, the tick and the batch size.
    """
    return max(_check(model, bundle, batch, ticks, np.random.default_rng((seed, batch))) for batch in BATCHES)


@torch.no_grad()
def _check(model: Exportable, bundle: Bundle, batch: int, ticks: int, rng: np.random.Generator) -> float:
    state = initial_state(model, batch)
    carried = initial_states(bundle, batch)
    worst = 0.0
    for start in range(0, ticks, SEGMENT):
        x, mask, noise = _inputs(model, batch, min(SEGMENT, ticks - start), rng)
        expected, state = _pytorch(model, x, mask, noise, state)
        found, carried = run_sequence(bundle, x | {"mask": mask.astype(np.float32), "noise": noise}, carried)
        found |= {f"next_{key}": value for key, value in carried.items()}
        # A filter without w still has w's two tensors in its state, empty.
        after = zip(bundle.metadata.states, state, strict=False)
        expected |= {f"next_state_{spec.name}": tensor.numpy() for spec, tensor in after}
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
                    f"{tick}, batch {batch}, allowed {TOLERANCE:.0e}; do not use the bundle"
                )
            worst = max(worst, float(difference.max()))
    return worst


def _inputs(
    model: Exportable, batch: int, ticks: int, rng: np.random.Generator
) -> tuple[Arrays, NDArray[np.bool_], NDArray[np.float32]]:
    """Raw values `[batch, T, D]`, NaN where missing, their mask `[batch, T, M]`, and noise for z."""
    content = layout(model)
    normalised = model.inputs if isinstance(model, ForwardFilter) else model
    alone = rng.random((batch, ticks, len(content.inputs))) < rng.choice([0.0, 0.1, 0.5, 1.0], (batch, 1, 1))
    together = [bursts(rng, batch, ticks, mean_burst=20, mean_gap=40) for _ in content.inputs]
    mask = ~(alone | np.stack(together, -1))
    x = {}
    for column, m in enumerate(content.inputs):
        center, scale = (moment.numpy() for moment in normalised.moments(m.name))
        value = center + scale * 2 * rng.standard_normal((batch, ticks, m.dim))
        x[m.name] = np.where(mask[..., [column]], value, np.nan).astype(np.float32)
    return x, mask, rng.standard_normal((batch, ticks, content.z)).astype(np.float32)


def _pytorch(
    model: Exportable, x: Arrays, mask: NDArray[np.bool_], noise: NDArray[np.float32], state: State
) -> tuple[Arrays, State]:
    """What the graph's outputs should be, `[batch, T, ·]`, and the state after."""
    content = layout(model)
    values = {k: torch.from_numpy(v) for k, v in x.items()}
    present = {m.name: torch.from_numpy(mask[..., i]) for i, m in enumerate(content.inputs)}
    draws = torch.from_numpy(noise)
    if isinstance(model, MMVRNN):
        latents = model.infer(values, present, *state)
        prediction, surprise = model.predict_from(latents, values, present)
        mean, std, state = latents.mean, torch.rsqrt(latents.precision), (latents.state,)
        means = model.reconstruct(mean + draws * std, latents.h)
    elif isinstance(model, ForwardFilter):
        beliefs, _, _ = model(values, present, FilterState(*state))
        prediction, surprise, state = model.predict(values, present, FilterState(*state))
        mean, std = model.concatenated(beliefs)
        parts = (mean + draws * std).split([latent.dim for latent in content.latents], -1)
        named = (latent.name for latent in content.latents)
        means = model.smoother.decode(dict(zip(named, parts, strict=True)))
    else:
        flat = Batch(values, present).flattened()
        prediction, surprise = model.predict(*flat)
        mean, precision = model.posterior(*flat)
        std = torch.rsqrt(precision)
        means = model.decode(mean + draws.flatten(0, 1) * std)
    outputs = {f"engagement_{k}": v for k, v in prediction._asdict().items()} | {"z_mean": mean, "z_std": std}
    shape = mask.shape[:2]
    nothing = torch.zeros(shape)
    outputs["surprise"] = torch.stack(
        [surprise.get(m.name, nothing).reshape(shape) for m in content.inputs], -1
    )
    outputs |= {f"reconstruction_{m.name}": means[m.name] for m in content.decoded}
    return {k: v.reshape(*shape, -1).numpy() for k, v in outputs.items()}, state
