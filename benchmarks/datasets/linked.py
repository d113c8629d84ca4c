"""Two linked modalities, a and b, of two numbers per tick: each is informative about the other.

    spiral      a point moves outwards on a cone, θ_t = φ + ω t, r_t = r_0 + g t, seen from two sides:
                a_t = (r_t cos θ_t, r_t),  b_t = (r_t sin θ_t, r_t)
    quadratic   a_t as below,  b_t = (a_1 + a_2², a_2 + a_1²)
    sinusoid    a_t as below,  b_t = (sin(a_1 + a_2), sin(a_1 − a_2))

    a_{t,i} = √2 cos(φ_i + ω_i t)    of variance 1, i = 1, 2
    x_t^m   = m_t + 0.1 N(0, I)      observation of m = a, b

Phases φ, speeds ω, r_0 and g are drawn for each sequence. Of the six mappings from one modality to the other,
only a → b of the last two is a function. The rest are ambiguous at a single tick (y from x and r up to its
sign, for example), and less so over time, as all phases grow.
"""

from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Link = Literal["spiral", "quadratic", "sinusoid"]
DIMS: Final = {"a": 2, "b": 2}
NOISE: Final = 0.1
SPEED: Final = (0.1, 0.4)  # ω, radians per tick
START: Final = (0.3, 1.0)  # r_0
GROWTH: Final = (0.0, 0.03)  # g, per tick


class Sequences(NamedTuple):
    """Noiseless and observed values by modality, `[streams, ticks, 2]`."""

    clean: dict[str, Array]
    x: dict[str, Array]


def simulate(rng: np.random.Generator, link: Link, streams: int, ticks: int) -> Sequences:
    """Independent sequences of `ticks` each."""
    phase = rng.uniform(0, 2 * np.pi, (streams, 1, 2))
    angle = phase + rng.uniform(*SPEED, (streams, 1, 2)) * np.arange(ticks)[:, None]  # [streams, ticks, 2]
    if link == "spiral":
        growth = rng.uniform(*GROWTH, (streams, 1))
        r, theta = rng.uniform(*START, (streams, 1)) + growth * np.arange(ticks), angle[..., 0]
        a, b = np.stack([r * np.cos(theta), r], -1), np.stack([r * np.sin(theta), r], -1)
    else:
        a = np.sqrt(2) * np.cos(angle)
        if link == "quadratic":
            b = a + np.square(a[..., ::-1])
        else:
            b = np.sin(np.stack([a[..., 0] + a[..., 1], a[..., 0] - a[..., 1]], -1))
    clean = {"a": a.astype(np.float32), "b": b.astype(np.float32)}
    x = {m: v + NOISE * rng.normal(size=v.shape).astype(np.float32) for m, v in clean.items()}
    return Sequences(clean, x)
