"""A bundle: one ONNX file with the model's step, its weights, and a description of itself.

Nothing here needs torch or the onnx package. The description is one JSON text in the file's
`metadata_props` under the key `enrapt`; it holds the SHA-256 of all the rest of the file.

A bundle is checked before it is used: its description, its digest and its weights before ONNX Runtime sees
the graph, then the graph's inputs and outputs against the description, then some ticks of made-up numbers.
The digest finds damage; it is no signature, so the other checks do not rely on it.
"""

import hashlib
import math
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import msgspec
import numpy as np
from msgspec import Meta

from ..contracts.errors import UserError
from ..contracts.schemas import schema
from .graph_checks import check_model
from .protobuf import fields, nested
from .runtime import ort

VERSION: Final = 1
KEY: Final = "enrapt"
MAX_BYTES: Final = 64 * 2**20  # a step model is a few MB; more is not one of ours
MAX_NUMBERS: Final = 2**20  # of a state, and of a modality: a bound, not a size to aim at

Role = Literal["observed", "target", "context"]
Graph = Literal["step", "full", "block"]
Name = Annotated[str, Meta(pattern=r"\A[\w./-]{1,64}\Z")]
Text = Annotated[str, Meta(pattern=r"\A[^\x00-\x1f\x7f-\x9f]{0,10000}\Z")]  # nothing that a terminal obeys
Count = Annotated[int, Meta(ge=0, le=10**15)]
Size = Annotated[int, Meta(ge=1, le=MAX_NUMBERS)]
Setting = Text | int | float | bool | list[Any] | dict[str, Any] | None


class ModalitySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One modality: what the graph takes (`observed`, `context`) or tells (`target`).

    Attributes:
        max_age: seconds after its originating time during which a value counts as present; None where its
            schema does not say.
    """

    name: Name
    role: Role
    dim: Size
    likelihood: Name
    schema: Name | None = None
    max_age: Annotated[float, Meta(gt=0, le=3600)] | None = None


class StateSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One recurrent state: input `state_NAME`, output `next_state_NAME`, `[batch, *shape]`."""

    name: Name
    shape: Annotated[tuple[Size, ...], Meta(max_length=4)]
    initial: Annotated[float, Meta(ge=-1e6, le=1e6)]

    def __post_init__(self) -> None:
        if math.prod(self.shape) > MAX_NUMBERS:
            raise ValueError(f"a state of more than {MAX_NUMBERS} numbers")


class LatentSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of z: its latents lie side by side in `z_mean` and `z_std`."""

    name: Name
    dim: Size


class TrainingData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the weights have seen."""

    name: Text
    description: Text
    limits: Text
    seed: Count
    ticks: Count


class Metadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a bundle says of itself.

    Attributes:
        graph: what a call does: `step` one tick, `full` one tick and every modality reconstructed, `block`
            many ticks, which are axis 1 of everything but states.
        rate: ticks per second.
        modalities: in the order of the mask's columns; targets have no column.
        states: none of a model that takes every tick by itself.
        lag: ticks by which an estimate looks into the future; 0 is causal.
        quality: measured figures by pattern of missing modalities, then by name.
        sha256: of the file without this description, hexadecimal.
    """

    bundle_version: int
    name: Text
    version: Text
    model: Text
    graph: Graph = "step"
    config: dict[Text, Setting]
    rate: Annotated[int, Meta(ge=1, le=1000)]
    modalities: Annotated[tuple[ModalitySpec, ...], Meta(max_length=64)]
    states: Annotated[tuple[StateSpec, ...], Meta(max_length=64)]
    latents: Annotated[tuple[LatentSpec, ...], Meta(min_length=1, max_length=64)]
    lag: Annotated[int, Meta(ge=0, le=100_000)]
    training_data: TrainingData
    quality: dict[Text, dict[Text, float]]
    licence: Text
    sha256: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]

    def __post_init__(self) -> None:
        names = [m.name for m in self.modalities] + ["mask"] + [f"state_{s.name}" for s in self.states]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two inputs or modalities are called {min(twice)!r}")
        if not self.inputs:
            raise ValueError("no modality is observed")
        if not self.name:
            raise ValueError("it has no name")

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
            UserError: no such file, not a bundle, damaged, made for another version, or not what it says;
                in a line.
        """
        path = find_bundle(source)
        try:
            if path.stat().st_size > MAX_BYTES:
                raise UserError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so not an enrapt bundle")
            data = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}); give another bundle") from None
        metadata = read_metadata(data, str(path))
        try:
            check_model(memoryview(data), str(path))
            session = _session(data, str(path))
            _check_graph(metadata, session, str(path))
        except (ValueError, RecursionError):  # no Protocol Buffers, or Scans in Scans in …
            raise UserError(f"{path}: its graph is damaged; get a whole copy of the bundle") from None
        _check_ticks(metadata, session, str(path))
        return cls(path, metadata, session)


