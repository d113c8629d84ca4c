"""The weights of a bundle as those that another training starts from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from ..bundle.bundle import Bundle
from ..contracts.errors import UserError
from ..models.config import MODELS

PREFIX: Final = "model."  # of a `ModelGraph`'s tensors that are the model's own


class FirstWeights(NamedTuple):
    """Attributes:
    model: kind and sizes, a `[model]` table without modalities.
    modalities: the dimension of each input.
    tensors: weights and moments by their names in the model's state.
    """

    model: dict[str, Any]
    modalities: dict[str, int]
    tensors: dict[str, Tensor]

    def fit(self, modalities: Mapping[str, int]) -> bool:
        """Whether one of these inputs, with its dimension, is among its own."""
        return any(self.modalities.get(name) == dim for name, dim in modalities.items())


def first_weights(source: str | Path, target: str, rate: int) -> FirstWeights:
    """Those of a bundle, which has all that it needs to run; the encoder of the target, used in training
    only, is not in it.

    Args:
        source: a bundle's file, or the name of a shipped one.
        target: what the new model estimates; it starts as what the bundle estimates.
        rate: of the new model, ticks/s.

    Raises:
        UserError: no bundle, or one whose weights cannot be trained on; another rate.
    """
    bundle = Bundle.load(source)
    metadata = bundle.metadata
    kind = {k.Config.__struct_config__.tag: k for k in MODELS}.get(metadata.model)
    if kind is None or kind.needs:
        raise UserError(f"{source}: a {metadata.model} learns from another model; give another bundle")
    if metadata.rate != rate:
        raise UserError(f"{source}: of {metadata.rate} ticks/s; give --rate {metadata.rate}")
    graph = onnx.load_from_string(bundle.path.read_bytes()).graph
    found = {t.name.removeprefix(PREFIX): t for t in graph.initializer if t.name.startswith(PREFIX)}
    (estimated,) = (m.name for m in metadata.modalities if m.role == "target")
    if f"decoder.{estimated}.of_z.weight" not in found:
        raise UserError(f"{source}: its weights are not as they were trained; export it again, not in 8 bits")
    tensors = {}
    for name, tensor in found.items():
        value = np.array(numpy_helper.to_array(tensor))
        if value.dtype != np.float32:
            raise UserError(f"{source}: weights of {value.dtype}; give the bundle with 32 bits")
        tensors[name.replace(f"decoder.{estimated}.", f"decoder.{target}.")] = torch.from_numpy(value)
    dims = {m.name: m.dim for m in metadata.inputs}
    return FirstWeights({"model": metadata.model, **metadata.config}, dims, tensors)
