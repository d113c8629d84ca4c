"""Simulated people unlike those that the shipped bundles were trained on, with a neutral minute first.

Their faces, cameras, microphones and voices are shifted by more than training people differ, and so is how
engaged they are on the whole. What engagement does to behaviour is the same.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from enrapt.contracts.schemas import AUDIO, BLENDSHAPES, FACE
from enrapt.models.datasets.behaviour import behave, draw_engagement
from enrapt.models.datasets.conversation import LOGIT_EDGE, moments
from enrapt.models.datasets.people import draw_people
from enrapt.models.datasets.simulated_face import face
from enrapt.models.datasets.simulated_voice import voice

Array = NDArray[np.float32]

RATE: Final = 25
NEUTRAL: Final = 60  # s at the beginning
LEVEL: Final = 1.0  # logits; spread of people's mean engagement, beside that of training people, 0.7
FACE_SHIFT: Final = 1.5  # of the spread of resting faces between people, beside that
POSE_SHIFT: Final = np.array([0.25, 0.25, 0.12, 8.0, 6.0, 0.0])  # rad and cm; where the camera is
DISTANCE: Final = 0.3  # ln; of the camera
COLOUR, GAIN, PITCH = 2.0, 8.0, 5.0  # ln power, dB, semitones; microphone and voice


class Unlike(NamedTuple):
    """Attributes:
    values: float32 `[P, T, D]` by modality, NaN where missing.
    engagement: `[P, T]`; within the first `NEUTRAL` s around 0.5.
    """

    values: dict[str, Array]
    engagement: Array


def unlike_people(rng: np.random.Generator, count: int, seconds: float, strength: float = 1.0) -> Unlike:
    """`count` new people, a neutral minute and then a conversation, `seconds` in all.

    Args:
        strength: of all shifts; 0: people like those of the training set.
    """
    ticks, neutral = round(seconds * RATE), NEUTRAL * RATE
    people = draw_people(rng, count)
    level = _logit(draw_engagement(rng, count, ticks, RATE)) + strength * LEVEL * rng.standard_normal(count)
    calm = _logit(draw_engagement(rng, count, neutral, RATE))
    level[:neutral] = 0.3 * rng.standard_normal(count) + 0.3 * (calm - calm.mean(0))
    engagement = (1 / (1 + np.exp(-level))).astype(np.float32)
    behaviour = behave(rng, people, engagement, RATE)
    faces, seen = face(rng, people, behaviour, moments(), RATE)
    voices, heard = voice(rng, people, behaviour, moments(), RATE)
    values = {
        "face": np.where(seen[..., None], _other_faces(rng, faces, strength), np.nan),
        "audio": np.where(heard[..., None], _other_voices(rng, voices, strength), np.nan),
    }
    return Unlike(
        {name: np.ascontiguousarray(v.swapaxes(0, 1), np.float32) for name, v in values.items()}, engagement.T
    )


def _other_faces(rng: np.random.Generator, values: Array, strength: float) -> NDArray[np.floating]:
    count, shapes = values.shape[1], len(BLENDSHAPES)
    between = np.maximum(moments()["blendshapes"]["between"], 0.3)
    logits = _logit(values[..., :shapes]) + strength * FACE_SHIFT * between * rng.standard_normal(
        (count, shapes)
    )
    pose = values[..., shapes:] + strength * POSE_SHIFT * rng.standard_normal((count, 6))
    pose[..., FACE.index("z") - shapes] *= rng.lognormal(0, strength * DISTANCE, count)
    return np.concatenate([1 / (1 + np.exp(-logits)), pose], -1)


def _other_voices(rng: np.random.Generator, values: Array, strength: float) -> NDArray[np.floating]:
    count, out = values.shape[1], values.astype(np.float64)
    bins = AUDIO.index("level")
    bends = np.cos(np.pi * np.arange(4)[:, None] * np.arange(bins) / bins)  # gain, tilt and two bends
    out[..., :bins] += strength * COLOUR * rng.standard_normal((count, len(bends))) @ bends
    out[..., :bins] = np.maximum(out[..., :bins], 0)
    out[..., AUDIO.index("level")] += strength * GAIN * rng.standard_normal(count)
    out[..., AUDIO.index("level")] = np.clip(out[..., AUDIO.index("level")], -96, 0)
    out[..., AUDIO.index("f0")] += strength * PITCH * rng.standard_normal(count)
    return out


def _logit(y: NDArray[np.floating]) -> NDArray[np.floating]:
    y = np.clip(y, LOGIT_EDGE, 1 - LOGIT_EDGE)
    return np.log(y / (1 - y))