def find_bundle(source: str | Path) -> Path:
    """The file of a bundle given by path or by the name of a shipped one."""
    shipped = Path(str(files(__package__) / "shipped"))
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
    for field in fields(memoryview(model)):
        if field.number != _METADATA_PROPS:
            rest.update(field.whole)
    return rest.hexdigest()


def read_metadata(model: bytes, name: str) -> Metadata:
    """The description inside a serialised bundle, checked against the bytes around it.

    Raises:
        UserError: not ONNX, not a bundle, of another version, or damaged; names `name`.
    """
    try:
        texts = [
            entry[2]
            for properties in nested(memoryview(model), _METADATA_PROPS)
            if (entry := {f.number: bytes(f.value) for f in fields(properties)}).get(1) == KEY.encode()
        ]
    except (ValueError, KeyError):
        raise UserError(f"{name}: not an ONNX file, or cut short; get a whole copy of the bundle") from None
    if len(texts) != 1:
        raise UserError(f"{name}: not an enrapt bundle (it has {len(texts) or 'no'} descriptions of itself)")
    try:
        version = msgspec.json.decode(texts[0], type=dict[str, Any]).get("bundle_version")
        if version != VERSION:
            raise UserError(
                f"{name}: bundle version {_line(version)}, but this enrapt reads version {VERSION}"
            )
        metadata = msgspec.json.decode(texts[0], type=Metadata)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{name}: its description is damaged ({_line(error)}); get a whole copy") from None
    if metadata.sha256 != digest(model):
        raise UserError(f"{name}: damaged (SHA-256 differs from its description's); get a whole copy")
    for modality in metadata.modalities:
        if modality.schema is not None:
            try:
                known = schema(modality.schema)
            except UserError as error:
                raise UserError(f"{name}: {error}") from None
            if known.dim != modality.dim:
                raise UserError(
                    f"{name}: {modality.name} has {modality.dim} numbers, {known.name} {known.dim}"
                )
    return metadata


