"""Configurations, sessions in .npz files and run folders that are hostile."""

import contextlib
import io
import json
import os
import random
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from .changes import FLOATS, NUMBERS, changed_bytes, changed_tree, special
from .trial import Trial

COUNT: Final = 200
IMPORTS: Final = (
    *("torch", "enrapt.models.training", "enrapt.models.evaluation", "enrapt.export.write", "onnxscript"),
    *("safetensors.torch", "torch.utils.tensorboard.writer", "scipy.stats", "enrapt.models.forward_filter"),
)
# What is asked for is done, however long it takes: these say how much work there is.
_WORK: Final = frozenset({"rounds", "patience", "every", "version"})
_SHAPES: Final = ((10**12, 3), (-5, 3), (2**62, 2**62), (0, 3), (3,), (), (5, 3, 1), (10**9, 10**9))
_HEADERS: Final = (
    b"{'descr':'<f4'",
    b"{'descr':'|O','fortran_order':False,'shape':(5,3),}",
    b"__import__('os').system('touch PWNED')",
    b"(" * 9000 + b")" * 9000,
    b"{'descr':'<f4','fortran_order':False,'shape':(" + b"1," * 5000 + b"),}",
    b"\xff\xfe",
)
_NETWORKS: Final = (
    *("Linear(3, 1000000000)", "Linear(3, 10**10)", "Linear(3, -1)", "Linear(4, 8)", "Linear()", "Linear"),
    *("LSTM(3, 8)", "Embedding(1000000000, 9)", "Transformer(1024, 16, 1000, 1000)", "Module()", "Flatten()"),
    *("ZeroPad1d(1000000000)", "Upsample(scale_factor=1e9)", "Dropout(2.0)", "BatchNorm1d(3)", "Identity()"),
    *("Linear(3, 8, device='cuda')", "Linear(3, 8, dtype='float')", "Sequential(*[Linear(3, 3)] * 9)"),
    *("__import__('os').system('touch PWNED')", "nn.Linear(3, 8)", "Linear(3, 8); 1", "lambda: 1", "[1]"),
    *("Sequential(" * 5000 + ")" * 5000, "Sequential(" + "Linear(3, 3), " * 5000 + ")", "Threshold(nan, 0)"),
    *(
        "Unflatten(-1, (1, 3, 10**9))",
        "Softmax(99)",
        "LazyLinear(8)",
        "ReLU(inplace=True)",
        "Threshold(9, 1e99)",
    ),
)


def _config(data: str) -> dict[str, Any]:
    modalities = [
        {"name": "face", "dim": 3, "likelihood": "normal", "encoder": "Sequential(Linear(3, 8), ReLU())"},
        {"name": "failure", "dim": 1, "role": "target", "likelihood": "bernoulli"},
    ]
    model = {"model": "mm_vrnn", "hidden": 8, "latent": 4, "modalities": modalities}
    training = {"data": data, "rounds": 2, "streams": 2, "session_seconds": 4.0, "segment_ticks": 50}
    training |= {"learning_rate": 2e-3, "warmup_rounds": 1, "clip": 200.0}
    return {"version": 1, "name": "f", "description": "d", "rate": 25, "model": model, "training": training}


def prepare(seeds: Path) -> None:
    """Sessions, and the run folder of a model that was trained on them."""
    rng = np.random.default_rng(0)
    for part in ("train", "validation", "test"):
        (seeds / "data" / part).mkdir(parents=True)
        for name in ("a", "b"):
            face, failure = rng.normal(size=(200, 3)), np.arange(200.0)[:, None] > 100
            np.savez(seeds / "data" / part / f"{name}.npz", face=face, failure=failure)
    config = seeds / "config.toml"
    config.write_text(toml(_config(str(seeds / "data"))))
    from enrapt.cli.main import main

    with (
        Path(os.devnull).open("w") as nothing,
        contextlib.redirect_stdout(nothing),
        contextlib.redirect_stderr(nothing),
    ):
        if main(["train", str(config), "-o", str(seeds / "run"), "--threads", "1"]):
            raise SystemExit("no model was trained")


