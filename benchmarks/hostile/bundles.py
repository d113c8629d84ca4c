"""Bundles whose graph, weights, description or bytes are hostile; most digests are right."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from enrapt.bundle.metadata import ESTIMATES, KEY, digest
from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.store.folder import SessionWriter
from tests.support import recordings
from tests.support.bundles import make_bundle
from tests.support.session_rows import DESCRIPTION, tick

from .changes import FLOATS, TEXTS, changed_bytes, changed_tree, dumped, special
from .trial import Trial

COUNT: Final = 200
IMPORTS: Final = (
    *("enrapt.realtime.run", "enrapt.realtime.sources.session", "enrapt.realtime.sources.media"),
    *("enrapt.bundle.bundle", "enrapt.bundle.sequence", "onnxruntime", "enrapt.cli.show", "onnx"),
)
BUNDLE: Final = "tiny.onnx"
SESSION: Final = "session"
SOUND: Final = "tone.wav"


def prepare(seeds: Path) -> None:
    inputs = (("face", FACE.dim, FACE.name, 0.2), ("audio", AUDIO.dim, AUDIO.name, 0.2))
    make_bundle(seeds / BUNDLE, inputs)
    recordings.write(seeds / SOUND, sound=(0, 2))
    with SessionWriter(seeds / SESSION, DESCRIPTION | {"rate": 25}) as writer:
        for n in range(30):
            for name, *arguments in tick(n):
                getattr(writer, name)(*arguments)


def make(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    bundle = folder / "input.onnx"
    data = (seeds / BUNDLE).read_bytes()
    what = rng.choice(
        ("graph", "graph", "graph", "weights", "description", "description", "bytes", "resealed", "file")
    )
    match what:
        case "graph":
            model = onnx.load_from_string(data)
            label = rng.choice(_GRAPHS)(model, rng)
            data = _sealed(model)
        case "weights":
            model = onnx.load_from_string(data)
            label = _weights(model, rng)
            data = _sealed(model)
        case "description":
            model = onnx.load_from_string(data)
            label, tree = changed_tree(json.loads(_props(model)[KEY]), rng, keep=frozenset({"sha256"}))
            data = _sealed(model, tree)
        case "bytes":
            label, data = changed_bytes(data, rng)
        case "resealed":
            label, data = _resealed(data, rng)
        case _:
            label = ""
    bundle.write_bytes(data)
    if what == "file":
        label = special(bundle, rng)
    source = rng.choice((SESSION, SOUND, None))
    label = f"{what}: {label}"
    if source is None:
        return Trial(f"{label}; inspect", ["inspect", str(bundle), *["--json"] * rng.randrange(2)])
    output = folder / "estimates.jsonl"
    command = ["replay", str(seeds / source), "--bundle", str(bundle), "--to", f"jsonl:{output}"]
    return Trial(f"{label}; {source}", command, (output,))


def _props(model: Any) -> dict[str, str]:
    return {p.key: p.value for p in model.metadata_props}


def _sealed(model: Any, description: Any = None) -> bytes:
    """The bundle with a digest that is right."""
    tree = json.loads(_props(model)[KEY]) if description is None else description
    if isinstance(tree, dict):
        tree["sha256"] = digest(model.SerializeToString())
    helper.set_model_props(model, {KEY: dumped(tree)})
    return bytes(model.SerializeToString())


def _resealed(data: bytes, rng: random.Random) -> tuple[str, bytes]:
    """Bytes of the graph changed, with a digest that is right."""
    model = onnx.load_from_string(data)
    description = json.loads(_props(model)[KEY])
    del model.metadata_props[:]
    label, changed = changed_bytes(model.SerializeToString(), rng)
    try:
        description["sha256"] = digest(changed)
    except ValueError:
        return f"{label}, no fields", changed
    shell = onnx.ModelProto()
    helper.set_model_props(shell, {KEY: json.dumps(description)})
    return label, changed + shell.SerializeToString()


def _weights(model: Any, rng: random.Random) -> str:
    """Estimates that mean nothing: means far above 1, low above high, NaN."""
    tensor = rng.choice(list(model.graph.initializer))
    array = numpy_helper.to_array(tensor).copy()
    array.flat[rng.randrange(array.size)] = value = np.float32(
        np.clip(rng.choice((*FLOATS, -5.0, 577.0)), -3e38, 3e38)
    )
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    return f"{tensor.name} {value}"


def _node(model: Any, rng: random.Random) -> str:
    """Another operation, one of another domain, one removed, or a cycle."""
    k = rng.randrange(len(model.graph.node))
    node = model.graph.node[k]
    match rng.choice(("operation", "domain", "removed", "twice", "cycle", "attribute", "input")):
        case "operation":
            node.op_type = rng.choice(
                ("Exp", "Log", "Sqrt", "Reciprocal", "Cast", "Sum", "NoSuch", "", "Identity", "Div")
            )
        case "domain":
            node.domain = rng.choice(("com.microsoft", "a", "ai.onnx.ml", "/etc/passwd"))
        case "removed":
            del model.graph.node[k]
            return f"node {k} removed"
        case "twice":
            model.graph.node.append(node)
        case "cycle":
            node.input[0] = node.output[0]
        case "attribute":
            node.attribute.append(
                helper.make_attribute(rng.choice(("axis", "to", "a")), rng.choice((2**62, -1, "a", [1, 2])))
            )
        case "input":
            node.input.append(rng.choice(("nothing", "mask", "")))
    return f"node {k} {node.op_type}"


def _ports(model: Any, rng: random.Random) -> str:
    """Inputs and outputs of other names, types and shapes, or none."""
    ports = rng.choice((model.graph.input, model.graph.output))
    k = rng.randrange(len(ports))
    port = ports[k]
    what = rng.choice(("removed", "renamed", "type", "dim", "rank", "twice", "no shape"))
    tensor = port.type.tensor_type
    match what:
        case "removed":
            del ports[k]
            return f"a port removed, {len(ports)} left"
        case "renamed":
            port.name = rng.choice((*TEXTS[1:4], *ESTIMATES))
        case "type":
            tensor.elem_type = rng.choice((0, 2, 6, 7, 8, 9, 10, 11, 16, 99))
        case "dim":
            tensor.shape.dim[rng.randrange(2)].dim_value = rng.choice((0, -1, 1, 2, 2**31, 2**62))
        case "rank":
            tensor.shape.dim.add().dim_value = rng.choice((1, 2**31))
        case "twice":
            ports.append(port)
        case "no shape":
            tensor.ClearField("shape")
    return f"{port.name[:30]} {what}"


def _expensive(model: Any, rng: random.Random) -> str:
    """Loops that do not end, and tensors that fill the memory, from few bytes."""
    graph = model.graph
    what = rng.choice(("loop", "expand", "constant", "range", "tile", "nodes", "deep", "random"))
    add = graph.node.extend

    def number(name: str, *values: int) -> None:
        graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), name))

    match what:
        case "loop":
            graph.initializer.append(numpy_helper.from_array(np.array(2**62), "big"))
            graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
            info = helper.make_tensor_value_info
            body = helper.make_graph(
                [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Exp", ["v"], ["v2"])],
                "body",
                [info("i", 7, []), info("c", 9, []), info("v", 1, None)],
                [info("c2", 9, []), info("v2", 1, None)],
            )
            add([helper.make_node("Loop", ["big", "yes", "bias"], ["looped"], body=body)])
        case "expand":
            number("shape", 2**17, 2**17)
            add([helper.make_node("Expand", ["bias", "shape"], ["looped"])])
        case "constant":
            number("shape", 2**40)
            add([helper.make_node("ConstantOfShape", ["shape"], ["looped"])])
        case "range":
            for name, value in (("from", 0), ("to", 2**33), ("step", 1)):
                graph.initializer.append(numpy_helper.from_array(np.array(value), name))
            add([helper.make_node("Range", ["from", "to", "step"], ["ranged"])])
            add([helper.make_node("Cast", ["ranged"], ["looped"], to=1)])
        case "tile":
            number("shape", 2**31, 8)
            add([helper.make_node("Tile", ["bias", "shape"], ["looped"])])
        case "nodes":
            add(
                [
                    helper.make_node("Exp", ["bias" if k == 0 else f"n{k - 1}"], [f"n{k}"])
                    for k in range(20_000)
                ]
            )
            add([helper.make_node("Identity", ["n19999"], ["looped"])])
        case "deep":
            branch = helper.make_graph([], "leaf", [], [])
            for _ in range(60):
                node = helper.make_node("If", ["yes"], ["x"], then_branch=branch, else_branch=branch)
                branch = helper.make_graph([node], "branch", [], [])
                if branch.ByteSize() > 1_000_000:
                    break
            add([helper.make_node("If", ["yes"], ["looped"], then_branch=branch, else_branch=branch)])
        case "random":
            add([helper.make_node("RandomNormal", [], ["looped"], shape=[2**15, 2**15])])
    # Where it is needed for the estimate, the runtime cannot leave it out.
    add([helper.make_node("ReduceMax", ["looped"], ["most"], keepdims=0)])
    if rng.random() < 0.7:
        for node in graph.node:
            if list(node.output) == ["engagement_mean"]:
                node.output[0] = "mean_before"
        add([helper.make_node("Add", ["mean_before", "most"], ["engagement_mean"])])
    return what


def _external(model: Any, rng: random.Random) -> str:
    """Weights that are said to be in another file."""
    tensor = rng.choice(list(model.graph.initializer))
    location = rng.choice(("/etc/passwd", "../tiny.onnx", "/dev/zero", "nothing.bin", "input.onnx", ""))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (
        ("location", location),
        ("offset", "0"),
        ("length", rng.choice(("4", "-1", str(2**62)))),
    ):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return f"{tensor.name} in {location}"


def _tensor(model: Any, rng: random.Random) -> str:
    """A weight whose shape, type and bytes do not fit."""
    tensor = rng.choice(list(model.graph.initializer))
    what = rng.choice(("dims", "type", "data", "name"))
    match what:
        case "dims":
            tensor.dims[0] = rng.choice((0, -1, 2**31, 2**62, 7))
        case "type":
            tensor.data_type = rng.choice((0, 2, 7, 8, 9, 16, 99))
        case "data":
            tensor.raw_data = tensor.raw_data[: rng.randrange(4)]
        case "name":
            tensor.name = rng.choice(TEXTS[:4])[:100]
    return f"{tensor.name} {what}"


def _versions(model: Any, rng: random.Random) -> str:
    what = rng.choice(("ir", "opset", "no opset", "no graph", "functions", "props"))
    match what:
        case "ir":
            model.ir_version = rng.choice((0, -1, 99, 2**62))
        case "opset":
            model.opset_import[0].version = rng.choice((0, 1, 7, 999, 2**62))
        case "no opset":
            del model.opset_import[:]
        case "no graph":
            model.ClearField("graph")
        case "functions":
            model.functions.append(
                helper.make_function(
                    "a",
                    "f",
                    ["x"],
                    ["y"],
                    [helper.make_node("f", ["x"], ["y"], domain="a")],
                    [helper.make_opsetid("a", 1)],
                )
            )
            model.opset_import.append(helper.make_opsetid("a", 1))
            model.graph.node.append(helper.make_node("f", ["bias"], ["z"], domain="a"))
        case "props":
            model.graph.doc_string = "x" * 10_000_000
    return what


_GRAPHS: Final[tuple[Callable[[Any, random.Random], str], ...]] = (
    _node,
    _ports,
    _expensive,
    _expensive,
    _external,
    _tensor,
    _versions,
)
