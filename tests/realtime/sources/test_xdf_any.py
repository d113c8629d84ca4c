"""XDF files of any bytes: estimates, or one line, in bounded time."""

import gzip
import os
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.realtime.run import Run
from enrapt.realtime.sources import xdf_file
from enrapt.realtime.sources.xdf import XdfSource
from enrapt.realtime.sources.xdf_file import is_xdf, read_contents
from tests.support.xdf_files import Stream, audio, chunk, encoded, face

START = b"XDF:" + chunk(1, b"<info><version>1.0</version></info>")


@pytest.fixture(scope="module")
def small() -> bytes:
    marks = Stream("Markers", np.array([100.2]), ["a"], format="string")
    return b"".join(encoded([face(0.4), audio(0.4), marks]))


def readable(path: Path, bundle: Path) -> bool:
    """Whether there is a run of at most an hour; what was captured is accounted for."""
    try:
        with Run(XdfSource(path), bundle) as run:
            ticks = sum(1 for _ in run)
    except UserError as error:
        line = str(error)
        assert "\n" not in line
        return False
    assert ticks < 3600 * 25
    for counts in run.counts.values():
        assert counts.captured == counts.used + counts.dropped.total()
    lines = [*run.source.problems, *run.source.notes, *run.source.taken.values()]
    assert all(line.isprintable() for line in lines)
    return True


@settings(max_examples=80)
@given(st.binary(max_size=200), st.sampled_from([b"", b"XDF:", b"\x1f\x8b", START]))
def test_any_bytes_are_one_line(tmp_path_factory, tiny_bundle, data, start):
    path = tmp_path_factory.mktemp("any") / "a.xdf"
    path.write_bytes(start + data)
    is_xdf(path)
    assert not readable(path, tiny_bundle)


def altered(random: Random, data: bytes) -> bytes:
    new = bytearray(data)
    at = random.randrange(4, len(new) if random.random() < 0.6 else 900)
    match random.randrange(6):
        case 0:
            del new[at:]
        case 1:
            del new[at : at + random.randrange(1, 300)]
        case 2:
            new[at:at] = random.randbytes(random.randrange(1, 200))
        case 3:
            new[at : at + 8] = random.choice((b"\xff", b"\0", b"9", b"\x7f")) * 8
        case 4:
            new[at:at] = new[at : at + random.randrange(1, 2000)]
        case _:
            for _ in range(random.choice((1, 1, 5, 30))):
                new[random.randrange(4, len(new))] = random.randrange(256)
    return bytes(new)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
def test_altered_files_are_replayed_or_one_line(tmp_path, tiny_bundle, small, pack):
    path, good, seen = tmp_path / "a.xdf", pack(small), set()
    for seed in range(80):
        path.write_bytes(altered(Random(seed), good))
        seen.add(readable(path, tiny_bundle))
    assert True in seen


def test_a_name_of_control_characters_is_printed_without_them(tmp_path, tiny_bundle):
    path = tmp_path / "a.xdf"
    path.write_bytes(b"".join(encoded([face(0.4, name="&#155;31mred\u202e")])))
    assert readable(path, tiny_bundle)
    (stream,) = read_contents(path).streams
    assert stream.name == " 31mred "


def test_a_gzip_bomb_ends_before_the_disk_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(xdf_file, "MAX_UNPACKED", 2**21)
    path = tmp_path / "a.xdfz"
    path.write_bytes(gzip.compress(START + bytes(2**24)))
    with pytest.raises(UserError, match="when unpacked"):
        read_contents(path)


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo.xdf")
    for path in (tmp_path / "fifo.xdf", tmp_path, Path("/dev/zero")):
        assert not is_xdf(path)
        with pytest.raises(UserError, match="not a regular file"):
            read_contents(path)
