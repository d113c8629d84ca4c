"""WebSocket messages, all JSON: from the server to its clients, and commands from clients."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ...contracts.schemas import AUDIO, BLENDSHAPES, FACE, Schema
from ..engine.estimate import Estimate
from .observed import Landmarks

Values = Mapping[str, NDArray[np.float32] | None]  # of an observation, by modality

EXPRESSIONS: Final = 5  # how many of the strongest are sent

_encoder: Final = msgspec.json.Encoder()

# Eye movements are sent as gaze.
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
    """A client's request to the run."""

    do: Literal["pause", "resume", "mark", "reset", "calibrate", "follow"]
    label: Annotated[str, msgspec.Meta(max_length=200)] = ""
    person: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None

    def __post_init__(self) -> None:
        if (self.do == "follow") != (self.person is not None):
            raise ValueError("`follow` needs a person, and nothing else takes one")


class Passed(msgspec.Struct):
    """A client's request to the run of that person; to the only run, if the name is empty."""

    name: str
    command: Command


command: Final = msgspec.json.Decoder(Command)


def estimate_json(estimate: Estimate) -> str:
    """An estimate, as in a line of JSON Lines."""
    return _encoder.encode(estimate).decode()


def page_estimate(estimate: str, values: Values, schemas: Mapping[str, str]) -> str:
    """An estimate for the page: `estimate_json` with a type and `features`."""
    shown = _encoder.encode(features(values, schemas)).decode()
    return f'{{"type":"estimate",{estimate[1:-1]},"features":{shown}}}'


def typed(kind: str, content: Mapping[str, Any]) -> str:
    """A message of type `hello`, `status`, `people`, `landmarks` or `mark`."""
    return _encoder.encode({"type": kind, **content}).decode()


def landmarks_of(landmarks: Landmarks, person: int | None) -> dict[str, Any]:
    """Landmarks as JSON values.

    Args:
        person: the one that is followed.

    Returns:
        person: as given.
        points: of that one, x and y alternating, in thousandths of the picture's width and height; None if
            not in view.
        others: of the other people in view: each with `person` and `points`.
        aspect: the picture's width / height.
    """
    own, others, aspect = landmarks

    def thousandths(points: NDArray[np.float32]) -> list[int]:
        shown: list[int] = (points.ravel() * 1000).round().astype(int).tolist()
        return shown

    return {
        "person": person,
        "points": None if own is None else thousandths(own),
        "others": [{"person": one, "points": thousandths(points)} for one, points in others.items()],
        "aspect": round(aspect, 3),
    }


def features(values: Values, schemas: Mapping[str, str | None]) -> dict[str, Any]:
    """Readable features of the face and the voice at a tick; None where missing.

    Args:
        values: of the observation, by modality; None where missing.
        schemas: name of the schema by modality; modalities of other schemas are left out.

    Returns:
        yaw_deg, pitch_deg, roll_deg: of the head, signs as in `face/1`.
        gaze_x, gaze_y: of the eyes in the head, -1 to 1: to the right of the picture, and up.
        voice: probability of speech, 0 to 1.
        level_db: dBFS.
        expressions: name and score, 0 to 1, of the strongest.
    """
    shown: dict[str, Any] = dict.fromkeys(
        ("yaw_deg", "pitch_deg", "roll_deg", "gaze_x", "gaze_y", "voice", "level_db", "expressions")
    )
    if (face := _of(values, schemas, FACE)) is not None:
        head = np.degrees(face[_HEAD].astype(np.float64)).round(1)  # float32 would print as more digits
        shown["yaw_deg"], shown["pitch_deg"], shown["roll_deg"] = head.tolist()
        shown["gaze_x"], shown["gaze_y"] = (_GAZE @ face).round(3).tolist()
        scores = face[_EXPRESSIONS]
        strongest = np.argsort(-scores, kind="stable")[:EXPRESSIONS]
        shown["expressions"] = [[BLENDSHAPES[_EXPRESSIONS[i]], round(float(scores[i]), 3)] for i in strongest]
    if (audio := _of(values, schemas, AUDIO)) is not None:
        shown["voice"], shown["level_db"] = round(float(audio[_VOICE]), 3), round(float(audio[_LEVEL]), 1)
    return shown


def _of(values: Values, schemas: Mapping[str, str | None], schema: Schema) -> NDArray[np.float32] | None:
    """Of the first present modality of that schema."""
    for modality, one in values.items():
        if one is not None and schemas.get(modality) == schema.name:
            return one
    return None
