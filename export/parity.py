"""Is the graph in a bundle the model that it was made from?"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from ..contracts.errors import UserError
from ..models.mm_vrnn import MMVRNN
from .bundle import Bundle

TOLERANCE: Final = 1e-5  # of the value, and absolute below 1
BATCHES: Final = (1, 2, 7)


def check_parity(model: MMVRNN, bundle: Bundle, steps: int = 1000, seed: int = 0) -> float:
    """Step the bundle in ONNX Runtime and the model in PyTorch side by side, each on its own state, with
    random inputs and masks, NaN under the masks.

    Returns:
        the largest difference found, of the value, absolute below 1.

    Raises:
        UserError: more than the tolerance; names the output, the step and the batch size.
    """
    return max(_check(model, bundle, batch, steps, np.random.default_rng((seed, batch))) for batch in BATCHES)


@torch.no_grad()
def _check(model: MMVRNN, bundle: Bundle, batch: int, steps: int, rng: np.random.Generator) -> float:
    names = [m.name for m in model.inputs]
    state = model.initial_state(batch)
    carried = {
        f"state_{s.name}": np.full((batch, *s.shape), s.initial, np.float32) for s in bundle.metadata.states
    }
    outputs = [o.name for o in bundle.session.get_outputs()]
    worst = 0.0
    for step in range(steps):
        mask = rng.random((batch, len(names))) < rng.choice([0.0, 0.5, 0.9, 1.0])
        x = {}
        for column, m in enumerate(model.inputs):
            center, scale = (getattr(model, f"{of}_{m.name}").numpy() for of in ("center", "scale"))
            value = (center + scale * 2 * rng.standard_normal((batch, m.dim))).astype(np.float32)
            value[~mask[:, column]] = np.nan
            x[m.name] = value
        prediction, surprise, state = model.predict(
            {k: torch.from_numpy(v)[:, None] for k, v in x.items()},
            {k: torch.from_numpy(mask[:, [i]]) for i, k in enumerate(names)},
            state,
        )
        expected = {f"engagement_{k}": v[:, 0].numpy() for k, v in prediction._asdict().items()}
        expected["surprise"] = np.stack(
            [surprise[k][:, 0].numpy() if k in surprise else np.zeros(batch, np.float32) for k in names], 1
        )
        expected["next_state_h"] = state.numpy()
        got = dict(
            zip(
                outputs,
                bundle.session.run(outputs, x | {"mask": mask.astype(np.float32)} | carried),
                strict=True,
            )
        )
        carried = {k: got[f"next_{k}"] for k in carried}
        for key, value in expected.items():
            difference = _difference(value, got[key])
            if not difference <= TOLERANCE:
                raise UserError(
                    f"{bundle.path}: {key} differs from the model's by {difference:.1e} at step {step}, "
                    f"batch {batch}, allowed {TOLERANCE:.0e}; the bundle is not to be used"
                )
            worst = max(worst, difference)
    return worst


def _difference(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    return float(np.max(np.abs(expected - found) / np.maximum(1, np.abs(expected))))
