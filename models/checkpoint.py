"""The checkpoint of a training run: all that it needs to go on, in one file."""

from pathlib import Path
from typing import Annotated

import msgspec
import torch
from torch import nn

from ..contracts.errors import UserError
from . import run_folder


class Counts(msgspec.Struct):
    """Of a run.

    Attributes:
        round: number of rounds that are done.
        skipped: gradient steps that were not finite.
        waited: validations since the best.
        best: its loss.
    """

    round: Annotated[int, msgspec.Meta(ge=0)]
    skipped: Annotated[int, msgspec.Meta(ge=0)]
    waited: Annotated[int, msgspec.Meta(ge=0)]
    best: Annotated[float, msgspec.Meta(ge=-1e300)]  # not NaN


def write_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, counts: Counts) -> None:
    """Write weights, the optimiser's state by parameter, and the counts."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{name}.{key}"] = value
    run_folder.write(tensors, path, {k: repr(v) for k, v in msgspec.structs.asdict(counts).items()})


def read_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Counts:
    """Load weights and the optimiser's state; returns the counts.

    Raises:
        UserError: it is damaged, or of another model.
    """
    tensors, described = run_folder.read(path)
    weights = {k.removeprefix("model."): v for k, v in tensors.items() if k[:6] == "model."}
    run_folder.load_weights(model, weights, path)
    for name, parameter in model.named_parameters():
        prefix = f"optimizer.{name}."
        state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        if state:
            found = {k: run_folder.described_tensor(v) for k, v in state.items()}
            if found != _adam(parameter) or not run_folder.finite(state):
                raise UserError(f"{path}: damaged optimiser state of {name}; delete it to start again")
            optimizer.state[parameter] = {k: v.to(parameter.device) for k, v in state.items()}
    try:
        return msgspec.convert(described, Counts, strict=False)
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: damaged ({error}); delete it to start again") from None


def _adam(parameter: nn.Parameter) -> dict[str, str]:
    """An optimiser's state of a parameter, described."""
    moments = dict.fromkeys(("exp_avg", "exp_avg_sq"), run_folder.described_tensor(parameter))
    return {"step": "float32 []"} | moments
