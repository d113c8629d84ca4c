"""Simulated conversations, in the units of `face/1` and `audio/1`.

A person talks with a partner in front of a webcam. Engagement drifts and jumps. Turns, voice and facial
movements depend on it as in ratings of real people; gaze, nods and posture, of which nothing was measured, as
reported in the literature (`behaviour.py`). A simulated camera and microphone (`simulated_face.py`,
`simulated_voice.py`) give features with the means and spreads of real clips (`moments.json`, made by
`benchmarks/clip_moments.py`). People differ in resting face, expressiveness, habits, voice, camera,
microphone and room; tracking fails at times and microphones are muted.

A model trained on simulated people can be used to try the pipeline and to build prototypes. Its performance
on real people is unknown.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .behaviour import behave, draw_engagement
from .people import draw_people
from .simulated_face import face
from .simulated_voice import voice

LOGIT_EDGE: Final = 1e-4  # blendshapes are kept this far from 0 and 1 before the logit


class Sessions(NamedTuple):
    """Conversations in parallel.

    Attributes:
        values: float32 `[P, T, D]` by modality: face, audio, engagement; raw units.
        available: bool `[P, T]` by modality; values elsewhere are meaningless.
    """

    values: dict[str, NDArray[np.float32]]
    available: dict[str, NDArray[np.bool_]]


@cache
def moments() -> dict[str, Any]:
    """Means and spreads of features on real clips."""
    table: dict[str, Any] = json.loads((files(__package__) / "moments.json").read_text())
    return table


def simulate(rng: np.random.Generator, count: int, ticks: int, rate: int) -> Sessions:
    """Conversations of `count` new people, `ticks` long at `rate` per second."""
    people = draw_people(rng, count)
    engagement = draw_engagement(rng, count, ticks, rate)
    behaviour = behave(rng, people, engagement, rate)
    face_values, face_there = face(rng, people, behaviour, moments(), rate)
    voice_values, voice_there = voice(rng, people, behaviour, moments(), rate)
    values = {"face": face_values, "audio": voice_values, "engagement": engagement[..., None]}
    available = {"face": face_there, "audio": voice_there, "engagement": np.ones_like(face_there)}
    return Sessions(
        {k: np.ascontiguousarray(v.swapaxes(0, 1)) for k, v in values.items()},
        {k: np.ascontiguousarray(v.T) for k, v in available.items()},
    )
