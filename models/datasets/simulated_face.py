"""A simulated face in the units of `face/1`.

Blendshapes are logistic functions of a person's resting face, of actions (smile, blink, gaze, speech) and of
noise with the size, autocorrelation and covariance of real faces (`moments.json`).
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...contracts.schemas import BLENDSHAPES, FACE
from ..missing import bursts
from .behaviour import Behaviour, autoregressive
from .people import Array, People

# Logits per unit of action.
ACTIONS: Final = {
    "smile": {
        "mouthSmileLeft": 5.0, "mouthSmileRight": 5.0, "mouthUpperUpLeft": 3.0, "mouthUpperUpRight": 3.0,
        "mouthStretchLeft": 1.0, "mouthStretchRight": 1.0, "mouthDimpleLeft": 0.8, "mouthDimpleRight": 0.8,
        "eyeSquintLeft": 0.8, "eyeSquintRight": 0.8, "mouthPucker": -1.5, "mouthFrownLeft": -0.5,
        "mouthFrownRight": -0.5,
    },
    "brow": {
        "browInnerUp": 4.0, "browOuterUpLeft": 2.5, "browOuterUpRight": 2.5, "browDownLeft": -1.0,
        "browDownRight": -1.0, "eyeWideLeft": 0.8, "eyeWideRight": 0.8,
    },
    "blink": {"eyeBlinkLeft": 4.0, "eyeBlinkRight": 4.0, "eyeLookDownLeft": 1.0, "eyeLookDownRight": 1.0},
    # The image's right is the person's left.
    "eyes_right": {
        "eyeLookOutLeft": 6.0, "eyeLookInRight": 6.0, "eyeLookInLeft": -6.0, "eyeLookOutRight": -6.0,
    },
    "eyes_up": {
        "eyeLookUpLeft": 5.0, "eyeLookUpRight": 5.0, "eyeLookDownLeft": -6.0, "eyeLookDownRight": -6.0,
        "eyeBlinkLeft": -2.5, "eyeBlinkRight": -2.5,
    },
    "syllable": {
        "jawOpen": 1.2, "mouthLowerDownLeft": 0.8, "mouthLowerDownRight": 0.8, "mouthFunnel": 0.4,
        "mouthClose": 0.4, "mouthRollLower": -0.4, "mouthPressLeft": -0.5, "mouthPressRight": -0.5,
    },
}  # fmt: skip
STILL: Final = 0.4  # share of the mouth's movement in speech that remains in silence
CLOSED: Final = 1.2  # how far the mouth is closed in silence, against one of the mean syllable
NOISE: Final = 0.85  # share of the real spread that is noise; actions make the rest
MAX_YAW, MAX_PITCH = 0.9, 0.8  # rad; beyond them no face is detected

_MOUTH = np.array([name.startswith(("mouth", "jaw")) for name in BLENDSHAPES])


def face(
    rng: np.random.Generator, people: People, behaviour: Behaviour, moments: dict[str, Any], rate: int
) -> tuple[Array, NDArray[np.bool_]]:
    """Values `[T, P, 57]`, and where a face is detected, `[T, P]`."""
    ticks, count = behaviour.engagement.shape
    logits = _blendshape_logits(rng, people, behaviour, moments["blendshapes"], rate)
    pose = _pose(rng, people, behaviour, moments["pose"], rate)
    values: Array = np.concatenate([1 / (1 + np.exp(-logits)), pose], -1).astype(np.float32)

    # A camera slower than the tick rate repeats values; see `Aligner`.
    camera = rng.choice([30, 30, 30, 25, 15, 12, 10, 7.5], count)
    tick = np.arange(ticks)[:, None]
    shown = np.ceil(np.floor(tick * camera / rate + 1e-6) * rate / camera - 1e-6).astype(np.intp)
    values = values[shown, np.arange(count)]

    lost = bursts(rng, count, ticks, 0.6 * rate, rng.lognormal(np.log(40), 0.8, (count,)) * rate).T
    left = bursts(rng, count, ticks, 4.0 * rate, rng.lognormal(np.log(200), 0.8, (count,)) * rate).T
    turned = (np.abs(values[..., FACE.index("yaw")]) > MAX_YAW) | (
        np.abs(values[..., FACE.index("pitch")]) > MAX_PITCH
    )
    return values, ~(lost | left | turned)


def _blendshape_logits(
    rng: np.random.Generator, people: People, behaviour: Behaviour, moments: dict[str, Any], rate: int
) -> Array:
    ticks, count = behaviour.engagement.shape
    mean, between, rest, rest_memory, factor_memory = (
        np.array(moments[k], np.float32) for k in ("mean", "between", "rest", "rest_memory", "factor_memory")
    )
    factors = np.array(moments["factors"], np.float32)  # [F, 51]
    # Half of a person's individual offset is common to left and right.
    own = _mirrored(rng, count) * np.maximum(between, 0.3)
    slower = 25 / rate
    moving = autoregressive(_normal(rng, ticks, count, len(factors)), factor_memory**slower) @ factors
    moving += autoregressive(_normal(rng, ticks, count, len(BLENDSHAPES)), rest_memory**slower) * rest
    liveliness = rng.lognormal(0, 0.35, (count,)).astype(np.float32)
    gate = np.where(_MOUTH & ~behaviour.speaking[..., None], STILL, 1.0).astype(np.float32)
    logits = mean + own + NOISE * liveliness[:, None] * moving * gate

    syllables = autoregressive(_normal(rng, ticks, count), 0.6**slower)
    syllables = np.where(behaviour.speaking, syllables, -CLOSED)
    eyes = 1 - people.head_share
    amounts = {
        "smile": behaviour.smile * people.expressiveness,
        "brow": behaviour.brow * people.expressiveness,
        "blink": behaviour.blink,
        "eyes_right": behaviour.gaze_x * eyes,
        "eyes_up": behaviour.gaze_y * eyes,
        "syllable": syllables * people.expressiveness,
    }
    for action, weights in ACTIONS.items():
        for name, weight in weights.items():
            logits[..., FACE.index(name)] += weight * amounts[action]
    return logits.astype(np.float32, copy=False)


def _pose(
    rng: np.random.Generator, people: People, behaviour: Behaviour, moments: dict[str, Any], rate: int
) -> Array:
    """yaw, pitch, roll (rad), x, y, z (cm), `[T, P, 6]`."""
    ticks, count = behaviour.engagement.shape
    mean = np.array(moments["mean"], np.float32)
    # Webcam positions vary more than in the clips: same mean, wider spread.
    spread = np.array([0.12, 0.12, 0.06, 4.0, 3.0, 0.0], np.float32)
    base: Array = mean + spread * rng.standard_normal((count, 6)).astype(np.float32)
    base[:, 5] = mean[5] * rng.lognormal(0.1, 0.3, (count,))
    # People differ in how much they move.
    restless = rng.lognormal(np.log(0.6), 0.8, (count,)).astype(np.float32)[:, None]
    drift = np.array([0.04, 0.04, 0.03, 0.8, 0.5, 1.0], np.float32) * restless
    out = base + drift * autoregressive(_normal(rng, ticks, count, 6), float(np.exp(-1 / (10 * rate))))
    # Speech moves the head at 1 to 2 Hz.
    sway = np.array([0.02, 0.025, 0.015, 0.1, 0.1, 0.15], np.float32) * restless
    moved = autoregressive(_normal(rng, ticks, count, 6), 0.92 ** (25 / rate))
    out += sway * moved * np.where(behaviour.speaking, 1.0, 0.35)[..., None]
    out += np.array([0.001, 0.002, 0.0007, 0.01, 0.01, 0.04], np.float32) * _normal(rng, ticks, count, 6)
    out[..., 0] += behaviour.gaze_x * people.head_share
    out[..., 1] += behaviour.nod - behaviour.gaze_y * people.head_share
    out[..., 5] += behaviour.lean
    return out.astype(np.float32)


def _mirrored(rng: np.random.Generator, count: int) -> Array:
    """Unit normals `[P, 51]` with correlation ½ between left and right of a blendshape."""
    stems = [name.removesuffix("Left").removesuffix("Right") for name in BLENDSHAPES]
    columns = {stem: i for i, stem in enumerate(dict.fromkeys(stems))}
    common = _normal(rng, count, len(columns))[:, [columns[stem] for stem in stems]]
    paired = np.array([stems.count(stem) == 2 for stem in stems])
    alone = _normal(rng, count, len(stems))
    return np.where(paired, np.sqrt(0.5) * (common + alone), alone).astype(np.float32)


def _normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape, np.float32)
