"""What a bundle declares about itself: the structs, and reading them from the file.

The description is one JSON text in the ONNX file's `metadata_props` under the key `enrapt`. It holds the
SHA-256 of all other bytes. The digest detects damage; it is not a signature, so no other check relies on it.
"""

import hashlib
import math
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from ..contracts.errors import UserError, one_line
from ..contracts.schemas import DEFAULT_MAX_AGE, SCHEMAS
from .protobuf import fields, nested

VERSION: Final = 1
KEY: Final = "enrapt"
MAX_NUMBERS: Final = 2**20  # in all modalities, states and latents; far above what a model needs
MAX_TEXT: Final = 2**20  # bytes of the description; the shipped ones have 2 KB
ESTIMATES: Final = ("engagement_mean", "engagement_std", "engagement_low", "engagement_high")  # outputs
_METADATA_PROPS: Final = 14  # field of onnx.ModelProto; its entries have key = 1, value = 2

Role = Literal["observed", "target", "context"]
Graph = Literal["step", "full", "block"]
Name = Annotated[str, Meta(pattern=r"\A\w[\w.-]{0,63}\Z")]  # of tensors, and of files of a session
SchemaName = Annotated[str, Meta(pattern=r"\A[\w./-]{1,64}\Z")]
# Without terminal escapes, and characters that change the direction of a line.
Text = Annotated[
    str, Meta(pattern=r"\A[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f]{0,10000}\Z")
]
Count = Annotated[int, Meta(ge=0, le=10**15)]
Size = Annotated[int, Meta(ge=1, le=MAX_NUMBERS)]


Number = Annotated[float, Meta(ge=-1e9, le=1e9)]
Spread = Annotated[float, Meta(ge=0, le=1e9)]


class Moments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a modality in the training data, one number a dimension, raw units.

    Attributes:
        mean: of people's means.
        between: standard deviation of people's means.
        within: typical standard deviation of one person's values.
    """

    mean: Annotated[tuple[Number, ...], Meta(max_length=MAX_NUMBERS)]
    between: Annotated[tuple[Spread, ...], Meta(max_length=MAX_NUMBERS)]
    within: Annotated[tuple[Spread, ...], Meta(max_length=MAX_NUMBERS)]


class ModalitySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One modality: an input of the graph (`observed`, `context`) or what it predicts (`target`).

    Attributes:
        schema: name and version of the feature schema, which this version of enrapt need not know; None for
            a plain vector, which sources match by the modality's name.
        max_age: seconds after its originating time during which a value counts as present; None: see
            `max_age_at`.
        moments: of the training data, by which one person's differ; None where not known.
    """

    name: Name
    role: Role
    dim: Size
    likelihood: Name
    schema: SchemaName | None = None
    max_age: Annotated[float, Meta(gt=0, le=3600)] | None = None
    moments: Moments | None = None

    def __post_init__(self) -> None:
        if (found := self.moments) is not None:
            sizes = {len(found.mean), len(found.between), len(found.within)}
            if sizes != {self.dim}:
                raise ValueError(f"{self.name} has {self.dim} numbers, but moments of {sorted(sizes)}")

    def max_age_at(self, rate: int) -> float:
        """Seconds during which a value counts as present, in a bundle of that many ticks per second.

        The bundle's own `max_age`; without one, that of a known schema; else `DEFAULT_MAX_AGE` ticks.
        """
        known = SCHEMAS.get(self.schema) if self.schema else None
        of_schema = known.max_age if known else None
        return self.max_age or of_schema or DEFAULT_MAX_AGE / rate


class StateSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One recurrent state: input `state_NAME`, output `next_state_NAME`, `[batch, *shape]`."""

    name: Name
    shape: Annotated[tuple[Size, ...], Meta(max_length=4)]
    initial: Annotated[float, Meta(ge=-1e6, le=1e6)]


class LatentSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One block of z. The blocks are concatenated, in this order, in `z_mean` and `z_std`."""

    name: Name
    dim: Size


