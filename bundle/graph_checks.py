"""What the ONNX model of a bundle may contain: plain operators and finite weights, all in one file.

The bytes are checked before ONNX Runtime reads them, so it never opens other files, nor allocates a shape
that the weights do not fill. Field numbers are those of onnx.proto.

Operators may still make large tensors from small ones, or run for long: `runtime` bounds the memory of all
sessions, and `interface.check_ticks` the time of its ticks.
"""

import math
from typing import Final

import numpy as np

from ..contracts.errors import UserError
from .protobuf import integers, nested

OPSETS: Final = range(13, 22)  # 21 is the newest of ONNX Runtime 1.20, the oldest that enrapt runs on
_DOMAINS: Final = ("", "ai.onnx")  # two names of the same domain

# onnx.TensorProto.DataType: types allowed for weights, sizes and axes.
_TYPES: Final = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8"}

_MAX_DIMS: Final = 8  # the limit of ONNX Runtime's operators
_MAX_NODES: Final = 5_000  # those of Scans included; the shipped bundles have 150
_MAX_DEPTH: Final = 4  # of Scans in Scans
_RANDOM: Final = (
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
)  # fmt: skip

# ModelProto
_GRAPH, _OPSET_IMPORT, _TRAINING_INFO, _FUNCTIONS = 7, 8, 20, 25
# GraphProto, NodeProto, AttributeProto
_NODE, _INITIALIZER, _SPARSE_INITIALIZER = 1, 5, 15
_OP_TYPE, _ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_TENSOR, _SUBGRAPH, _TENSORS, _SUBGRAPHS, _SPARSE, _SPARSES = 5, 6, 10, 11, 22, 23
# TensorProto
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 8, 9, 13, 14


def check_model(model: memoryview, name: str) -> None:
    """Refuse what a step does not need, and weights that are incomplete or not finite.

    Raises:
        UserError: one line that begins with `name`.
        ValueError: the bytes are not an ONNX model.
    """
    opset = 0
    for imported in nested(model, _OPSET_IMPORT):
        domain, version = _text(imported, 1), _integer(imported, 2)
        if domain not in _DOMAINS:
            raise UserError(f"{name}: its graph uses operators of {domain!r}; only ONNX's own are allowed")
        opset = version
    if opset not in OPSETS:
        raise UserError(
            f"{name}: opset {opset}, but this enrapt runs {OPSETS[0]} to {OPSETS[-1]}; export it again"
        )
    for number, what in ((_FUNCTIONS, "functions"), (_TRAINING_INFO, "training steps")):
        if [*nested(model, number)]:
            raise UserError(f"{name}: its model has {what} of its own; a bundle has one plain graph")
    nodes = sum(_check_graph(graph, name, 0) for graph in nested(model, _GRAPH))
    if nodes > _MAX_NODES:
        raise UserError(f"{name}: its graph has {nodes} operators, more than {_MAX_NODES}")


def _check_graph(graph: memoryview, name: str, depth: int) -> int:
    """Returns how many nodes it has, with those of its Scans."""
    if depth > _MAX_DEPTH:
        raise UserError(f"{name}: its graph has more than {_MAX_DEPTH} Scans in each other")
    if [*nested(graph, _SPARSE_INITIALIZER)]:
        raise UserError(f"{name}: its graph has sparse weights; a bundle's are all dense")
    for tensor in nested(graph, _INITIALIZER):
        _check_tensor(tensor, name)
    return sum(_check_node(node, name, depth) for node in nested(graph, _NODE))


def _check_node(node: memoryview, name: str, depth: int) -> int:
    nodes = 1
    kind, domain = _text(node, _OP_TYPE), _text(node, _NODE_DOMAIN)
    if domain not in _DOMAINS:
        raise UserError(f"{name}: operator {kind!r} is of {domain!r}; only ONNX's own are allowed")
    if kind in _RANDOM:
        raise UserError(f"{name}: operator {kind!r} draws random numbers; a step must repeat exactly")
    for attribute in nested(node, _ATTRIBUTE):
        for body in (*nested(attribute, _SUBGRAPH), *nested(attribute, _SUBGRAPHS)):
            if kind != "Scan":  # a Scan ends with its input; a Loop need not end
                raise UserError(f"{name}: operator {kind!r} contains a graph; only Scan may")
            nodes += _check_graph(body, name, depth + 1)
        if [*nested(attribute, _SPARSE), *nested(attribute, _SPARSES)]:
            raise UserError(f"{name}: operator {kind!r} has sparse weights; a bundle's are all dense")
        for tensor in (*nested(attribute, _TENSOR), *nested(attribute, _TENSORS)):
            _check_tensor(tensor, name)
    return nodes


def _check_tensor(tensor: memoryview, name: str) -> None:
    label = _text(tensor, _NAME)
    if _integer(tensor, _DATA_LOCATION) or [*nested(tensor, _EXTERNAL_DATA)]:
        raise UserError(f"{name}: weights {label!r} are in another file; a bundle is one file")
    kind = _integer(tensor, _DATA_TYPE)
    if kind not in _TYPES:
        raise UserError(f"{name}: weights {label!r} are of ONNX type {kind}, which is not allowed")
    raw = _last(tensor, _RAW_DATA)
    shape = integers(tensor, _DIMS)
    if len(shape) > _MAX_DIMS or len(raw) != math.prod(shape) * np.dtype(_TYPES[kind]).itemsize:
        raise UserError(
            f"{name}: weights {label!r} have {len(raw)} bytes of raw_data, not what its shape needs"
        )
    if not np.isfinite(np.frombuffer(raw, _TYPES[kind])).all():
        raise UserError(f"{name}: weights {label!r} are NaN or infinite; export it again")


def _last(message: memoryview, number: int) -> memoryview:
    """The value of that field, the last one if repeated, as Protocol Buffers define; empty if missing."""
    return next(reversed([*nested(message, number)]), memoryview(b""))


def _text(message: memoryview, number: int) -> str:
    return bytes(_last(message, number)[:200]).decode("utf-8", "replace")  # enough for a message


def _integer(message: memoryview, number: int) -> int:
    return next(reversed(integers(message, number)), 0)
