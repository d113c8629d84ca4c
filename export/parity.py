"""Is the graph in a bundle the model that it was made from?"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ..bundle.bundle import Bundle
from ..bundle.sequence import Arrays, initial_states, run_sequence
from ..contracts.errors import UserError
from ..models import likelihoods
from ..models.data import Batch
from ..models.forward_filter import FilterState, ForwardFilter
from ..models.missing import bursts
from ..models.mm_vrnn import MMVRNN
from ..models.objective import State, initial_state
from .layout import Exportable, layout

TOLERANCE: Final = 1e-4  # of the value (of a state: of its largest), and absolute below 1
BATCHES: Final = (1, 2, 7, 64)
SEGMENT: Final = 250  # ticks that are compared at a time


def check_parity(model: Exportable, bundle: Bundle, ticks: int = 10_000, seed: int = 0) -> float:
    """Run the bundle in ONNX Runtime and the model in PyTorch, over whole sequences, side by side, each with
    its own state; inputs and masks are random, with bursts of missing data, NaN under the masks.

    A step graph is stepped and a block graph takes segments: each is compared with PyTorch's pass over the
    whole sequence, and so with the other.

    Returns:
        the largest difference found, of the value, absolute below 1.

    Raises:
        UserError: more than the tolerance; names the output, the tick and the batch size.
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
        # Without a w a filter's state still has its two tensors, empty.
        after = zip(bundle.metadata.states, state, strict=False)
        expected |= {f"next_state_{spec.name}": tensor.numpy() for spec, tensor in after}
        for key, value in expected.items():
            if key not in found:  # a reconstruction, which only a full graph gives
                continue
            got = found[key]
            # A state may be a long sum, as exact as its largest numbers are.
            size = np.abs(value).max() if key.startswith("next_state") else np.abs(value)
            difference = np.abs(value - got) / np.maximum(1, size)
            if not difference.max() <= TOLERANCE:
                tick = start if difference.ndim == 2 else start + int(difference.max((0, 2)).argmax())
                raise UserError(
                    f"{bundle.path}: {key} differs from the model's by {difference.max():.1e} at tick "
                    f"{tick}, batch {batch}, allowed {TOLERANCE:.0e}; the bundle is not to be used"
                )
            worst = max(worst, float(difference.max()))
    return worst


def _inputs(
    model: Exportable, batch: int, ticks: int, rng: np.random.Generator
) -> tuple[Arrays, NDArray[np.bool_], NDArray[np.float32]]:
    """Raw values `[batch, T, D]`, NaN where missing, their mask `[batch, T, M]`, and noise for z."""
    held = layout(model)
    normalised = model.inputs if isinstance(model, ForwardFilter) else model
    alone = rng.random((batch, ticks, len(held.inputs))) < rng.choice([0.0, 0.1, 0.5, 1.0], (batch, 1, 1))
    together = [bursts(rng, batch, ticks, mean_burst=20, mean_gap=40) for _ in held.inputs]
    mask = ~(alone | np.stack(together, -1))
    x = {}
    for column, m in enumerate(held.inputs):
        center, scale = (moment.numpy() for moment in normalised.moments(m.name))
        value = center + scale * 2 * rng.standard_normal((batch, ticks, m.dim))
        x[m.name] = np.where(mask[..., [column]], value, np.nan).astype(np.float32)
    return x, mask, rng.standard_normal((batch, ticks, held.z)).astype(np.float32)


def _pytorch(
    model: Exportable, x: Arrays, mask: NDArray[np.bool_], noise: NDArray[np.float32], state: State
) -> tuple[Arrays, State]:
    """What the graph's outputs should be, `[batch, T, ·]`, and the state after."""
    held = layout(model)
    values = {k: torch.from_numpy(v) for k, v in x.items()}
    present = {m.name: torch.from_numpy(mask[..., i]) for i, m in enumerate(held.inputs)}
    draws = torch.from_numpy(noise)
    if isinstance(model, MMVRNN):
        latents = model.infer(values, present, *state)
        prediction, surprise = model.told(values, present, latents)
        mean, std, state = latents.mean, torch.rsqrt(latents.precision), (latents.state,)
        means = {m.name: likelihoods.mean(m.likelihood, model.decode(m.name, mean + draws * std, latents.h))
                 for m in held.decoded}  # fmt: skip
        means = {m.name: model.in_raw_units(m, means[m.name]) for m in held.decoded}
    elif isinstance(model, ForwardFilter):
        beliefs, _, _ = model(values, present, FilterState(*state))
        prediction, surprise, state = model.predict(values, present, FilterState(*state))
        mean, std = model.side_by_side(beliefs)
        parts = (mean + draws * std).split([latent.dim for latent in held.latents], -1)
        named = (latent.name for latent in held.latents)
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
    outputs["surprise"] = torch.stack([surprise.get(m.name, nothing).reshape(shape) for m in held.inputs], -1)
    outputs |= {f"reconstruction_{m.name}": means[m.name] for m in held.decoded}
    return {k: v.reshape(*shape, -1).numpy() for k, v in outputs.items()}, state
