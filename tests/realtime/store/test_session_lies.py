"""Sessions whose checksums are right and whose content is not: rows, or one line; never a crash."""

import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.engine.estimate import Estimate
from enrapt.realtime.store.messages import END, UNCHECKED, sealed
from enrapt.realtime.store.reader import SessionReader
from enrapt.realtime.store.tables import MAX_TIME
from enrapt.realtime.streams.samples import Observation
from tests.support.arrow_lies import alter, lie
from tests.support.session_rows import ARROWS, three_batches

LIES = 120  # a file


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    return three_batches(tmp_path_factory.mktemp("good") / "session")[0]


@pytest.fixture
def copy(good, tmp_path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "copy"))


def outcome(folder: Path) -> str:
    """The one line of the error, or nothing; everything is read."""
    try:
        reader = SessionReader(folder)
        for rows in (*map(reader.samples, reader.schemas), reader.observations(), reader.estimates()):
            for row in rows:
                assert isinstance(row, tuple | Observation | Estimate)
        for time, label in reader.marks():
            assert abs(time) <= MAX_TIME
            assert isinstance(label, str)
        assert all("\n" not in line for line in reader.lost)
    except UserError as error:
        line = str(error)
    else:
        return ""
    assert "\n" not in line
    assert len(line) < 600
    return line


def read_lies(good: Path, folder: Path, name: str) -> None:
    """In a process of its own, because a crash would end this one."""
    seen = set()
    for seed in range(LIES):
        shutil.copyfile(good / name, folder / name)
        alter(folder / name, *lie(Random(f"{name} {seed}")))
        seen.add(outcome(folder))
    assert len(seen) > 5, seen


@pytest.mark.parametrize("name", ARROWS)
def test_batches_that_lie_give_rows_or_one_line(good, copy, name):
    code = f"from {__name__} import *; read_lies(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])"
    command = [sys.executable, "-c", code, str(good), str(copy), name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr[-2000:]


def in_body(value: bytes, at: int) -> Callable[[bytearray], None]:
    def change(message: bytearray) -> None:
        begin = 8 + int.from_bytes(message[4:8], "little") + at
        message[begin : begin + len(value)] = value

    return change


@pytest.mark.parametrize(
    ("name", "value", "at", "complaint"),
    [
        ("marks.arrows", struct.pack("<q", 2**63 - 1), 0, "time is out of range"),
        ("face.arrows", struct.pack("<q", -(2**62)), 0, "originating_time is out of range"),
        ("estimates.arrows", struct.pack("<d", np.nan), -1, "engagement_mean is nan"),
    ],
)
def test_values_that_no_session_has_are_one_line(copy, name, value, at, complaint):
    def change(message: bytearray) -> None:
        # A column of estimates is found by a value that is in it.
        found = at if at >= 0 else message.index(struct.pack("<d", 0.6123))
        begin = 8 + int.from_bytes(message[4:8], "little")
        in_body(value, found if at >= 0 else found - begin)(message)

    alter(copy / name, 1, change)
    assert f"{name}: damaged, though its checksum is right ({complaint})" in outcome(copy)


def rewrite(path: Path, change: Callable[[list[pa.Array]], list[pa.Array]], **options: object) -> None:
    """Replace the batches of a file by the first one with other columns."""
    with pa.ipc.open_stream(path.read_bytes()) as stream:
        schema, batch = stream.schema, stream.read_next_batch()
    arrays = change(list(batch.columns))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        new = pa.record_batch(arrays, schema=schema)
        writer.write_batch(new, custom_metadata={b"check": UNCHECKED})
    data = sink.getvalue().to_pybytes()
    begin = 8 + int.from_bytes(data[4:8], "little")
    head = schema.with_metadata(schema.metadata | {b"check": UNCHECKED}).serialize().to_pybytes()
    path.write_bytes(sealed(head) + sealed(data[begin : -len(END)]) + END)


def test_vectors_that_are_not_finite_are_one_line(copy):
    def change(columns):
        kind = columns[3].type
        values = np.full(len(columns[0]) * kind.list_size, np.inf, np.float32)
        infinite = pa.FixedSizeListArray.from_arrays(pa.array(values), kind.list_size)
        return [*columns[:3], infinite, *columns[4:]]

    rewrite(copy / "audio.arrows", change)
    assert "(values is not finite)" in outcome(copy)


def test_what_must_be_there_and_is_null_is_one_line(copy):
    rewrite(copy / "marks.arrows", lambda columns: [pa.nulls(len(c), c.type) for c in columns])
    assert "(time is missing)" in outcome(copy)


def test_compressed_batches_are_refused(copy):
    rewrite(copy / "observations.arrows", lambda columns: columns)
    assert outcome(copy) == ""
    rewrite(copy / "observations.arrows", lambda columns: columns, compression="zstd")
    assert "(a compressed batch)" in outcome(copy)


@pytest.mark.parametrize("name", ["session.json", "marks.arrows"])
@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
def test_what_is_no_regular_file_is_not_opened(copy, name, kind):
    path = copy / name
    path.unlink()
    {"fifo": os.mkfifo, "device": lambda p: p.symlink_to("/dev/zero"), "folder": Path.mkdir}[kind](path)
    assert outcome(copy) == f"{path}: not a regular file"


def test_a_long_tail_is_not_read(copy):
    size = (copy / "marks.arrows").stat().st_size
    os.truncate(copy / "marks.arrows", 2**40)
    line = SessionReader(copy).lost[0]
    assert line.startswith(f"marks.arrows: {2**40 - size + len(END)} bytes cannot be read")


def tampered(folder: Path, change: Callable[[dict], object]) -> str:
    content = json.loads((folder / "session.json").read_text())
    change(content)
    (folder / "session.json").write_text(json.dumps(content))
    return outcome(folder)


@pytest.mark.parametrize(
    "value", [None, 5, "x", [1, 2], {"face": "x"}, {"face": {"a": 1}}, {}, 1e999, -(2**70)]
)
@pytest.mark.parametrize(
    "key", ["schemas", "dims", "rate", "context", "ended", "started", "enrapt", "version"]
)
def test_a_tampered_session_json_is_read_or_one_line(copy, key, value):
    def change(content):
        (content["description"] if key in ("schemas", "dims", "rate", "context") else content)[key] = value

    line = tampered(copy, change)
    assert not line or "session.json" in line


@pytest.mark.parametrize(
    "schemas",
    [
        {"../../etc/passwd": "face/1"},
        {"a\0b": "face/1"},
        {"x" * 5000: "face/1"},
        {f"m{i}": "face/1" for i in range(20_000)},
        {"\ud800x": "face/1"},
        {"face": "\x1b[2Jevil\n\x07"},
    ],
)
def test_names_that_no_modality_has_are_one_line(copy, schemas):
    line = tampered(copy, lambda content: content["description"].update(schemas=schemas))
    assert "session.json: " in line or "cannot be read" in line
    assert line.isprintable()


def test_a_huge_session_json_is_one_line(copy):
    assert tampered(copy, lambda c: c.update(summary="A" * 2**24)).endswith("larger than 16 MiB")
