"""Recorded sessions whose Arrow messages, tables, description or files are hostile; checksums are right."""

import json
import random
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.store.folder import SessionWriter
from enrapt.realtime.store.messages import END, UNCHECKED, messages, sealed
from tests.support.bundles import make_bundle
from tests.support.session_rows import DESCRIPTION, tick

from .changes import FLOATS, NUMBERS, TEXTS, changed_bytes, changed_tree, dumped, special
from .trial import Trial

COUNT: Final = 700
IMPORTS: Final = (
    *("enrapt.realtime.run", "enrapt.realtime.sources.session", "enrapt.realtime.report", "pyarrow.parquet"),
    *("enrapt.realtime.timeline", "onnxruntime", "enrapt.cli.show", "enrapt.cli.inspect_recording"),
)
TICKS: Final = 60
BUNDLE: Final = "tiny.onnx"
SESSION: Final = "session"

_CHECK: Final = re.compile(rb"crc32=[0-9a-f]{8} bytes=[0-9a-f]{8}")


def prepare(seeds: Path) -> None:
    inputs = (("face", FACE.dim, FACE.name, 0.2), ("audio", AUDIO.dim, AUDIO.name, 0.2))
    make_bundle(seeds / BUNDLE, inputs)
    with SessionWriter(seeds / SESSION, DESCRIPTION | {"rate": 25}) as writer:
        for n in range(TICKS):
            for name, *arguments in tick(n):
                getattr(writer, name)(*arguments)
        writer.close({"ticks": TICKS})


def make(rng: random.Random, seeds: Path, folder: Path) -> Trial:
    session = folder / SESSION
    session.mkdir()
    for file in (seeds / SESSION).iterdir():
        (session / file.name).write_bytes(file.read_bytes())
    changes: tuple[Callable[..., str], ...] = (
        *[_message] * 4,
        *[_table] * 4,
        _order,
        _description,
        _file,
        _raw,
    )
    labels = [rng.choice(changes)(session, rng) for _ in range(rng.choice((1, 1, 1, 2)))]
    command, outputs = _command(session, seeds / BUNDLE, folder, rng)
    return Trial(f"{'; '.join(labels)}; {' '.join(command[:1])}", command, outputs)


def _command(
    session: Path, bundle: Path, folder: Path, rng: random.Random
) -> tuple[list[str], tuple[Path, ...]]:
    what = rng.choice(("replay", "replay", "reassemble", "plot", "inspect"))
    if what == "inspect":
        return ["inspect", str(session), *["--json"] * rng.randrange(2)], ()
    if what == "plot":
        output = folder / f"plot.{rng.choice(('html', 'png'))}"
        return ["plot", str(session), "-o", str(output)], (output,)
    kind = rng.choice(("jsonl", "csv", "parquet"))
    output = folder / f"estimates.{kind}"
    more = ["--reassemble"] * (what == "reassemble")
    return ["replay", str(session), "--bundle", str(bundle), "--to", f"{kind}:{output}", *more], (output,)


def _tables(session: Path, rng: random.Random) -> Path:
    """One of the tables that are still regular files."""
    return rng.choice(
        [p for p in sorted(session.glob("*.arrows")) if p.is_file() and p.stat().st_size]
        or [session / "none"]
    )


def _split(path: Path) -> list[bytes]:
    if not path.is_file():
        return []
    with path.open("rb") as file:
        return list(messages(file, path.stat().st_size))


def _resealed(message: bytes) -> bytes:
    """With a right checksum; as it is where its place is no longer there."""
    if not (check := _CHECK.search(message)):
        return message
    unchecked = message[: check.start()] + UNCHECKED + message[check.end() :]
    return sealed(unchecked) if unchecked.count(UNCHECKED) == 1 else message


