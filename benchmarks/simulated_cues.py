"""What simulated people do, as one who knows the simulator would see it; for `upper_bound.py`."""

import copy
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from enrapt.models.data import FIRST, PEOPLE
from enrapt.models.datasets import behaviour as b
from enrapt.models.datasets.conversation import moments
from enrapt.models.datasets.people import People, draw_people
from enrapt.models.datasets.simulated_face import face
from enrapt.models.datasets.simulated_voice import loudness, melody, voice
from enrapt.models.datasets.turn_taking import PARTNER, SELF, Turns, take_turns
from enrapt.models.missing import bursts

Array = NDArray[np.float32]
Flags = NDArray[np.bool_]

RATE, TICKS = 25, 2500  # as the shipped bundles were trained and scored
CUES: Final = {  # by the modality that they are in
    "gaze": "face", "nods": "face", "smiles": "face", "brows": "face", "lean": "face", "turns": "audio",
    "loudness": "audio", "pitch": "audio",
}  # fmt: skip
EVENTS: Final = ("nods", "smiles", "brows")
MICROPHONE: Final = float(np.hypot(5.3, 2.9))  # dB; spread of level between people


# From one tick to the next: the head's place, the melody of speech, posture.
DRIFT: Final = float(np.exp(-1 / (10 * RATE)))
MELODY: Final = float(np.exp(-1 / (0.3 * RATE)))
LEAN: Final = float(np.exp(-1 / (4 * RATE)))


class Seen(NamedTuple):
    """What the filter sees of a group of people; each `[T, P]` but for `people` and `restless`, `[P]`."""

    engagement: Array
    people: People
    restless: Array
    there: dict[str, Flags]
    turns: Turns
    away: Flags
    down: Flags  # meaningful at the start of a look away
    events: dict[str, Flags]
    z: Array  # cm
    level: Array  # dB
    pitch: Array  # semitones from the person's mean; NaN where unvoiced


def see(seed: int, group: int, people_count: int = PEOPLE, ticks: int = TICKS) -> Seen:
    """Held-out people of a group, the same as `Conversations.held_out`, with what happened to them."""
    rng = np.random.default_rng((seed, FIRST["test"] + group))
    people = draw_people(rng, people_count)
    y = b.draw_engagement(rng, people_count, ticks, RATE)
    again = copy.deepcopy(rng)
    behaviour = b.behave(rng, people, y, RATE)
    _, face_there = face(rng, people, behaviour, moments(), RATE)
    _, sound_there = voice(rng, people, behaviour, moments(), RATE)

    turns = take_turns(again, people, y, RATE)
    b._gaze(again, people, y, turns.speaker, RATE)
    events = {}
    for name, per_minute in b.event_rates(people, y, turns.own, turns.speaker == PARTNER).items():
        events[name] = again.random(y.shape) < per_minute / (60 * RATE)
        again.lognormal(0, 0.3, y.shape)
    memory = 0.3 ** (25 / RATE)
    x, up = (sharpened(gaze, memory) for gaze in (behaviour.gaze_x, behaviour.gaze_y))

    mine = np.random.default_rng((seed, group, 99))
    normal = mine.standard_normal
    restless = mine.lognormal(np.log(0.6), 0.8, people_count)
    z = 9 * normal(people_count) + behaviour.lean + restless * b.autoregressive(normal(y.shape), DRIFT)
    z += np.sqrt(sway(restless, behaviour.speaking)) * normal(y.shape)
    level = MICROPHONE * normal(people_count) + loudness(people, y) - people.loudness
    level = level + np.sqrt(LOUDNESS) * normal(y.shape)
    voiced = ~bursts(mine, people_count, ticks, 0.15 * RATE, 0.25 * RATE).T
    pitch = melody(people, y) * b.autoregressive(normal(y.shape), MELODY)
    return Seen(
        engagement=y,
        people=people,
        restless=restless.astype(np.float32),
        there={"face": face_there, "audio": sound_there},
        turns=turns,
        away=np.hypot(x, up) > 1e-3,
        down=up < -0.13,
        events=events,
        z=z.astype(np.float32),
        level=level.astype(np.float32),
        pitch=np.where(voiced & (turns.speaker == SELF), pitch, np.nan).astype(np.float32),
    )


def slow(variance: float | Array, memory: float | Array) -> float | Array:
    """Variance of white noise with the power of an autoregressive process at slow frequencies."""
    return variance * (1 + memory) / (1 - memory)


LOUDNESS: Final = float(slow(2.5**2, np.exp(-1 / RATE)) + slow(8.5**2, 0.75 ** (25 / RATE)))  # dB²


def sway(restless: Array, speaking: Flags) -> Array:
    return slow((0.15 * restless * np.where(speaking, 1, 0.35)) ** 2, 0.92 ** (25 / RATE)) + 0.04**2


def sharpened(x: Array, memory: float) -> Array:
    """The inverse of `behaviour._smooth`."""
    return np.vstack([x[:1], (x[1:] - memory * x[:-1]) / (1 - memory)])
