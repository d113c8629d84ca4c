"""Sequences of `audiovisual_factors` in 8 classes, some of which sound alike and others look alike.

    label      uniform, one per sequence: a point on a circle of radius 1.2, [2]
    static^m   N(point of the label, diag(s^m)²), [2], one per sequence
               s^audio = (1.0, 0.3), s^video = (0.3, 1.0)
    x_t^m      as in `audiovisual_factors`, with static^m as the static factor of modality m

The circle is that of affect (Russell 1980), with valence and arousal as axes: the voice is informative about
arousal, the face about valence, so each separates classes that the other confuses.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .audiovisual_factors import DIMS, NOISE, Array, factors, render

CLASSES: Final = 8
RADIUS: Final = 1.2
SPREAD: Final = {"audio": np.array([1.0, 0.3]), "video": np.array([0.3, 1.0])}

# Half a step off the axes: each axis has four levels with two classes each.
_angle = 2 * np.pi * (np.arange(CLASSES) + 0.5) / CLASSES
PLACES: Final = RADIUS * np.column_stack([np.cos(_angle), np.sin(_angle)])


class Sequences(NamedTuple):
    """Classes, with static factors and observations by modality.

    Attributes:
        label: `[streams]`.
        static: `[streams, 2]` by modality.
        x: `[streams, ticks, dim]` by modality.
    """

    label: NDArray[np.int64]
    static: dict[str, Array]
    x: dict[str, Array]


def simulate(rng: np.random.Generator, streams: int, ticks: int) -> Sequences:
    """Independent sequences of `ticks` each."""
    label = rng.integers(CLASSES, size=streams)
    static = {
        m: (PLACES[label] + s * rng.normal(size=(streams, 2))).astype(np.float32) for m, s in SPREAD.items()
    }
    f = factors(rng, streams, ticks)
    x = {}
    for m in DIMS:
        f["static"] = np.repeat(static[m][:, None], ticks, axis=1)
        clean = render(f)[m]
        x[m] = clean + NOISE * rng.normal(size=clean.shape).astype(np.float32)
    return Sequences(label, static, x)


def bayes(static: Mapping[str, Array]) -> NDArray[np.int64]:
    """The most probable label `[streams]` given static factors of some modalities: the optimal decision.

    It is also optimal given x, which depends on the label only through its static factor.
    """
    distance = [np.square((s[:, None] - PLACES) / SPREAD[m]).sum(-1) for m, s in static.items()]
    return np.argmin(np.sum(distance, axis=0), axis=-1)
