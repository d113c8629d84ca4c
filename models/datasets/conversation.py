"""Simulated conversations, in the units of `face/1` and `audio/1`.

A person talks with a partner in front of a webcam. Engagement wanders and jumps; turns, gaze, nods, smiles,
posture, back-channels and the voice depend on it as the literature says (`behaviour.py`); a camera and a
microphone see and hear it (`simulated_face.py`, `simulated_voice.py`) with the means and spreads that the
extractors give on real clips (`moments.json`, made by `benchmarks/clip_moments.py`). People differ in their
resting face, expressiveness, habits, voice, camera, microphone and room; tracking is lost, microphones are
muted.

These are no people. A model trained on them can be used to try a pipeline and to build prototypes; how well
it does on human beings is not known.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .behaviour import behave, draw_engagement, draw_people
from .simulated_face import face
from .simulated_voice import voice

LOGIT_EDGE: Final = 1e-4  # blendshapes are kept this far from 0 and 1 before their logits are taken


class Sessions(NamedTuple):
    """Conversations side by side.

    Attributes:
        values: float32 `[P, T, D]` by modality: face, audio, engagement; raw units.
        available: bool `[P, T]` by modality; what is not available has values all the same, to be ignored.
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