def _session(model: bytes, name: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    # One step is tens of microseconds: handing it to other threads, or spinning for it, only costs.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        # Its fallback tries the same again, and prints to standard output that it does.
        return ort.InferenceSession(model, options, ["CPUExecutionProvider"], enable_fallback=0)
    except Exception as error:  # ONNX Runtime raises its own kinds, all direct children of Exception
        raise UserError(f"{name}: ONNX Runtime {ort.__version__} cannot load it ({_line(error)})") from None


Shapes = dict[str, tuple[int | str, ...]]  # by name; an axis with a name is free


def _shapes(metadata: Metadata) -> tuple[Shapes, Shapes]:
    """What a graph of that description takes and gives."""
    axes = ("batch", "ticks") if metadata.graph == "block" else ("batch",)
    columns, z = len(metadata.inputs), sum(latent.dim for latent in metadata.latents)
    inputs: Shapes = {m.name: (*axes, m.dim) for m in metadata.inputs} | {"mask": (*axes, columns)}
    inputs |= {f"state_{s.name}": ("batch", *s.shape) for s in metadata.states}
    outputs: Shapes = dict.fromkeys(ESTIMATES, (*axes, 1)) | dict.fromkeys(("z_mean", "z_std"), (*axes, z))
    outputs["surprise"] = (*axes, columns)
    outputs |= {f"next_state_{s.name}": ("batch", *s.shape) for s in metadata.states}
    if metadata.graph == "full":
        inputs["noise"] = ("batch", z)
        outputs |= {f"reconstruction_{m.name}": ("batch", m.dim) for m in metadata.inputs
                    if m.role == "observed"}  # fmt: skip
    return inputs, outputs


def _check_graph(metadata: Metadata, session: ort.InferenceSession, name: str) -> None:
    """Every input and output that the description promises is there, with its shape, and no other input."""
    inputs, outputs = _shapes(metadata)
    if unknown := {i.name for i in session.get_inputs()} - inputs.keys():
        raise UserError(f"{name}: its graph wants inputs that it does not describe: {_line(sorted(unknown))}")
    for kind, wanted, found in (
        ("input", inputs, session.get_inputs()),
        ("output", outputs, session.get_outputs()),
    ):
        tensors = {f.name: f for f in found}
        for key, shape in wanted.items():
            if key not in tensors:
                raise UserError(f"{name}: its graph has no {kind} {key!r}; make the bundle anew")
            tensor = tensors[key]
            fixed = [axis if isinstance(axis, int) else None for axis in tensor.shape]
            if tensor.type != "tensor(float)" or fixed != [a if isinstance(a, int) else None for a in shape]:
                is_ = _line(f"{tensor.type} {tensor.shape}")
                raise UserError(
                    f"{name}: {kind} {key!r} is {is_}, expected float [{', '.join(map(str, shape))}]"
                )


def _check_ticks(metadata: Metadata, session: ort.InferenceSession, name: str) -> None:
    """Made-up numbers go through for some ticks, and what comes out is finite and has its shape.

    Of two streams, one sees everything and the other nothing; one alone sees everything.
    """
    inputs, outputs = _shapes(metadata)
    rng = np.random.default_rng(0)
    for batch in (1, 2):
        free = {"batch": batch, "ticks": 2}
        sizes = {k: [free[a] if isinstance(a, str) else a for a in s] for k, s in (inputs | outputs).items()}
        state = {
            f"state_{s.name}": np.full((batch, *s.shape), s.initial, np.float32) for s in metadata.states
        }
        mask = np.ones(sizes["mask"], np.float32)
        mask[1:] = 0
        for _ in range(3):
            fed = {k: _UNITS * rng.standard_normal(sizes[k], np.float32) for k in inputs}
            fed |= state | {"mask": mask}
            try:
                found = dict(zip(outputs, session.run([*outputs], fed), strict=True))
            except Exception as error:  # as above
                raise UserError(f"{name}: its graph cannot be run ({_line(error)}); make it anew") from None
            for key, value in found.items():
                if list(value.shape) != sizes[key]:
                    raise UserError(f"{name}: {key!r} comes as {list(value.shape)}, expected {sizes[key]}")
                if not np.isfinite(value).all():
                    raise UserError(f"{name}: {key!r} comes out as NaN or infinite; train or export it anew")
            state = {f"state_{s.name}": found[f"next_state_{s.name}"] for s in metadata.states}


_UNITS: Final = np.float32(10)  # features are of the order of 1 to 100
_METADATA_PROPS: Final = 14  # field of onnx.ModelProto; its entries have key = 1, value = 2


def _line(what: object) -> str:
    """Somebody else's words as a part of one line, fit for a terminal."""
    return "".join(c if c.isprintable() else " " for c in str(what))[:200]
