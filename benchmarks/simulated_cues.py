"""What simulated people do, as one who knows the simulator would see it; for `upper_bound.py`."""

import copy
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from enrapt.contracts.schemas import FACE
from enrapt.models.data import FIRST, PEOPLE
from enrapt.models.datasets import behaviour as b
from enrapt.models.datasets.conversation import moments
from enrapt.models.datasets.simulated_face import ACTIONS, NOISE, face
from enrapt.models.datasets.simulated_voice import voice
from enrapt.models.missing import bursts

Array = NDArray[np.float32]
Flags = NDArray[np.bool_]

RATE, TICKS = 25, 2500  # as the shipped bundles were trained and scored
CUES: Final = {  # by the modality that they are in
    "gaze": "face", "nods": "face", "smiles": "face", "brows": "face", "blinks": "face", "lean": "face",
    "lids": "face", "turns": "audio", "back-channels": "audio", "loudness": "audio", "pitch": "audio",
}  # fmt: skip
GAIN: Final = {
    "nods": "nod", "smiles": "smile", "brows": "brow", "blinks": "blink", "back-channels": "backchannel",
}  # fmt: skip


# From one tick to the next: the head's place, the melody of speech, posture.
DRIFT: Final = float(np.exp(-1 / (10 * RATE)))
MELODY: Final = float(np.exp(-1 / (0.3 * RATE)))
LEAN: Final = float(np.exp(-1 / (4 * RATE)))


class Seen(NamedTuple):
    """What the filter sees of a group of people; each `[T, P]` but for habits, `[P]`."""

    engagement: Array
    gains: dict[str, Array]
    talkative: Array
    restless: Array
    there: dict[str, Flags]
    speaker: NDArray[np.int8]
    away: Flags
    down: Flags  # meaningful at the start of a look away
    events: dict[str, Flags]
    z: Array  # cm
    lids: Array  # the shift of their logits in noise
    lids_noise: Array  # `[P]`, variance at a tick
    level: Array  # dB
    pitch: Array  # semitones from the person's mean; NaN where unvoiced


def see(seed: int, group: int, people_count: int = PEOPLE, ticks: int = TICKS) -> Seen:
    """Held-out people of a group, the same as `Conversations.held_out`, with what happened to them."""
    rng = np.random.default_rng((seed, FIRST["test"] + group))
    people = b.draw_people(rng, people_count)
    y = b.draw_engagement(rng, people_count, ticks, RATE)
    again = copy.deepcopy(rng)
    behaviour = b.behave(rng, people, y, RATE)
    _, face_there = face(rng, people, behaviour, moments(), RATE)
    _, sound_there = voice(rng, people, behaviour, moments(), RATE)

    speaker = b._turns(again, people, y, RATE)
    b._gaze(again, people, y, speaker, RATE)
    events = {}
    for name, per_minute in rates(y, speaker == b.PARTNER).items():
        gain = people.gains[GAIN[name]]
        events[name] = again.random(y.shape) < per_minute * gain / (60 * RATE)
        again.lognormal(0, 0.3, y.shape)
    memory = 0.3 ** (25 / RATE)
    x, up = (sharpened(gaze, memory) for gaze in (behaviour.gaze_x, behaviour.gaze_y))

    mine = np.random.default_rng((seed, group, 99))
    normal = mine.standard_normal
    restless = mine.lognormal(np.log(0.6), 0.8, people_count)
    z = 9 * normal(people_count) + behaviour.lean + restless * b.autoregressive(normal(y.shape), DRIFT)
    z += np.sqrt(sway(restless, behaviour.speaking)) * normal(y.shape)
    lids_noise = lid_noise() * (NOISE * mine.lognormal(0, 0.35, people_count)) ** 2
    lids = normal(people_count) + (0.5 - y) * people.gains["blink"]
    lids += np.sqrt(lids_noise) * normal(y.shape)
    level = 6 * normal(people_count) + 6 * (y - 0.5) * people.gains["voice"]
    level += np.sqrt(LOUDNESS) * normal(y.shape)
    extent = 1.5 + 2.5 * y * people.gains["voice"]
    voiced = ~bursts(mine, people_count, ticks, 0.15 * RATE, 0.25 * RATE).T
    pitch = extent * b.autoregressive(normal(y.shape), MELODY)
    return Seen(
        engagement=y,
        gains=people.gains,
        talkative=people.talkative,
        restless=restless.astype(np.float32),
        there={"face": face_there, "audio": sound_there},
        speaker=speaker,
        away=np.hypot(x, up) > 1e-3,
        down=up < -0.13,
        events=events,
        z=z.astype(np.float32),
        lids=lids.astype(np.float32),
        lids_noise=lids_noise.astype(np.float32),
        level=level.astype(np.float32),
        pitch=np.where(voiced & (speaker == b.SELF), pitch, np.nan).astype(np.float32),
    )


def rates(y: Array, listening: Flags) -> dict[str, Array]:
    """Events a minute, before the person's gain, in the simulator's order."""
    return {
        "nods": np.where(listening, 1 + 11 * y, 2),
        "smiles": 0.5 + 3.5 * y,
        "brows": 1 + 4 * y,
        "blinks": 26 - 14 * y,
        "back-channels": np.where(listening, 1 + 9 * y, 0),
    }


def slow(variance: float | Array, memory: float | Array) -> float | Array:
    """Variance of white noise with the power of an autoregressive process at slow frequencies."""
    return variance * (1 + memory) / (1 - memory)


LOUDNESS: Final = float(slow(2.5**2, np.exp(-1 / RATE)) + slow(8.5**2, 0.75 ** (25 / RATE)))  # dB²


def sway(restless: Array, speaking: Flags) -> Array:
    return slow((0.15 * restless * np.where(speaking, 1, 0.35)) ** 2, 0.92 ** (25 / RATE)) + 0.04**2


def lid_noise() -> float:
    """Variance at a tick of the lids' shift, read from all blendshapes with the best weights."""
    m = moments()["blendshapes"]
    factors, rest = np.array(m["factors"]), np.array(m["rest"])
    power = np.einsum("f,fi,fj->ij", slow(1.0, np.array(m["factor_memory"])), factors, factors)
    power += np.diag(slow(np.maximum(rest, 0.01) ** 2, np.array(m["rest_memory"])))  # some are 0
    shift = np.zeros(len(rest))
    for name, weight in ACTIONS["droop"].items():
        shift[FACE.index(name)] = weight
    return float(1 / (shift @ np.linalg.solve(power, shift)))


def sharpened(x: Array, memory: float) -> Array:
    """The inverse of `behaviour._smooth`."""
    return np.vstack([x[:1], (x[1:] - memory * x[:-1]) / (1 - memory)])
