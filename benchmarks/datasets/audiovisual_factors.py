"""Two linked sequences with known factors: static, shared, and specific to one modality.

    static  [2] ~ N(0, I), constant over a sequence
    shared  [2], audio [1], video [1]: f_t = 0.8 f_{t-1} + 0.6 N(0, I), stationary with variance 1
    x_t^m = B_m tanh(A_m [static, shared_t, m_t]) + 0.1 N(0, I)          m: audio [10], video [14]

A_m and B_m are drawn once and are the same for every data set.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

FACTORS: Final = {"static": 2, "shared": 2, "audio": 1, "video": 1}
DIMS: Final = {"audio": 10, "video": 14}
HIDDEN: Final = 12
NOISE: Final = 0.1

_rng = np.random.default_rng(20230508)
_A: Final = {m: _rng.normal(size=(5, HIDDEN)) / np.sqrt(5) for m in DIMS}
_B: Final = {m: _rng.normal(size=(HIDDEN, dim)) / np.sqrt(HIDDEN) * 2 for m, dim in DIMS.items()}


def factors(rng: np.random.Generator, streams: int, ticks: int) -> dict[str, Array]:
    """Factors by name: `[streams, ticks, size]`; the static ones are repeated over ticks."""
    out = {}
    for name, size in FACTORS.items():
        f = rng.normal(size=(streams, ticks, size))
        for t in range(1, ticks):
            f[:, t] = f[:, t - 1] if name == "static" else 0.8 * f[:, t - 1] + 0.6 * f[:, t]
        out[name] = f.astype(np.float32)
    return out


def render(f: Mapping[str, Array]) -> dict[str, Array]:
    """Noiseless observations of the factors: `[streams, ticks, dim]` by modality."""
    return {
        m: (np.tanh(np.concatenate([f["static"], f["shared"], f[m]], -1) @ _A[m]) @ _B[m]).astype(np.float32)
        for m in DIMS
    }


def simulate(rng: np.random.Generator, streams: int, ticks: int) -> tuple[dict[str, Array], dict[str, Array]]:
    """Factors and noisy observations, `[streams, ticks, dim]` by modality."""
    f = factors(rng, streams, ticks)
    x = {m: v + NOISE * rng.normal(size=v.shape).astype(np.float32) for m, v in render(f).items()}
    return f, x
