"""Is the graph in a bundle the model that it was made from?"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ..contracts.errors import UserError
from ..models.likelihoods import mean
from ..models.missing import bursts
from ..models.mm_vrnn import MMVRNN
from .bundle import Bundle
from .sequence import Arrays, initial_states, run_sequence

TOLERANCE: Final = 1e-4  # of the value, and absolute below 1
BATCHES: Final = (1, 2, 7, 64)
SEGMENT: Final = 250  # ticks that are compared at a time


def check_parity(model: MMVRNN, bundle: Bundle, ticks: int = 10_000, seed: int = 0) -> float:
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
def _check(model: MMVRNN, bundle: Bundle, batch: int, ticks: int, rng: np.random.Generator) -> float:
    state = model.initial_state(batch)
    carried = initial_states(bundle, batch)
    worst = 0.0
    for start in range(0, ticks, SEGMENT):
        x, mask, noise = _inputs(model, batch, min(SEGMENT, ticks - start), rng)
        expected, state = _pytorch(model, x, mask, noise, state)
        found, carried = run_sequence(bundle, x | {"mask": mask.astype(np.float32), "noise": noise}, carried)
        for key, value in (expected | {"next_state_h": state.numpy()}).items():
            got = carried["state_h"] if key == "next_state_h" else found.get(key)
            if got is None:  # a reconstruction, which only a full graph gives
                continue
            difference = np.abs(value - got) / np.maximum(1, np.abs(value))
            if not difference.max() <= TOLERANCE:
                tick = start if difference.ndim == 2 else start + int(difference.max((0, 2)).argmax())
                raise UserError(
                    f"{bundle.path}: {key} differs from the model's by {difference.max():.1e} at tick "
                    f"{tick}, batch {batch}, allowed {TOLERANCE:.0e}; the bundle is not to be used"
                )
            worst = max(worst, float(difference.max()))
    return worst


def _inputs(
    model: MMVRNN, batch: int, ticks: int, rng: np.random.Generator
) -> tuple[Arrays, NDArray[np.bool_], NDArray[np.float32]]:
    """Raw values `[batch, T, D]`, NaN where missing, their mask `[batch, T, M]`, and noise for z."""
    alone = rng.random((batch, ticks, len(model.inputs))) < rng.choice([0.0, 0.1, 0.5, 1.0], (batch, 1, 1))
    together = [bursts(rng, batch, ticks, mean_burst=20, mean_gap=40) for _ in model.inputs]
    mask = ~(alone | np.stack(together, -1))
    x = {}
    for column, m in enumerate(model.inputs):
        center, scale = (moment.numpy() for moment in model.moments(m.name))
        value = center + scale * 2 * rng.standard_normal((batch, ticks, m.dim))
        x[m.name] = np.where(mask[..., [column]], value, np.nan).astype(np.float32)
    return x, mask, rng.standard_normal((batch, ticks, model.config.latent)).astype(np.float32)


def _pytorch(
    model: MMVRNN, x: Arrays, mask: NDArray[np.bool_], noise: NDArray[np.float32], state: torch.Tensor
) -> tuple[Arrays, torch.Tensor]:
    """What the graph's outputs should be, `[batch, T, ·]`, and the state after."""
    values = {k: torch.from_numpy(v) for k, v in x.items()}
    present = {m.name: torch.from_numpy(mask[..., i]) for i, m in enumerate(model.inputs)}
    latents = model.infer(values, present, state)
    prediction, surprise = model.told(values, present, latents)
    nothing = torch.zeros(mask.shape[:2])
    z = latents.mean + torch.from_numpy(noise) * torch.rsqrt(latents.precision)
    outputs = {f"engagement_{k}": v for k, v in prediction._asdict().items()}
    outputs |= {"z_mean": latents.mean, "z_std": torch.rsqrt(latents.precision)}
    outputs["surprise"] = torch.stack([surprise.get(m.name, nothing) for m in model.inputs], -1)
    for m in model.decoded:
        decoded = mean(m.likelihood, model.decode(m.name, z, latents.h))
        outputs[f"reconstruction_{m.name}"] = model.in_raw_units(m, decoded)
    return {k: v.numpy() for k, v in outputs.items()}, latents.state