def _message(session: Path, rng: random.Random) -> str:
    """Words or bytes of one message: offsets, lengths, types and counts of its flatbuffer, or its values."""
    path = _tables(session, rng)
    parts = _split(path)
    if not parts:
        return "nothing to change"
    which = rng.randrange(len(parts))
    data = bytearray(parts[which])
    body = 8 + int.from_bytes(data[4:8], "little")
    where = rng.choice(("metadata", "metadata", "body"))
    begin, end = (8, body) if where == "metadata" else (body, len(data))
    for _ in range(rng.choice((1, 1, 2, 4))):
        if end - begin < 8:
            break
        width = rng.choice((1, 2, 4, 8))
        at = begin + rng.randrange((end - begin) // width) * width
        number = rng.choice((*NUMBERS, rng.randrange(1 << 16))) % (1 << 8 * width)
        data[at : at + width] = number.to_bytes(width, "little")
    parts[which] = _resealed(bytes(data))
    path.write_bytes(b"".join(parts) + END)
    return f"{path.name}: {where} of message {which}"


def _order(session: Path, rng: random.Random) -> str:
    """Whole messages, each valid, that do not belong where they are."""
    path, other = _tables(session, rng), _tables(session, rng)
    parts, others = _split(path), _split(other)
    if not parts or not others:
        return "nothing to order"
    begin, batches = parts[0], parts[1:]
    what = rng.choice(
        ("reversed", "repeated", "another's", "no schema", "two schemas", "shuffled", "other file")
    )
    match what:
        case "reversed":
            batches.reverse()
        case "repeated":
            batches *= rng.choice((2, 1000))
        case "another's":
            batches += others[1:]
        case "no schema":
            begin = b""
        case "two schemas":
            batches.insert(rng.randrange(len(batches) + 1), rng.choice((begin, others[0])))
        case "shuffled":
            rng.shuffle(batches)
        case "other file":
            begin, batches = others[0], others[1:]
    path.write_bytes(begin + b"".join(batches) + END * rng.randrange(3))
    return f"{path.name}: {what}"


def _table(session: Path, rng: random.Random) -> str:
    """A valid Arrow stream with right checksums, of a table that no session has."""
    path = _tables(session, rng)
    try:
        table = pa.ipc.open_stream(path.read_bytes()).read_all()
    except (pa.ArrowException, OSError):
        return "no table to change"
    column = rng.randrange(table.num_columns)
    field = table.schema.field(column)
    changes = (_values, _values, _values, _type, _columns, _rows)
    change = rng.choice(changes)
    try:
        label, table = change(table, column, rng)
    except (pa.ArrowException, ValueError, TypeError, OverflowError, NotImplementedError):
        label, table = _rows(table, column, rng)
    compression = rng.choice((None, None, None, "zstd", "lz4"))
    path.write_bytes(_stream(table, compression))
    return f"{path.name}: {field.name} {label} {compression or ''}"


def _stream(table: Any, compression: str | None) -> bytes:
    """The messages of a table, sealed as a session's are."""
    metadata = (table.schema.metadata or {}) | {b"check": UNCHECKED}
    result = sealed(table.schema.with_metadata(metadata).serialize().to_pybytes())
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    begun = 0
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        for batch in table.to_batches(max_chunksize=25):
            stream.write_batch(batch, custom_metadata={"check": UNCHECKED})
    data = sink.getvalue().to_pybytes()
    while (n := int.from_bytes(data[begun + 4 : begun + 8], "little")) and begun < len(data):
        message = pa.ipc.read_message(pa.py_buffer(data[begun:]))
        size = 8 + n + (len(message.body) if message.body is not None else 0)
        part = data[begun : begun + size]
        if message.type != "schema":
            result += sealed(part) if part.count(UNCHECKED) == 1 else part
        begun += size
    return result + END


def _values(table: Any, column: int, rng: random.Random) -> tuple[str, Any]:
    field, n = table.schema.field(column), table.num_rows
    kind = field.type
    what = rng.choice(("extreme", "backwards", "same", "one", "null", "random"))
    if pa.types.is_fixed_size_list(kind):
        with np.errstate(over="ignore"):
            flat = np.full(n * kind.list_size, rng.choice(FLOATS[:-2]), np.float32)
        if what in ("one", "random"):
            flat[1:] = 0.5
        array = pa.FixedSizeListArray.from_arrays(pa.array(flat), kind.list_size)
        return f"{flat[0]}", table.set_column(column, pa.field(field.name, kind, True, field.metadata), array)
    old = table.column(column).to_pylist()
    if what == "null":
        new = [None] * n
    elif pa.types.is_string(kind):
        new = [rng.choice(TEXTS) for _ in old]
    else:
        extremes: tuple[Any, ...] = FLOATS if pa.types.is_floating(kind) else NUMBERS
        value = rng.choice(extremes)
        new = {
            "extreme": [rng.choice(extremes) for _ in old],
            "backwards": old[::-1],
            "same": [value] * n,
            "one": [value if k == n // 2 else v for k, v in enumerate(old)],
            "random": [rng.randrange(-(2**40), 2**40) for _ in old],
        }[what]
        if pa.types.is_boolean(kind):
            new = [bool(v) for v in new]
    array = pa.array(new, kind, from_pandas=False, safe=False)
    return what, table.set_column(column, pa.field(field.name, kind, True, field.metadata), array)


def _type(table: Any, column: int, rng: random.Random) -> tuple[str, Any]:
    field, n = table.schema.field(column), table.num_rows
    arrays = {
        "int32": pa.array(range(n), pa.int32()),
        "double": pa.array([1.5] * n),
        "text": pa.array(["a"] * n),
        "dictionary": pa.array(["a"] * n).dictionary_encode(),
        "list": pa.array([[1.0]] * n, pa.list_(pa.float32())),
        "short list": pa.array([[1.0]] * n, pa.list_(pa.float32(), 1)),
        "empty list": pa.array([[]] * n, pa.list_(pa.float32(), 0)),
        "struct": pa.array([{"a": 1}] * n),
        "null": pa.nulls(n),
        "time": pa.array([0] * n, pa.timestamp("ns")),
        "decimal": pa.array([1] * n, pa.decimal128(38, 0)),
        "bytes": pa.array([b"\xff"] * n),
        "view": pa.array(["a" * 50] * n, pa.string_view()),
        "runs": pa.RunEndEncodedArray.from_arrays([n or 1], [1]) if n else pa.nulls(n),
        "map": pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int64())),
    }
    what = rng.choice(list(arrays))
    return f"as {what}", table.set_column(column, pa.field(field.name, arrays[what].type, True), arrays[what])


