"""What clients are told, and what they may say. All of it is JSON."""

from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...contracts.schemas import AUDIO, BLENDSHAPES, FACE, Schema
from ..engine.estimate import Estimate
from ..streams.samples import Observation

EXPRESSIONS: Final = 5  # the strongest are told

_encoder: Final = msgspec.json.Encoder()

# Where the eyes look is told as gaze.
_EXPRESSIONS: Final = [i for i, name in enumerate(BLENDSHAPES) if not name.startswith("eyeLook")]
_HEAD: Final = [FACE.index(name) for name in ("yaw", "pitch", "roll")]
_VOICE: Final = AUDIO.index("speech")
_LEVEL: Final = AUDIO.index("level")


def _mean_of(*names: str) -> NDArray[np.float64]:
    weights = np.zeros(FACE.dim)
    weights[[FACE.index(name) for name in names]] = 1 / len(names)
    return weights


# A person's left is on the right of the picture.
_GAZE: Final = np.stack(
    [
        _mean_of("eyeLookOutLeft", "eyeLookInRight") - _mean_of("eyeLookInLeft", "eyeLookOutRight"),
        _mean_of("eyeLookUpLeft", "eyeLookUpRight") - _mean_of("eyeLookDownLeft", "eyeLookDownRight"),
    ]
)


class Command(msgspec.Struct, forbid_unknown_fields=True):
    """What a client asks for."""

    do: Literal["pause", "resume", "mark", "reset", "calibrate"]
    label: Annotated[str, msgspec.Meta(max_length=200)] = ""


command: Final = msgspec.json.Decoder(Command)


def estimate_json(estimate: Estimate) -> bytes:
    """A tick, as in a line of JSON Lines."""
    return _encoder.encode(estimate)


def page_estimate(estimate: bytes, observation: Observation) -> bytes:
    """A tick for the page: `estimate_json`, its type, and `features` that people can read."""
    return b'{"type":"estimate",%b,"features":%b}' % (
        estimate[1:-1],
        _encoder.encode(features(observation)),
    )


def typed(kind: str, content: dict[str, Any]) -> bytes:
    """A message of the type `hello`, `status` or `mark`."""
    return _encoder.encode({"type": kind, **content})


def features(observation: Observation) -> dict[str, Any]:
    """What can be seen and heard at a tick; None where it is missing, or in another schema.

    Returns:
        yaw_deg, pitch_deg, roll_deg: of the head, signs as in `face/1`.
        gaze_x, gaze_y: of the eyes in the head, -1 to 1: to the right of the picture, and up.
        voice: 0 to 1, whether somebody speaks.
        level_db: dBFS.
        expressions: name and score, 0 to 1, of the strongest.
    """
    told: dict[str, Any] = dict.fromkeys(
        ("yaw_deg", "pitch_deg", "roll_deg", "gaze_x", "gaze_y", "voice", "level_db", "expressions")
    )
    if (face := _values(observation, "face", FACE)) is not None:
        head = np.degrees(face[_HEAD].astype(np.float64)).round(1)  # which JSON says shorter than float32
        told["yaw_deg"], told["pitch_deg"], told["roll_deg"] = head.tolist()
        told["gaze_x"], told["gaze_y"] = (_GAZE @ face).round(3).tolist()
        scores = face[_EXPRESSIONS]
        strongest = np.argsort(-scores, kind="stable")[:EXPRESSIONS]
        told["expressions"] = [[BLENDSHAPES[_EXPRESSIONS[i]], round(float(scores[i]), 3)] for i in strongest]
    if (audio := _values(observation, "audio", AUDIO)) is not None:
        told["voice"], told["level_db"] = round(float(audio[_VOICE]), 3), round(float(audio[_LEVEL]), 1)
    return told


def _values(observation: Observation, modality: str, schema: Schema) -> NDArray[np.float32] | None:
    values = observation.values.get(modality)
    return values if values is not None and len(values) == schema.dim else None
