"""What is damaged or missing in a session is reported, and the rest is read to the bit."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.store.reader import SessionReader
from tests.support.session_rows import ARROWS, DIMS, expected_rows, plain, read, record, three_batches, tick


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> tuple[Path, dict[str, list[object]]]:
    return three_batches(tmp_path_factory.mktemp("small") / "session")


@pytest.fixture
def copy(small, tmp_path) -> Path:
    return Path(shutil.copytree(small[0], tmp_path / "copy"))


def cut(folder: Path, name: str, data: bytes) -> SessionReader:
    (folder / name).write_bytes(data)
    return SessionReader(folder)


def rows_of(reader: SessionReader, name: str) -> list[object]:
    stem = name.removesuffix(".arrows")
    rows = reader.samples(stem) if stem in DIMS else getattr(reader, stem)()
    return list(map(plain, rows))


@pytest.mark.parametrize("name", ARROWS)
def test_cut_anywhere_it_gives_its_complete_batches_and_reports_what_is_lost(tmp_path, name):
    calls = [call for n in range(0, 60, 10) for call in tick(n)]
    record(tmp_path, calls)
    reader = SessionReader(tmp_path)
    expected = expected_rows(calls)[name]
    assert rows_of(reader, name) == expected
    data = (tmp_path / name).read_bytes()
    seen = {}
    with (tmp_path / name).open("r+b") as file:
        for size in reversed(range(len(data))):
            file.truncate(size)
            rows = rows_of(reader, name)
            assert rows == expected[: len(rows)]
            seen[len(rows)] = size  # the smallest that gives as many
            if size % 53 == 0:  # it reads all files
                [line] = reader.lost
                assert line.startswith(f"{name}: ")
                assert line.endswith("is lost")
    assert len(seen) >= 3
    for n, size in seen.items():
        os.truncate(tmp_path / name, 0)
        (tmp_path / name).write_bytes(data[:size])
        since = f"what came after {(n - 1) * 0.4:.1f}" if n else "all of it"
        [line] = reader.lost
        assert line.startswith(f"{name}: cut; {since}")


@pytest.mark.parametrize("name", ARROWS)
def test_a_changed_byte_ends_what_is_read_there(small, copy, name):
    expected = small[1]
    data = (copy / name).read_bytes()
    random = np.random.default_rng(0)
    everywhere = {*range(0, 2500, 37), *range(len(data) - 8, len(data)), *random.integers(0, len(data), 60)}
    for k, position in enumerate(sorted(everywhere & set(range(len(data))))):
        changed = bytearray(data)
        changed[position] ^= 1 << random.integers(8)
        reader = cut(copy, name, changed)
        found = rows_of(reader, name)
        assert found == expected[name][: len(found)]
        if k % 8 == 0:  # these read all files
            assert {**read(reader), name: []} == {**expected, name: []}
            [line] = reader.lost
            assert "bytes cannot be read" in line


def test_a_changed_byte_of_session_json_is_a_user_error_or_changes_no_row(small, copy):
    data = (copy / "session.json").read_bytes()
    outcomes = set()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        name = ("face.arrows", "audio.arrows", "marks.arrows")[position // 8 % 3]
        try:
            outcome = rows_of(cut(copy, "session.json", changed), name) == small[1][name]
        except UserError as error:
            outcome = "one line" if "\n" not in str(error) else str(error)
        outcomes.add(outcome)
    assert outcomes == {True, "one line"}


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_cut_session_json_is_a_user_error(copy, share):
    data = (copy / "session.json").read_bytes()
    with pytest.raises(UserError, match=r"session.json: not a session's, or damaged"):
        cut(copy, "session.json", data[: int(len(data) * share)])


def test_a_session_json_of_brackets_is_a_user_error(copy):
    with pytest.raises(UserError, match="damaged"):
        cut(copy, "session.json", b'{"version": 1, "description": ' + b"[" * 100_000)


def test_a_missing_file_and_one_of_another_session_are_reported(copy):
    (copy / "face.arrows").unlink()
    reader = SessionReader(copy)
    assert list(reader.samples("face")) == []
    assert reader.lost == ["face.arrows: is missing; all of it is lost"]
    shutil.copy(copy / "audio.arrows", copy / "face.arrows")
    with pytest.raises(UserError, match=r"face.arrows: is not of the session that session.json describes"):
        list(reader.samples("face"))


def test_bytes_after_the_end_are_reported(small, copy):
    data = (copy / "marks.arrows").read_bytes()
    reader = cut(copy, "marks.arrows", data + b"more")
    assert list(map(plain, reader.marks())) == small[1]["marks.arrows"]
    assert reader.lost == ["marks.arrows: 12 bytes cannot be read; what came after 2.000 s is lost"]


def test_a_folder_that_is_not_a_session_of_this_version_is_a_user_error(tmp_path, copy):
    for folder in (tmp_path / "nowhere", tmp_path, copy / "session.json"):
        with pytest.raises(UserError, match=r"not a session: it has no session\.json"):
            SessionReader(folder)
    content = json.loads((copy / "session.json").read_text())
    with pytest.raises(UserError, match="a session of version 2; this version of enrapt reads 1"):
        cut(copy, "session.json", json.dumps(content | {"version": 2}).encode())
    content["description"]["schemas"]["face"] = "face/2"
    with pytest.raises(UserError, match=r"face is of feature schema 'face/2', and this enrapt knows face/1"):
        cut(copy, "session.json", json.dumps(content).encode())
    for schemas in ({"../face": "face/1"}, {"marks": "face/1"}, {"face": 1}, None):
        content["description"]["schemas"] = schemas
        with pytest.raises(UserError, match="damaged"):
            cut(copy, "session.json", json.dumps(content).encode())


def test_an_unknown_modality_is_a_user_error(small):
    with pytest.raises(UserError, match="has no 'gaze', only face, audio"):
        SessionReader(small[0]).samples("gaze")
