"""Simulated people: habits in which they differ."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

GAINS: Final = ("gaze", "nod", "smile", "brow", "lean", "pause", "turns", "voice")
# Spread of the logarithm. Of the correlation of silence with the rating, CONVERSE's 38 people have a mean of
# −0.36 and a standard deviation of 0.20, 0.14 of it by chance: 0.4 of the mean.
GAIN_SPREAD: Final = 0.4


class People(NamedTuple):
    """Differences between simulated people, each `[P]`.

    Attributes:
        expressiveness: factor on facial actions.
        gains: factor on each other effect of engagement, by its name in `GAINS`.
        talkative, partner_talkative: factor on the odds of another utterance in the same turn.
        partner_lively: factor on the odds of overlaps, and on the partner's back-channels.
        pause: factor on pauses within turns.
        head_share: share of a gaze shift made by the head; the eyes make the rest.
        nod_frequency: Hz.
        loudness: dB from what the microphone gives of others.
        pitch: mean, semitones re 100 Hz.
        melody: spread of pitch, semitones.
    """

    expressiveness: Array
    gains: dict[str, Array]
    talkative: Array
    partner_talkative: Array
    partner_lively: Array
    pause: Array
    head_share: Array
    nod_frequency: Array
    loudness: Array
    pitch: Array
    melody: Array


def draw_people(rng: np.random.Generator, count: int) -> People:
    """New people. Spreads of speech: own shares and pauses in CONVERSE, level and pitch in the MIT
    interviews (3.4 dB, 42 Hz, 4.0 ± 1.2 semitones with octave errors); of the face: our own choice."""
    return People(
        expressiveness=_lognormal(rng, 1.0, 0.4, count),
        gains={name: _lognormal(rng, 1.0, GAIN_SPREAD, count) for name in GAINS},
        talkative=_lognormal(rng, 1.0, 0.4, count),
        partner_talkative=_lognormal(rng, 1.0, 0.5, count),
        partner_lively=_lognormal(rng, 1.0, 0.6, count),
        pause=_lognormal(rng, 1.0, 0.3, count),
        head_share=rng.uniform(0.2, 0.7, count).astype(np.float32),
        nod_frequency=rng.uniform(2.0, 3.5, count).astype(np.float32),
        loudness=rng.normal(0, 2.9, count).astype(np.float32),
        pitch=draw_pitch(rng, count),
        melody=_lognormal(rng, 2.6, 0.3, count),
    )


def draw_pitch(rng: np.random.Generator, count: int) -> Array:
    """Mean pitch of men and women, semitones re 100 Hz."""
    means = np.where(rng.random(count) < 0.5, rng.normal(2, 2.5, count), rng.normal(11.5, 2.5, count))
    return means.astype(np.float32)


def _lognormal(rng: np.random.Generator, median: float, sigma: float, count: int) -> Array:
    return (median * rng.lognormal(0, sigma, (count,))).astype(np.float32)