def _columns(table: Any, column: int, rng: random.Random) -> tuple[str, Any]:
    field = table.schema.field(column)
    match rng.choice(("removed", "twice", "renamed", "reversed", "metadata")):
        case "removed":
            return "removed", table.remove_column(column)
        case "twice":
            return "twice", table.append_column(field, table.column(column))
        case "renamed":
            names = list(table.schema.names)
            names[column] = rng.choice(TEXTS)[:1000]
            return "renamed", table.rename_columns(names)
        case "reversed":
            return "columns reversed", table.select(table.schema.names[::-1])
    metadata = {"schemas": rng.choice((*TEXTS[:4], "{}", '{"face": "face/2"}', "[" * 5000))}
    return "of other metadata", table.replace_schema_metadata(metadata)


def _rows(table: Any, column: int, rng: random.Random) -> tuple[str, Any]:
    what = rng.choice(("none", "reversed", "many", "one", "shuffled"))
    index = {
        "none": [],
        "reversed": list(range(table.num_rows))[::-1],
        "many": list(range(table.num_rows)) * 300,
        "one": [0] * bool(table.num_rows),
        "shuffled": rng.sample(range(table.num_rows), table.num_rows),
    }[what]
    return f"rows {what}", table.take(pa.array(index, pa.int64()))


def _description(session: Path, rng: random.Random) -> str:
    path = session / "session.json"
    if not path.is_file():
        return "no description"
    if rng.random() < 0.3:
        label, data = changed_bytes(path.read_bytes(), rng)
        path.write_bytes(data)
        return f"session.json {label}"
    try:
        label, tree = changed_tree(json.loads(path.read_bytes()), rng)
    except (ValueError, RecursionError):  # by the change before
        return "session.json"
    path.write_text(dumped(tree), encoding="utf-8", errors="surrogatepass")
    return f"session.json {label}"


def _file(session: Path, rng: random.Random) -> str:
    """A file that is missing, or no file; one of media; one more."""
    names = [p.name for p in sorted(session.iterdir())]
    path = session / rng.choice((*names, "media.mkv"))
    if rng.random() < 0.2:
        (session / rng.choice(("context.arrows", "a b.arrows", ".arrows", "media.mkv"))).write_bytes(
            rng.randbytes(500)
        )
        return "another file"
    return f"{path.name} {special(path, rng)}"


def _raw(session: Path, rng: random.Random) -> str:
    """Bytes changed anywhere, with checksums that are wrong, as a broken disk leaves them."""
    path = _tables(session, rng)
    if not path.is_file():
        return "nothing to change"
    label, data = changed_bytes(path.read_bytes(), rng)
    path.write_bytes(data)
    return f"{path.name} {label}, {zlib.crc32(data):08x}"
