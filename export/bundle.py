"""A bundle: one ONNX file with the model's step, its weights, and a description of itself.

Nothing here needs torch or the onnx package. The description is one JSON text in the file's
`metadata_props` under the key `enrapt`; it holds the SHA-256 of all the rest of the file, which is checked
before the graph is given to ONNX Runtime.
"""

import hashlib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, Self

import msgspec
import onnxruntime as ort

from ..contracts.errors import UserError
from ..contracts.schemas import schema

VERSION: Final = 1
KEY: Final = "enrapt"
MAX_BYTES: Final = 64 * 2**20  # a step model is a few MB; more is not one of ours

Role = Literal["observed", "target", "context"]


class ModalitySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One modality: what the graph takes (`observed`, `context`) or tells (`target`)."""

    name: str
    role: Role
    dim: int
    likelihood: str
    schema: str | None = None


class StateSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One recurrent state: input `state_NAME`, output `next_state_NAME`, `[batch, *shape]`."""

    name: str
    shape: tuple[int, ...]
    initial: float


class TrainingData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the weights have seen."""

    name: str
    description: str
    limits: str
    seed: int
    ticks: int


class Metadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a bundle says of itself.

    Attributes:
        rate: ticks per second.
        modalities: in the order of the mask's columns; targets have no column.
        lag: ticks by which an estimate looks into the future; 0 is causal.
        quality: measured figures by pattern of missing modalities, then by name.
        sha256: of the file without this description, hexadecimal.
    """

    bundle_version: int
    name: str
    version: str
    model: str
    config: dict[str, Any]
    rate: int
    modalities: tuple[ModalitySpec, ...]
    states: tuple[StateSpec, ...]
    lag: int
    training_data: TrainingData
    quality: dict[str, dict[str, float]]
    licence: str
    sha256: str

    @property
    def inputs(self) -> tuple[ModalitySpec, ...]:
        """The modalities that the graph takes, in the order of the mask's columns."""
        return tuple(m for m in self.modalities if m.role != "target")


ESTIMATES: Final = ("engagement_mean", "engagement_std", "engagement_low", "engagement_high")


class Bundle:
    """A checked bundle, ready to run.

    Attributes:
        path: where it was read from.
        metadata: what it says of itself.
        session: its graph in ONNX Runtime, on one thread.
    """

    def __init__(self, path: Path, metadata: Metadata, session: ort.InferenceSession) -> None:
        self.path = path
        self.metadata = metadata
        self.session = session

    @classmethod
    def load(cls, source: str | Path) -> Self:
        """Read and check a bundle.

        Args:
            source: a file, or the name of a shipped bundle (`default`).

        Raises:
            UserError: no such file, not a bundle, damaged, or made for another version.
        """
        path = find_bundle(source)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise UserError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so not an enrapt bundle")
            data = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); give another bundle") from None
        metadata = read_metadata(data, str(path))
        options = ort.SessionOptions()
        # One step is tens of microseconds: handing it to other threads, or spinning for it, only costs.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        try:
            session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises its own kinds, all direct children of Exception
            reason = str(error).splitlines()[0]
            raise UserError(f"{path}: ONNX Runtime {ort.__version__} cannot load it ({reason})") from None
        _check_graph(metadata, session, str(path))
        return cls(path, metadata, session)


def find_bundle(source: str | Path) -> Path:
    """The file of a bundle given by path or by the name of a shipped one."""
    shipped = Path(str(files(__package__) / "bundles"))
    if (named := shipped / f"{source}.onnx").is_file() and not Path(source).exists():
        return named
    path = Path(source)
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in shipped.glob("*.onnx"))) or "none"
        raise UserError(f"{path}: no such bundle; give a .onnx file or a shipped one's name ({names})")
    return path


def digest(model: bytes) -> str:
    """SHA-256 of a serialised ONNX model without its `metadata_props`, hexadecimal."""
    rest = hashlib.sha256()
    for field, start, _, end in _fields(memoryview(model)):
        if field != _METADATA_PROPS:
            rest.update(model[start:end])
    return rest.hexdigest()