class TrainingData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data that the weights were trained on."""

    name: Text
    description: Text
    limits: Text
    seed: Count
    ticks: Count


class Metadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A bundle's description.

    Attributes:
        graph: what one call computes: `step` one tick; `full` one tick and a reconstruction of every
            modality; `block` many ticks, on axis 1 of everything but states.
        rate: ticks per second.
        modalities: inputs are in the order of the mask's columns; targets have no column.
        states: empty for a model without recurrence.
        lag: ticks between the time of an estimate and the newest input it uses; 0 is causal.
        widening: factor on the scale of the predictive distribution, which the graph applies, fitted so that
            the 90 % interval holds 90 % of the labels of other people than the weights were trained on;
            None: not fitted.
        quality: scores by pattern of missing modalities, then by metric.
        sha256: of the file without this description, hexadecimal.
    """

    bundle_version: int
    name: Text
    version: Text
    model: Text
    graph: Graph = "step"
    config: dict[Text, Any]  # a union of Text and list corrupts memory in msgspec 0.22
    rate: Annotated[int, Meta(ge=1, le=1000)]
    modalities: Annotated[tuple[ModalitySpec, ...], Meta(max_length=64)]
    states: Annotated[tuple[StateSpec, ...], Meta(max_length=64)]
    latents: Annotated[tuple[LatentSpec, ...], Meta(min_length=1, max_length=64)]
    lag: Annotated[int, Meta(ge=0, le=100_000)]
    training_data: TrainingData
    widening: Annotated[float, Meta(gt=0, le=1000)] | None = None
    quality: dict[Text, dict[Text, float]]
    licence: Text
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]

    def __post_init__(self) -> None:
        names = [m.name for m in self.modalities] + ["mask"] + [f"state_{s.name}" for s in self.states]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two inputs or modalities are called {min(twice)!r}")
        if not self.inputs:
            raise ValueError("no modality is observed")
        sizes = [m.dim for m in self.modalities] + [z.dim for z in self.latents]
        if sum(sizes) + sum(math.prod(s.shape) for s in self.states) > MAX_NUMBERS:
            raise ValueError(f"modalities, states and latents have more than {MAX_NUMBERS} numbers")
        if not self.name:
            raise ValueError("it has no name")
        if not all(value.isprintable() for value in self.config.values() if isinstance(value, str)):
            raise ValueError("config has text that cannot be printed")

    @property
    def inputs(self) -> tuple[ModalitySpec, ...]:
        """The modalities that the graph takes, in the order of the mask's columns."""
        return tuple(m for m in self.modalities if m.role != "target")


def digest(model: bytes) -> str:
    """SHA-256 of a serialised ONNX model without its `metadata_props`, hexadecimal."""
    rest = hashlib.sha256()
    for field in fields(memoryview(model)):
        if field.number != _METADATA_PROPS:
            rest.update(field.whole)
    return rest.hexdigest()


def read_metadata(model: bytes, name: str) -> Metadata:
    """Read the description of a serialised bundle and check it against the rest of the file.

    Args:
        name: what errors call the bundle.

    Raises:
        UserError: not ONNX, not a bundle, of another version, damaged, a known schema with another dim, or
            an estimate with a lag.
    """
    try:
        texts = [
            entry[2]
            for properties in nested(memoryview(model), _METADATA_PROPS)
            if (entry := {f.number: bytes(f.value) for f in fields(properties)}).get(1) == KEY.encode()
        ]
    except (ValueError, KeyError):
        raise UserError(
            f"{name}: not an ONNX file, or truncated; get a complete copy of the bundle"
        ) from None
    if len(texts) != 1:
        raise UserError(f"{name}: not an enrapt bundle (it has {len(texts) or 'no'} descriptions)")
    if len(texts[0]) > MAX_TEXT:
        raise UserError(f"{name}: its description is larger than {MAX_TEXT >> 20} MiB; export it again")
    try:
        version = msgspec.json.decode(texts[0], type=dict[str, Any]).get("bundle_version")
        if version != VERSION:
            raise UserError(
                f"{name}: bundle version {one_line(version)}, but this enrapt reads version {VERSION}"
            )
        metadata = msgspec.json.decode(texts[0], type=Metadata)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(
            f"{name}: its description is damaged ({one_line(error)}); get a complete copy of the bundle"
        ) from None
    if metadata.sha256 != digest(model):
        raise UserError(f"{name}: damaged (the SHA-256 differs); get a complete copy of the bundle")
    for m in metadata.modalities:
        if (known := SCHEMAS.get(m.schema or "")) and known.dim != m.dim:
            raise UserError(f"{name}: {m.name} has {m.dim} numbers, but {known.name} has {known.dim}")
    if metadata.lag:
        raise UserError(
            f"{name}: its estimates lag {metadata.lag} ticks; this enrapt runs causal bundles (lag 0) only"
        )
    return metadata
