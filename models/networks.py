"""Encoders and decoders that a user gives, and the text by which a configuration names them.

The text is what `print` shows of a network of layers of `torch.nn`, without the line breaks:

    encoder = "Sequential(Conv2d(1, 16, 4, 2, 1), ReLU(), Flatten(), LazyLinear(256))"

Only names of layers and literal arguments are read; nothing of it is executed.
"""

import ast
import inspect
import re
import warnings
from copy import deepcopy
from math import prod
from typing import Any, Final

import torch
from torch import Tensor, nn

from ..contracts.errors import UserError, one_line

Network = Any  # an `nn.Module`, or its text, or None for a multilayer perceptron
OWN: Final = "class "  # begins the text of a network that is not made of layers of `torch.nn`
LARGEST: Final = 100_000  # number in a text: what a layer or a picture may have along an axis


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
    modes = [(part, part.training) for part in module.modules()]
    module.eval()  # of this pass no trace remains in running means, nor in the state of the generator
    try:
        with torch.no_grad(), some.device:
            outputs = per_sample(torch.zeros(2, prod(shape), dtype=some.dtype))
        if len(outputs) != 2:
            raise ValueError(f"2 samples became {len(outputs)}")
    except Exception as error:  # layers raise many kinds
        size = "×".join(map(str, ("N", *shape)))
        raise UserError(f"{whose} does not take {size} numbers: {one_line(error)}") from None
    for part, mode in modes:
        part.training = mode
    return per_sample, outputs.shape[-1]


def parsed(text: str, whose: str = "the network") -> nn.Module:
    """The layers that a text describes, untrained.

    Raises:
        UserError: it is not that of layers of `torch.nn`.
    """
    if own := re.search(rf"\b{OWN}(\w{{1,100}})\(", text):
        name = own[1]
        raise UserError(
            f"{whose}, {name}, is not kept with a run: give the module in Python, to `load` or `export_run`, "
            "in encoders or decoders by modality"
        )
    try:
        return _network(text)
    except Exception as error:  # of the parser, of a layer's own checks
        raise UserError(
            f"{whose}, {one_line(text)[:100]}, cannot be made from its text ({one_line(error)[:200]}); write "
            "layers of torch.nn with their arguments, or give the module in Python"
        ) from None


def _network(text: str) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the parser, of layers
        return _layer(ast.parse(text, mode="eval").body)


def _layer(node: ast.expr) -> nn.Module:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise ValueError("expected layers such as Linear(3, 4)")
    kind = getattr(nn, node.func.id, None)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)) or kind is nn.Module:
        raise ValueError(f"{node.func.id} is not a layer of torch.nn")
    positional = [_layer(a) if isinstance(a, ast.Call) else _literal(a) for a in node.args]
    named = {str(k.arg): _literal(k.value) for k in node.keywords}
    bound = inspect.signature(kind).bind(*positional, **named).arguments
    if {"device", "dtype"} & {*bound, *named}:
        raise ValueError("device and dtype are those of the model")
    layer = kind(*positional, **named)
    assert isinstance(layer, nn.Module)
    return layer


def _literal(node: ast.expr) -> Any:
    value = ast.literal_eval(node)
    for number in value if isinstance(value, tuple | list) else (value,):
        if isinstance(number, int | float) and abs(number) > LARGEST:
            raise ValueError(f"{number:.3g} is too large")
    return value


def described(network: Network) -> str:
    """The text of a network, of which `parsed` makes the same layers; of one that is not made of
    `torch.nn`'s layers, what `print` shows of it, which `parsed` refuses."""
    if isinstance(network, str):
        return network
    printed = " ".join(repr(network).split())
    if type(network) is nn.Sequential and [*network._modules] == [str(i) for i in range(len(network))]:
        return f"Sequential({', '.join(map(described, network))})"
    # A lazy layer shows a size of 0, which it does not take.
    for text in (re.sub(r"^(Lazy\w+\()(\w+=)?0(, )?", r"\1", printed), _with_arguments(network)):
        if _makes(text, network):
            return text
    return f"{OWN}{printed}"


def _with_arguments(layer: nn.Module) -> str:
    """The text of a layer whose attributes have the names of its arguments; `print` leaves some out."""
    found = []
    for name, parameter in inspect.signature(type(layer)).parameters.items():
        value = getattr(layer, name, parameter.default)
        if isinstance(value, tuple):
            value = tuple(value)  # not a torch.Size
        if name == "bias":
            value = value is not None and value is not False
        if value is not parameter.default and value != parameter.default:
            found.append(f"{name}={value!r}")
    return f"{type(layer).__name__}({', '.join(found)})"


def _makes(text: str, layer: nn.Module) -> bool:
    """Whether that layer is what a text is read as."""
    try:
        with torch.device("meta"):
            made = _network(text)
    except Exception:  # as above
        return False
    return type(made) is type(layer) and not layer._modules and _settings(made) == _settings(layer)


def _settings(layer: nn.Module) -> dict[str, Any]:
    """What a layer was made with, and the names of its tensors."""
    tensors = {*layer._parameters, *layer._buffers}
    there = {name: getattr(layer, name) is not None for name in tensors}
    return {k: v for k, v in vars(layer).items() if k[0] != "_" and k != "training"} | there