def make(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    what = rng.choice(
        ("configuration", "configuration", "sessions", "sessions", "sessions", "run", "run", "run")
    )
    if what == "run":
        return _run(rng, seeds, folder)
    config, run = folder / "config.toml", folder / "run"
    tree = _config(str(seeds / "data"))
    if what == "configuration":
        label = _configured(config, tree, rng)
    else:
        data = folder / "data"
        shutil.copytree(seeds / "data", data)
        label = _sessions(data, rng)
        tree["training"]["data"] = str(data)
        if rng.random() < 0.3:
            tree["training"]["early_stopping"] = {"every": 1, "patience": 1}
        config.write_text(toml(tree))
    command = ["train", str(config), "-o", str(run), "--threads", "1"]
    return Trial(f"{what}: {label}", command)


def _configured(config: Path, tree: dict[str, Any], rng: random.Random) -> str:
    if rng.random() < 0.1:
        return special(config, rng)
    if rng.random() < 0.2:
        label, data = changed_bytes(toml(tree).encode(), rng)
        config.write_bytes(data)
        return label
    if rng.random() < 0.2:
        face, network = tree["model"]["modalities"][0], rng.choice(_NETWORKS)
        face[kind := rng.choice(("encoder", "decoder"))] = network
        label = f"{kind} {network[:40]}"
    else:
        label, tree = changed_tree(tree, rng, keep=_WORK)
    try:
        text = toml(tree)
    except RecursionError:
        text = "a = " + "[" * 5000 + "]" * 5000
    config.write_text(text, errors="surrogatepass")
    return label


def _sessions(data: Path, rng: random.Random) -> str:
    """One session's arrays, their headers, the archive, or the file."""
    path = rng.choice(sorted(data.glob("*/*.npz")))
    changes: tuple[Callable[[Path, random.Random], str], ...] = (
        _arrays,
        _arrays,
        _header,
        _archive,
        _bytes,
        _special,
    )
    return f"{path.parent.name}/{path.name}: {rng.choice(changes)(path, rng)}"


def _arrays(path: Path, rng: random.Random) -> str:
    with np.load(path) as file:
        arrays = dict(file)
    name = rng.choice(list(arrays))
    array = arrays[name].astype(np.float64)
    what = rng.choice(
        ("value", "missing", "shape", "type", "empty", "one", "scalar", "name", "large", "more")
    )
    with np.errstate(all="ignore"):
        match what:
            case "value":
                array[rng.randrange(len(array)) :, 0] = float(rng.choice((*FLOATS, *NUMBERS)))
            case "missing":
                array[rng.randrange(len(array)) :] = np.nan
            case "shape":
                array = rng.choice(
                    (
                        array.T,
                        array[..., None],
                        array[:-1],
                        array.ravel(),
                        array[:, :0],
                        np.hstack([array] * 2),
                    )
                )
            case "type":
                kind = rng.choice(("complex", "U3", "S2", "M8[s]", "f2", "i1", "u8", "bool", "g"))
                array = array.astype("i8").astype(kind) if kind == "M8[s]" else array.astype(kind)
            case "empty":
                array = array[:0]
            case "one":
                array = array[:1]
            case "scalar":
                array = np.float64(3.0)
            case "large":
                array = array * 1e30
        arrays[name] = array
        if what == "name":
            arrays[rng.choice(("../x", "", "a.b", "face2"))] = arrays.pop(name)
        if what == "more":
            arrays |= {f"a{k}": array for k in range(1000)}
        np.savez(path, **arrays)
    return f"{name} {what}"


def _header(path: Path, rng: random.Random) -> str:
    """The header of an array says what it is not."""
    if rng.random() < 0.6:
        shape, kind = (
            rng.choice(_SHAPES),
            rng.choice(("<f4", "<f8", "|b1", "<U1000000", "|V2147483647", "<f99")),
        )
        text = f"{{'descr':'{kind}','fortran_order':False,'shape':{shape},}}".encode()
    else:
        text = rng.choice(_HEADERS)
    text += b"\n"
    size = len(text) if rng.random() < 0.8 else rng.choice(NUMBERS) % (1 << 16)
    version = rng.choice((b"\1\0", b"\1\0", b"\1\0", b"\2\0", b"\x09\0"))
    packed = struct.pack("<H" if version[0] == 1 else "<I", size % (1 << 16))
    _zip(path, {"face.npy": b"\x93NUMPY" + version + packed + text + bytes(2400)}, zipfile.ZIP_STORED)
    return f"header {text[:60]!r}"


def _archive(path: Path, rng: random.Random) -> str:
    array = io.BytesIO()
    np.save(array, np.zeros((200, 3)))
    what = rng.choice(
        ("bomb", "traversal", "text", "no array", "twice", "encrypted", "method", "npy", "pickle")
    )
    whole = array.getvalue()
    match what:
        case "bomb":
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                header, {"descr": "<f4", "fortran_order": False, "shape": (10**8, 3)}
            )  # type: ignore[arg-type]
            _zip(path, {"face.npy": header.getvalue() + bytes(300_000_000)}, zipfile.ZIP_DEFLATED)
        case "traversal":
            _zip(path, {"../../PWNED.npy": whole, "face.npy": whole})
        case "text":
            _zip(path, {"readme.txt": b"hello", "face.npy": whole})
        case "no array":
            _zip(path, {"face.npy": b"hello"})
        case "twice":
            _zip(path, {"face.npy": whole, "face": whole})
        case "encrypted" | "method":
            _zip(path, {"face.npy": whole})
            data = bytearray(path.read_bytes())
            local, central = data.index(b"PK\3\4"), data.index(b"PK\1\2")
            if what == "encrypted":
                data[local + 6] |= 1
                data[central + 8] |= 1
            else:
                data[local + 8] = data[central + 10] = rng.choice((9, 12, 14, 99))
            path.write_bytes(data)
        case "npy":
            path.write_bytes(whole)
        case "pickle":
            path.write_bytes(b"\x80\x04cos\nsystem\n(S'touch PWNED'\ntR.")
    return what


