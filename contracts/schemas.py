"""Feature schemas: what each number of an observed vector means.

A schema has a name with a version (`face/1`). Extractors produce vectors in a schema's order, data sets
simulate or store them in it, and a bundle names the schema that each of its inputs expects. A change of
order, unit or definition is a new version. A bundle may name a schema that this version of enrapt does not
know, or none: its values then come from a source that declares the same schema, or the modality's name.
"""

from dataclasses import dataclass
from typing import Final

from .errors import UserError


@dataclass(frozen=True, slots=True)
class Schema:
    """The meaning of a feature vector.

    Attributes:
        name: schema and version, `face/1`; empty for a vector without a schema.
        features: the name of each dimension, in order.
        units: the unit of each dimension, in order; empty where unknown.
        max_age: seconds after its originating time during which a sample counts as present; None if the
            schema does not define it.
    """

    name: str
    features: tuple[str, ...]
    units: tuple[str, ...]
    max_age: float | None = None

    @property
    def dim(self) -> int:
        """Number of features."""
        return len(self.features)

    def index(self, feature: str) -> int:
        """Where a feature is in a vector; ValueError if it is not."""
        return self.features.index(feature)


# The order of MediaPipe's face_blendshapes network, without its first output (`_neutral`, always near 0).
BLENDSHAPES: Final = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight",
    "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight",
    "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight",
    "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight",
)  # fmt: skip

# Rotation takes the canonical face to the camera's axes (x right in the picture, y up, z towards the
# camera) as R = Ry(yaw) Rx(pitch) Rz(roll): yaw > 0 turns the nose to the right of the picture, pitch > 0
# lowers it, roll > 0 tilts the head counter-clockwise in the picture. Translation is that of the face's
# origin on the same axes, so z is negative: minus the distance.
FACE: Final = Schema(
    name="face/1",
    features=(*BLENDSHAPES, "yaw", "pitch", "roll", "x", "y", "z"),
    units=("0..1",) * len(BLENDSHAPES) + ("rad",) * 3 + ("cm",) * 3,
    max_age=0.25,  # 1.25 frames of the slowest supported camera, 5 frames/s
)

MEL_BINS: Final = 40
AUDIO: Final = Schema(
    name="audio/1",
    features=(*(f"mel{i:02d}" for i in range(MEL_BINS)), "level", "f0", "voicing", "speech"),
    units=("ln power",) * MEL_BINS + ("dBFS", "semitones re 100 Hz", "0..1", "0..1"),
    max_age=0.1,  # 2.5 ticks of 40 ms
)

# What OpenFace 2 measures of a face (Baltrušaitis et al. 2018), by the names of its columns. Intensities of
# action units are 0 (absent) to 5. The pose is that of the head relative to the camera: R turns around x
# (pitch), y (yaw) and z (roll); T is its place, z away from the camera. Gaze is the mean of both eyes, from
# the camera's axis: x > 0 to the right in the picture, y > 0 downwards.
ACTION_UNITS: Final = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
OPENFACE: Final = Schema(
    name="openface/1",
    features=(
        *(f"AU{number:02d}_r" for number in ACTION_UNITS),
        *("pose_Rx", "pose_Ry", "pose_Rz", "pose_Tx", "pose_Ty", "pose_Tz"),
        *("gaze_angle_x", "gaze_angle_y"),
    ),
    units=("0..5",) * len(ACTION_UNITS) + ("rad",) * 3 + ("mm",) * 3 + ("rad",) * 2,
    max_age=0.25,  # as face/1
)

# Who speaks: 1 while the person, or whoever the person talks with, does; a back-channel ("mhm") is the
# person's and takes no turn. Shares where a sample stands for a stretch of time.
TURNS: Final = Schema(
    name="turns/1",
    features=("own", "partner", "backchannel"),
    units=("0..1",) * 3,
    max_age=0.1,  # 2.5 ticks of 40 ms
)

# Whether somebody speaks. A model of two people has two modalities of this schema, `own` and `partner`.
SPEAKING: Final = Schema(
    name="speaking/1",
    features=("speaking",),
    units=("0..1",),
    max_age=1.0,  # a robot says that it still speaks once a second
)
OWN: Final = "own"
PARTNER: Final = "partner"

SCHEMAS: Final = {schema.name: schema for schema in (FACE, AUDIO, OPENFACE, TURNS, SPEAKING)}
DEFAULT_MAX_AGE: Final = 2.5  # ticks; where neither bundle nor schema defines one. A late sample is tolerated


def schema(name: str) -> Schema:
    """The known schema of that name.

    Raises:
        UserError: this version of enrapt does not know it.
    """
    try:
        return SCHEMAS[name]
    except KeyError:
        raise UserError(
            f"unknown feature schema {name!r}; this version of enrapt knows {', '.join(SCHEMAS)}"
        ) from None


def schema_of(name: str | None, dim: int) -> Schema:
    """The schema of a vector of `dim` numbers, known or not.

    An unknown schema, or none (None, empty), gets generated feature names `x0`, `x1`, … and no units.

    Raises:
        UserError: a known schema has another number of features.
    """
    known = SCHEMAS.get(name or "")
    if known is None:
        return Schema(name or "", tuple(f"x{i}" for i in range(dim)), ("",) * dim)
    if known.dim != dim:
        raise UserError(f"{known.name} has {known.dim} numbers, not {dim}")
    return known
