"""Encoders and decoders that a user gives, and the text by which a configuration names them.

The text is what `print` shows of a network of layers of `torch.nn`, without the line breaks:

    encoder = "Sequential(Conv2d(1, 16, 4, 2, 1), ReLU(), Flatten(), LazyLinear(256))"

Only names of layers and literal arguments are read; nothing of it is executed.
"""

import ast
import re
from copy import deepcopy
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from ..contracts.errors import UserError, one_line

Network = Any  # an `nn.Module`, or its text, or None for a multilayer perceptron


class PerSample(nn.Module):
    """A network of samples `[N, *shape]`, applied to `[…, D]` with any leading axes, to `[…, F]`."""

    def __init__(self, network: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.shape = network, shape

    def forward(self, x: Tensor) -> Tensor:
        """The outputs of every sample, flattened."""
        leading = x.shape[:-1]
        outputs: Tensor = self.network(x.reshape(-1, *self.shape)).flatten(1)
        if not leading:
            return outputs.squeeze(0)
        return outputs if len(leading) == 1 else outputs.unflatten(0, leading)


def given(network: Network, shape: tuple[int, ...], whose: str) -> tuple[PerSample, int]:
    """A user's network and the number of its outputs; a copy of a module, with its weights.

    Lazy layers get their sizes here.

    Args:
        whose: names it in messages, as "the encoder of face".

    Raises:
        UserError: the text is not that of layers, or the network does not take `[N, *shape]`.
    """
    module = deepcopy(network) if isinstance(network, nn.Module) else parsed(network, whose)
    per_sample = PerSample(module, shape)
    some = next(module.parameters(), torch.empty(0))
    try:
        with torch.no_grad():
            outputs = per_sample(torch.zeros(2, prod(shape), device=some.device, dtype=some.dtype))
    except Exception as error:  # layers raise many kinds
        size = "×".join(map(str, ("N", *shape)))
        raise UserError(f"{whose} does not take {size} numbers: {one_line(error)}") from None
    return per_sample, outputs.shape[-1]


def parsed(text: str, whose: str = "the network") -> nn.Module:
    """The layers that a text describes, untrained.

    Raises:
        UserError: it is not that of layers of `torch.nn`.
    """
    try:
        return _layer(ast.parse(text, mode="eval").body)
    except Exception as error:  # of the parser, of a layer's own checks
        raise UserError(
            f"{whose}, {one_line(text)[:100]}, cannot be made from its text ({one_line(error)}); write "
            "layers of torch.nn with their arguments, or give the module in Python"
        ) from None


def _layer(node: ast.expr) -> nn.Module:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError("expected layers such as Linear(3, 4)")
    kind = getattr(nn, node.func.id, None)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ValueError(f"{node.func.id} is not a layer of torch.nn")
    arguments = [_layer(a) if isinstance(a, ast.Call) else ast.literal_eval(a) for a in node.args]
    layer = kind(*arguments, **{str(k.arg): ast.literal_eval(k.value) for k in node.keywords})
    assert isinstance(layer, nn.Module)
    return layer


def described(network: Network) -> str:
    """The text of a network; of one that is not made of `torch.nn`'s layers, what `print` shows of it."""
    if isinstance(network, str):
        return network
    if type(network) is nn.Sequential:
        return f"Sequential({', '.join(map(described, network))})"
    text = " ".join(repr(network).split())
    # A lazy layer shows a size of 0, which it does not take.
    return re.sub(r"^(Lazy\w+\()(\w+=)?0(, )?", r"\1", text)