def _zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in members.items():
            file.writestr(name, content)


def _bytes(path: Path, rng: random.Random) -> str:
    label, data = changed_bytes(path.read_bytes(), rng)
    path.write_bytes(data)
    return label


def _special(path: Path, rng: random.Random) -> str:
    return special(path, rng)


def _run(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    """A file of a run folder, then a command that reads it."""
    run = folder / "run"
    shutil.copytree(seeds / "run", run)
    path = rng.choice([p for p in sorted(run.iterdir()) if p.is_file()])
    if rng.random() < 0.25:
        label = special(path, rng)
    elif path.suffix == ".safetensors" and rng.random() < 0.7:
        label = _safetensors(path, rng)
    elif path.suffix == ".json" and rng.random() < 0.7:
        label, tree = changed_tree(json.loads(path.read_bytes()), rng, keep=_WORK)
        with contextlib.suppress(RecursionError):
            path.write_text(json.dumps(tree), errors="surrogatepass")
    else:
        label = _bytes(path, rng)
    command, outputs = rng.choice(
        (
            (["evaluate", str(run)], ()),
            (["export", str(run), "-o", str(folder / "out.onnx")], (folder / "out.onnx",)),
            (["train", str(seeds / "config.toml"), "-o", str(run), "--threads", "1"], ()),
            (["distil", str(run), "-o", str(folder / "distilled"), "--threads", "1"], ()),
        )
    )
    return Trial(f"run, {path.name}: {label}; {command[0]}", command, outputs)


def _safetensors(path: Path, rng: random.Random) -> str:
    """The header says what the tensors are not, or the numbers are absurd."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    what = rng.choice(("header", "header", "size", "numbers", "deep"))
    match what:
        case "header":
            label, header = changed_tree(header, rng)
            what = f"header {label}"
        case "numbers":
            number = rng.choice(FLOATS[:5])
            values = np.frombuffer(body[: len(body) // 4 * 4], "<f4").copy()
            values[rng.randrange(len(values)) :: rng.choice((1, 7, 100))] = number
            body, what = values.tobytes() + body[len(body) // 4 * 4 :], f"numbers {number}"
    try:
        text = json.dumps(header).encode(errors="surrogatepass")
    except RecursionError:
        text = b"[" * 100_000
    if what == "deep":
        text = b'{"a":' * 5000 + b"1" + b"}" * 5000
    size = rng.choice((2**63, 10**8, 0, 8)) if what == "size" else len(text)
    path.write_bytes(struct.pack("<Q", size) + text + body)
    return what


def toml(tree: dict[str, Any]) -> str:
    """The tree as TOML: `name = value` at the top, inline tables below."""
    return "".join(f"{json.dumps(str(k))} = {_toml(v)}\n" for k, v in tree.items())


def _toml(value: Any) -> str:
    match value:
        case None:
            return '""'
        case bool() | str():
            return json.dumps(value)
        case list():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            return "{" + ", ".join(f"{json.dumps(str(k))} = {_toml(v)}" for k, v in value.items()) + "}"
    return repr(value)
