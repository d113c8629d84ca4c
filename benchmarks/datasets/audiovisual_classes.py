"""Sequences of `audiovisual_factors` of 8 classes, some of which sound alike and others look alike.

    label      uniform, one a sequence: a place on a circle of radius 1.2, [2]
    static^m   N(place of the label, diag(s^m)²), [2], one a sequence
               s^audio = (1.0, 0.3), s^video = (0.3, 1.0)
    x_t^m      as in `audiovisual_factors`, with static^m as the static factor of modality m

The circle is that of affect (Russell 1980), the first axis valence and the second arousal: the voice tells
arousal and little of valence, the face valence and little of arousal, so that each tells apart what the other
confuses.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .audiovisual_factors import DIMS, NOISE, Array, factors, render

CLASSES: Final = 8
RADIUS: Final = 1.2
SPREAD: Final = {"audio": np.array([1.0, 0.3]), "video": np.array([0.3, 1.0])}

# Half a step on from the axes: each axis then has four levels, with two classes on each.
_angle = 2 * np.pi * (np.arange(CLASSES) + 0.5) / CLASSES
PLACES: Final = RADIUS * np.column_stack([np.cos(_angle), np.sin(_angle)])


class Sequences(NamedTuple):
    """Classes, and by modality the static factors and what is observed.

    Attributes:
        label: `[streams]`.
        static: `[streams, 2]` by modality.
        x: `[streams, ticks, dim]` by modality.
    """

    label: NDArray[np.int64]
    static: dict[str, Array]
    x: dict[str, Array]


def simulate(rng: np.random.Generator, streams: int, ticks: int) -> Sequences:
    """Sequences of `ticks` each, independent of one another."""
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
    """The most probable label `[streams]` given static factors of some modalities: nothing errs less.

    From x neither: it tells nothing of the label that its static factor does not.
    """
    distance = [np.square((s[:, None] - PLACES) / SPREAD[m]).sum(-1) for m, s in static.items()]
    return np.argmin(np.sum(distance, axis=0), axis=-1)
