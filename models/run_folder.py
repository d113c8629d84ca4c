"""The folder of a training run: `config.json`, `run.json`, `metrics.jsonl`, `checkpoint.safetensors`, with
early stopping `best.safetensors`, and at the end `model.safetensors`."""

import contextlib
import importlib.metadata
import json
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..contracts.errors import UserError, one_line
from ..contracts.files import write_atomically
from ..contracts.regular import open_regular
from .arguments import check_names
from .checked import Seed
from .config import AnyConfig, Config, build, load_config
from .ensemble import EnsembleConfig
from .forward_filter import ForwardFilterConfig
from .model import Model

MAX_BYTES: Final = 2**28  # of a file in a run's folder; a checkpoint has three numbers a parameter


def save_model(model: nn.Module, path: Path) -> None:
    write(dict(model.state_dict()), path, {})


def load(
    folder: str | Path,
    encoders: Mapping[str, nn.Module] | None = None,
    decoders: Mapping[str, nn.Module] | None = None,
) -> Model:
    """The trained model of a finished run.

    Args:
        encoders, decoders: networks by modality, where the run was given some that are not made of layers of
            `torch.nn`; their weights are those of the run.

    Raises:
        UserError: as `load_run`.
    """
    return load_run(Path(folder), encoders, decoders)[1]


def load_run(
    folder: Path,
    encoders: Mapping[str, nn.Module] | None = None,
    decoders: Mapping[str, nn.Module] | None = None,
) -> tuple[Config, Model]:
    """The configuration and trained model of a finished run; see `load`.

    Raises:
        UserError: no finished run in the folder, weights of another model, or a network that has to be given.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no training run; give the output folder of `enrapt train`")
    config = load_config(folder / "config.json")
    path = folder / "model.safetensors"
    if not path.exists():
        raise UserError(
            f"{folder}: training is not finished; resume it with `enrapt train` and the same folder"
        )
    given = msgspec.structs.replace(
        config, model=_with_networks(config.model, encoders or {}, decoders or {})
    )
    model = build(given.model)
    if config.training.precision == "float64":
        model.double()
    tensors, _ = read(path)
    load_weights(model, tensors, path)
    return config, model.eval()


def _with_networks(
    config: AnyConfig, encoders: Mapping[str, nn.Module], decoders: Mapping[str, nn.Module]
) -> AnyConfig:
    if not encoders and not decoders:
        return config
    check_names([*encoders, *decoders], config.modalities)
    if isinstance(config, ForwardFilterConfig):
        smoother = _with_networks(config.smoother, encoders, decoders)
        return msgspec.structs.replace(config, smoother=smoother)
    if isinstance(config, EnsembleConfig):
        member = _with_networks(config.member, encoders, decoders)
        return msgspec.structs.replace(config, member=member)
    modalities = tuple(
        msgspec.structs.replace(
            m, encoder=encoders.get(m.name, m.encoder), decoder=decoders.get(m.name, m.decoder)
        )
        for m in config.modalities
    )
    return msgspec.structs.replace(config, modalities=modalities)


def run_seed(folder: Path) -> int:
    """The seed that a run was started with.

    Raises:
        UserError: the folder's `run.json` is missing or damaged.
    """
    path = folder / "run.json"
    try:
        return msgspec.json.decode(content(path), type=_Run).seed
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise UserError(f"{path}: damaged ({one_line(error)}); train again in another folder") from None


def run_versions(folder: Path) -> dict[str, str]:
    """Versions of the software that computed the weights, by name; empty if they are not known."""
    try:
        return msgspec.json.decode(content(folder / "run.json"), type=_Versions).versions
    except (ValueError, RecursionError, UserError):
        return {}


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load the weights into a model.

    Raises:
        UserError: a tensor is missing, unexpected, of another shape or type, or not finite.
    """
    expected = {k: described_tensor(v) for k, v in model.state_dict().items()}
    found = {k: described_tensor(v) for k, v in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise UserError(
                f"{path}: weights of another model: {name} is {found.get(name, 'missing')}, "
                f"expected {expected.get(name, 'none')}"
            )
    if not finite(tensors):
        raise UserError(f"{path}: weights are NaN or infinite; train again in another folder")
    model.load_state_dict(dict(tensors))


def described_tensor(tensor: Tensor) -> str:
    """Its type and shape, as messages name them."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def finite(tensors: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())


class _Run(msgspec.Struct):
    seed: Seed


class _Versions(msgspec.Struct):
    versions: dict[str, str] = {}


def versions() -> dict[str, str]:
    """Versions of the software that computed the weights."""
    names = ("enrapt", "torch", "numpy")
    return {"python": platform.python_version()} | {n: importlib.metadata.version(n) for n in names}


@contextlib.contextmanager
def written(path: Path) -> Iterator[None]:
    """Raises UserError for an OSError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); give another folder") from None


def content(path: Path) -> bytes:
    """Of a regular file that is not larger than a run's can be."""
    try:
        with open_regular(path) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); train again in another folder") from None
    if len(data) > MAX_BYTES:
        raise UserError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so not of a run")
    return data


def write_json(content: object, path: Path) -> None:
    write_atomically(path, f"{json.dumps(content, indent=2)}\n".encode())


def write(tensors: dict[str, Tensor], path: Path, described: dict[str, str]) -> None:
    # As copies: safetensors refuses weights that two layers share.
    write_atomically(path, save({k: v.detach().clone().contiguous() for k, v in tensors.items()}, described))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with open_regular(path) as file:
            if file.seek(0, 2) > MAX_BYTES:
                raise UserError(f"{path}: larger than {MAX_BYTES >> 20} MiB, so not of a run")
        with safe_open(path, "pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except UserError:
        raise
    except Exception as error:  # the library's own error derives directly from Exception
        reason = one_line(error)
        raise UserError(f"{path}: cannot be read ({reason}); delete it to start again") from None
