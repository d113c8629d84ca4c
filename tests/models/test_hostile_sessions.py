"""Sessions to train on that are damaged, or lie: values, or one line, and bounded memory."""

import io
import os
import struct
import zipfile
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.models.datasets import npz
from enrapt.models.datasets.recordings import read_session
from enrapt.models.modality import Modality

MODALITIES = (Modality("face", 3), Modality("engagement", 1, role="target", likelihood="logit_normal"))
ROWS = 40
GOOD = {"face": np.arange(ROWS * 3.0).reshape(ROWS, 3), "engagement": np.full((ROWS, 1), 0.5)}


def readable(path: Path) -> bool:
    try:
        session = read_session(path, MODALITIES)
    except UserError as error:
        line = str(error)
        assert line.startswith(str(path))
        assert line.isprintable()
        assert len(line) < 400 + len(str(path))
        return False
    for m in MODALITIES:
        values = session[m.name]
        assert values.dtype == np.float32
        assert values.shape == (len(session["face"]), m.dim)
        assert not np.isinf(values).any()
    return True


def archive(save=np.savez, **arrays):
    data = io.BytesIO()
    save(data, **(arrays or GOOD))
    return data.getvalue()


def header(text: bytes, version: int = 1) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text


def claims(descr: str = "<f4", shape: str = "(4, 3)", order: str = "False", rest: bytes = b"") -> bytes:
    """A member with that header, and `rest` as its content."""
    text = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}}}\n"
    return header(text.encode()) + rest


def zipped(*members: tuple[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # of names that are there twice
        for name, content in members:
            file.writestr(name, content)
    return data.getvalue()


def flagged(offset: int, central: int, value: int) -> bytes:
    """The good archive with a number changed in the local and the central header of its first member."""
    data = bytearray(archive())
    data[data.index(b"PK\3\4") + offset] = data[data.index(b"PK\1\2") + central] = value
    return bytes(data)


HOSTILE = {
    "rows": claims(shape="(1000000000000, 3)"),
    "product": claims(shape="(1000000, 1000000, 0)"),
    "negative": claims(shape="(-5, 3)"),
    "not integers": claims(shape="(4.0, 3)"),
    "huge integers": claims(shape=f"({'9' * 300}, 3)"),
    "objects": claims(descr="|O", rest=b"x" * 50),
    "strings": claims(descr="<U1"),
    "huge items": claims(descr="|V1000000000"),
    "too little": claims(rest=b"1234"),
    "too much": claims(rest=bytes(4 * 12 + 1)),
    "code": header(b"__import__('os').system('touch PWNED')\n"),
    "brackets": header(b"(" * 9000 + b")" * 9000),
    "unclosed": header(b"{'descr':'<f4'"),
    "long header": header(b" " * 10**6, version=2),
    "no version": b"\x93NUMPY\x09\x00",
    "text": b"hello",
    "empty": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_arrays_that_lie_are_one_line(tmp_path, name):
    path = tmp_path / "a.npz"
    path.write_bytes(zipped(("face.npy", HOSTILE[name])))
    assert not readable(path)
    assert not Path("PWNED").exists()


ARCHIVES = {
    "an array": b"".join([claims(), bytes(48)]),
    "nothing": b"",
    "no members": b"PK\5\6" + bytes(18),
    "pickle": b"\x80\x04cos\nsystem\n(S'touch PWNED'\ntR.",
    "twice": zipped(("face.npy", claims(rest=bytes(48))), ("face.npy", claims(rest=bytes(48)))),
    "without a suffix and with one": zipped(
        ("face", claims(rest=bytes(48))), ("face.npy", claims(rest=bytes(48)))
    ),
    "path": zipped(("../face.npy", claims(rest=bytes(48)))),
    "escape": zipped(("\x1b[31m.npy", b"")),
    "many": zipped(*((f"{k}.npy", b"") for k in range(12_000))),
    "encrypted": flagged(6, 8, 1),
    "compression": flagged(8, 10, 99),
    "a number": archive(face=np.float64(3)),
    "infinite in float32": archive(face=np.full((4, 3), 1e300)),
    "absurd": archive(face=np.full((4, 3), -3e38)),
    "complex": archive(face=np.zeros((4, 3), complex)),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_that_are_not_of_a_session_are_one_line(tmp_path, name):
    path = tmp_path / "a.npz"
    path.write_bytes(ARCHIVES[name])
    assert not readable(path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "MAX_NUMBERS", 1000)
    path = tmp_path / "a.npz"
    path.write_bytes(archive(np.savez_compressed, face=np.zeros((10**6, 3), np.float32)))
    monkeypatch.setattr(np.lib.format, "read_array", pytest.fail)
    assert not readable(path)


def test_any_layout_and_type_of_numbers_is_read(tmp_path):
    path = tmp_path / "a.npz"
    for face in (np.asfortranarray(GOOD["face"]), GOOD["face"].astype(">i8"), GOOD["face"] > 3):
        for save in (np.savez, np.savez_compressed):
            path.write_bytes(archive(save, face=face))
            assert np.array_equal(read_session(path, MODALITIES)["face"], face.astype(np.float32))


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo.npz")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "link.npz").symlink_to("/dev/zero")
    for path in tmp_path.iterdir():
        with pytest.raises(UserError, match="not a regular file"):
            read_session(path, MODALITIES)
    with pytest.raises(UserError, match="cannot be read"):
        read_session(tmp_path / "none.npz", MODALITIES)


@settings(max_examples=60)
@given(st.binary(max_size=200), st.sampled_from([b"", b"PK\3\4", b"\x93NUMPY\1\0"]), st.booleans())
def test_any_bytes_are_a_session_or_one_line(tmp_path_factory, data, start, member):
    path = tmp_path_factory.mktemp("any") / "a.npz"
    path.write_bytes(zipped(("face.npy", start + data)) if member else start + data)
    readable(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_altered_sessions_are_read_or_one_line(tmp_path, save):
    good, path, seen = archive(save), tmp_path / "a.npz", set()
    for seed in range(200):
        random, data = Random(seed), bytearray(good)
        at = random.randrange(len(data))
        match seed % 4:
            case 0:
                del data[at:]
            case 1:
                data[at : at + 8] = random.choice((b"\xff", b"\0", b"9")) * 8
            case 2:
                data[at:at] = random.randbytes(9)
            case _:
                data[at] ^= 1 << random.randrange(8)
        path.write_bytes(data)
        seen.add(readable(path))
    assert False in seen