def read_metadata(model: bytes, name: str) -> Metadata:
    """The description inside a serialised bundle, checked against the bytes around it.

    Raises:
        UserError: not ONNX, not a bundle, of another version, or damaged; names `name`.
    """
    text = None
    try:
        for field, _, value, end in _fields(memoryview(model)):
            if field == _METADATA_PROPS:
                entry = {f: bytes(model[v:e]) for f, _, v, e in _fields(memoryview(model), value, end)}
                if entry.get(1) == KEY.encode():
                    text = entry.get(2, b"")
    except ValueError:
        raise UserError(f"{name}: not an ONNX file, or damaged; get a whole copy of the bundle") from None
    if text is None:
        raise UserError(f"{name}: not an enrapt bundle (it has no description of itself)")
    try:
        version = msgspec.json.decode(text, type=dict[str, Any]).get("bundle_version")
        if version != VERSION:
            raise UserError(f"{name}: bundle version {version}, but this enrapt reads version {VERSION}")
        metadata = msgspec.json.decode(text, type=Metadata)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{name}: its description is damaged ({error}); get a whole copy") from None
    if metadata.sha256 != digest(model):
        raise UserError(f"{name}: damaged (SHA-256 differs from its description's); get a whole copy")
    for modality in metadata.modalities:
        if modality.schema is not None and (known := schema(modality.schema)).dim != modality.dim:
            raise UserError(f"{name}: {modality.name} has {modality.dim} numbers, {known.name} {known.dim}")
    return metadata


def _check_graph(metadata: Metadata, session: ort.InferenceSession, name: str) -> None:
    """Every input and output that the description promises is there, with its shape."""
    inputs = {m.name: [m.dim] for m in metadata.inputs} | {"mask": [len(metadata.inputs)]}
    inputs |= {f"state_{s.name}": [*s.shape] for s in metadata.states}
    outputs = {key: [1] for key in ESTIMATES} | {"surprise": [len(metadata.inputs)]}
    outputs |= {f"next_state_{s.name}": [*s.shape] for s in metadata.states}
    if unknown := {i.name for i in session.get_inputs()} - inputs.keys():
        raise UserError(
            f"{name}: its graph wants inputs that it does not describe: {', '.join(sorted(unknown))}"
        )
    for kind, wanted, found in (
        ("input", inputs, session.get_inputs()),
        ("output", outputs, session.get_outputs()),
    ):
        shapes = {f.name: (f.shape, f.type) for f in found}
        for key, shape in wanted.items():
            if key not in shapes:
                raise UserError(f"{name}: its graph has no {kind} {key!r}; make the bundle anew")
            (batch, *rest), kind_of = shapes[key]
            if rest != shape or isinstance(batch, int) or kind_of != "tensor(float)":
                raise UserError(
                    f"{name}: {kind} {key!r} is {kind_of} {shapes[key][0]}, expected float [batch, *{shape}]"
                )


_METADATA_PROPS: Final = 14  # field of onnx.ModelProto; its entries have key = 1, value = 2


def _fields(data: memoryview, at: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int, int]]:
    """The fields of one serialised Protocol Buffers message: (number, start, start of value, end).

    Raises:
        ValueError: these bytes are no such message.
    """
    end = len(data) if end is None else end
    while at < end:
        start = at
        tag, at = _varint(data, at, end)
        value = at
        match tag & 7:
            case 0:
                _, at = _varint(data, at, end)
            case 1:
                at += 8
            case 2:
                length, value = _varint(data, at, end)
                at = value + length
            case 5:
                at += 4
            case _:
                raise ValueError("unknown wire type")
        if at > end or tag >> 3 == 0:
            raise ValueError("ends inside a field")
        yield tag >> 3, start, value, at


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 64, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
    raise ValueError("ends inside a number")
