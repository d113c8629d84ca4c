"""What was recorded is read back to the bit, or it is said that it is lost."""

import contextlib
import datetime
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime import session_folder
from enrapt.realtime.estimate import Engagement, Estimate, Latency
from enrapt.realtime.samples import SECOND, Observation, Sample
from enrapt.realtime.session_folder import SessionWriter
from enrapt.realtime.session_reader import SessionReader

DIMS = {"face": FACE.dim, "audio": AUDIO.dim}
DESCRIPTION = {
    "bundle": {"name": "tiny", "sha256": "ab" * 32},
    "schemas": {"face": "face/1", "audio": "audio/1"},
    "devices": {"camera": "0", "microphone": "Built-in"},
    "clock": "CLOCK_MONOTONIC",
}
TICK = SECOND // 25
ARROWS = [f"{name}.arrows" for name in ("face", "audio", "observations", "estimates", "marks")]


def vector(modality: str, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=DIMS[modality]).astype(np.float32)


def tick(n: int) -> list[tuple]:
    """All that a session's loop tells at tick n, as calls of the writer; the face is missing now and then."""
    at = n * TICK
    face = None if n % 5 == 3 else vector("face", n)
    audio = vector("audio", n)
    ages = {"face": None if face is None else 12_345_678, "audio": 0}
    latency = Latency(5.25, 0.071, None, 3.5, {"audio": 1.125, "face": 2.0}) if n % 2 else msgspec.UNSET
    estimate = Estimate(
        n,
        round(at / SECOND, 6),
        Engagement(0.6123, 0.0812, 0.47, 0.74),
        {"face": face is not None, "audio": True},
        {"face": None if face is None else 12.3, "audio": 0.0},
        {"face": None if face is None else -3.142, "audio": 0.1 + 0.2},
        latency,
    )
    calls: list[tuple] = [
        ("sample", Sample("face", at - 12_345_678, face, n), at + 5_000_000),
        ("sample", Sample("audio", at, audio, n), at + 7_000_000),
        ("observation", Observation(n, at, {"face": face, "audio": audio}, ages)),
        ("estimate", estimate),
    ]
    return [*calls, ("mark", at, f"mark {n} äöü 🙂")] if n % 10 == 0 else calls


def record(folder: Path, calls: list[tuple], summary: object = None) -> None:
    with SessionWriter(folder, DESCRIPTION) as writer:
        for name, *arguments in calls:
            getattr(writer, name)(*arguments)
        writer.close(summary)


def plain(row: object) -> object:
    """With bytes in place of arrays, so that equal means equal to the bit."""
    match row:
        case np.ndarray():
            assert row.dtype == np.float32
            return row.shape, row.tobytes()
        case Sample():
            return row.modality, row.originating_time, plain(row.values), row.sequence
        case Observation():
            values = [(name, plain(value)) for name, value in row.values.items()]
            return row.tick, row.time, values, list(row.age.items())
        case Estimate():
            return row, msgspec.json.encode(row)
        case tuple():
            return tuple(map(plain, row))
    return row


def told(calls: list[tuple]) -> dict[str, list[object]]:
    """What the reader should give of these calls, by file."""
    files: dict[str, list[object]] = {name: [] for name in ARROWS}
    for name, *arguments in calls:
        row = arguments[0] if name in ("observation", "estimate") else tuple(arguments)
        file = arguments[0].modality if name == "sample" else f"{name}s"
        files[f"{file}.arrows"].append(plain(row))
    return files


def read(reader: SessionReader) -> dict[str, list[object]]:
    sources: dict[str, Callable] = {
        f"{name}.arrows": lambda name=name: reader.samples(name) for name in reader.description["schemas"]
    }
    sources |= {
        "observations.arrows": reader.observations,
        "estimates.arrows": reader.estimates,
        "marks.arrows": reader.marks,
    }
    return {name: list(map(plain, source())) for name, source in sources.items()}


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> tuple[Path, dict[str, list[object]]]:
    """A session of three batches a file, and what is in it."""
    folder = tmp_path_factory.mktemp("small") / "session"
    calls = [call for n in range(52) for call in tick(n)]
    record(folder, calls, {"ticks": 52})
    return folder, told(calls)


def test_what_was_recorded_is_read_back_to_the_bit(small):
    folder, expected = small
    reader = SessionReader(folder)
    assert read(reader) == expected
    assert reader.lost == []
    assert reader.description == DESCRIPTION
    assert reader.summary == {"ticks": 52}
    assert reader.ended == 51 * TICK + 7_000_000
    assert sorted(path.name for path in folder.iterdir()) == sorted([*ARROWS, "session.json"])


def test_the_vectors_that_are_read_may_be_written_to(small):
    sample, _ = next(SessionReader(small[0]).samples("face"))
    sample.values[:] = 0


floats = st.floats(allow_nan=False)
singles = st.floats(width=32, allow_nan=False)
times = st.integers(-(2**62), 2**62)


@st.composite
def any_calls(draw) -> tuple:
    def values(modality: str) -> np.ndarray | None:
        return draw(
            st.none()
            | st.lists(singles, min_size=3, max_size=3).map(
                lambda x: np.resize(np.array(x, np.float32), DIMS[modality])
            )
        )

    def maybe(what: st.SearchStrategy) -> dict:
        return {modality: draw(what) for modality in DIMS}

    kind = draw(st.sampled_from(["sample", "observation", "estimate", "mark"]))
    if kind == "sample":
        modality = draw(st.sampled_from(list(DIMS)))
        return kind, Sample(modality, draw(times), values(modality), draw(times)), draw(times)
    if kind == "observation":
        return kind, Observation(
            draw(times), draw(times), {m: values(m) for m in DIMS}, maybe(st.none() | times)
        )
    if kind == "mark":
        return kind, draw(times), draw(st.text())
    waits = draw(st.permutations([(m, draw(floats)) for m in DIMS]))
    latency = Latency(
        *(draw(x) for x in (st.none() | floats, floats, st.none() | floats, st.none() | floats))
    )
    latency = msgspec.structs.replace(latency, waits=dict(waits[: draw(st.integers(0, 2))]))
    seconds = st.floats(0, 1e9)
    return kind, Estimate(
        draw(times),
        draw(seconds),
        Engagement(*(draw(floats) for _ in range(4))),
        maybe(st.booleans()),
        maybe(st.none() | floats),
        maybe(st.none() | floats),
        draw(st.sampled_from([msgspec.UNSET, latency])),
    )


@settings(max_examples=60)
@given(calls=st.lists(any_calls(), max_size=12))
def test_any_session_is_read_back_to_the_bit(tmp_path_factory, calls):
    folder = tmp_path_factory.mktemp("any")
    record(folder, calls)
    reader = SessionReader(folder)
    assert read(reader) == told(calls)
    assert reader.lost == []
    shutil.rmtree(folder)


def test_a_vector_is_copied_when_it_is_told(tmp_path):
    values = vector("face", 1)
    with SessionWriter(tmp_path, DESCRIPTION) as writer:
        writer.sample(Sample("face", 0, values, 0), 0)
        values[:] = 0
    [(sample, _)] = SessionReader(tmp_path).samples("face")
    np.testing.assert_array_equal(sample.values, vector("face", 1))


def test_session_json_is_readable(small):
    text = (small[0] / "session.json").read_text()
    said = json.loads(text)
    assert text.startswith('{\n  "version": 1,\n  "enrapt": "')
    assert said["description"] == DESCRIPTION
    started = datetime.datetime.fromisoformat(said["started"])
    assert abs(started - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(hours=1)


def test_plain_arrow_reads_it_as_the_documentation_says(small, monkeypatch):
    folder, expected = small
    monkeypatch.chdir(folder)
    code = session_folder.__doc__.split("::\n\n")[1].split("\n\nA file that")[0]
    found: dict[str, object] = {}
    exec(textwrap.dedent(code), found)
    assert found["schemas"] == DESCRIPTION["schemas"]
    assert found["unit"] == b"0..1"
    assert found["means"] == [0.6123] * 52
    assert tuple(found["features"]) == FACE.features
    assert found["vectors"][0] == vector("face", 0).tolist()
    assert found["vectors"][3] is None
    assert len(found["vectors"]) == len(expected["face.arrows"])


def test_every_number_has_a_unit(small):
    for path in small[0].glob("*.arrows"):
        for field in pa.ipc.open_stream(path.read_bytes()).schema:
            if pa.types.is_fixed_size_list(field.type):
                assert len(json.loads(field.metadata[b"units"])) == field.type.list_size
            elif pa.types.is_integer(field.type) or pa.types.is_floating(field.type):
                assert field.metadata[b"unit"], (path.name, field.name)


def test_it_is_with_the_system_within_a_second_whoever_still_speaks(tmp_path):
    """The camera is unplugged after its first picture: what it gave must not wait for another."""
    with SessionWriter(tmp_path, DESCRIPTION) as writer:
        writer.sample(Sample("face", 0, vector("face", 0), 0), 1)
        for n in range(26):
            writer.sample(Sample("audio", n * TICK, vector("audio", n), n), n * TICK)
        reader = SessionReader(tmp_path)
        assert len(list(reader.samples("face"))) == 1
        assert 20 <= len(list(reader.samples("audio"))) <= 26
        [line] = reader.lost
        assert reader.ended is None
        assert "the session was not ended" in line


def test_rows_are_written_together(small):
    """Batches cost, rows hardly do."""
    with pa.ipc.open_stream((small[0] / "estimates.arrows").read_bytes()) as stream:
        assert [batch.num_rows for batch in stream] == [20, 20, 12]


def test_one_absurd_time_does_not_put_off_what_comes(tmp_path):
    with SessionWriter(tmp_path, DESCRIPTION) as writer:
        writer.mark(2**62, "absurd")
        for n in range(100):
            writer.sample(Sample("audio", n * TICK, None, n), n * TICK)
        assert len(list(SessionReader(tmp_path).samples("audio"))) > 70


def cut(folder: Path, name: str, data: bytes) -> SessionReader:
    (folder / name).write_bytes(data)
    return SessionReader(folder)


@pytest.fixture
def copy(small, tmp_path) -> Path:
    return Path(shutil.copytree(small[0], tmp_path / "copy"))


def rows_of(reader: SessionReader, name: str) -> list[object]:
    stem = name.removesuffix(".arrows")
    rows = reader.samples(stem) if stem in DIMS else getattr(reader, stem)()
    return list(map(plain, rows))


@pytest.mark.parametrize("name", ARROWS)
def test_cut_anywhere_it_gives_its_whole_batches_and_says_what_is_lost(tmp_path, name):
    calls = [call for n in range(0, 60, 10) for call in tick(n)]
    record(tmp_path, calls)
    reader = SessionReader(tmp_path)
    expected = told(calls)[name]
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
    for position in everywhere & set(range(len(data))):
        changed = bytearray(data)
        changed[position] ^= 1 << random.integers(8)
        reader = cut(copy, name, changed)
        found = read(reader)
        assert found[name] == expected[name][: len(found[name])]
        assert {**found, name: []} == {**expected, name: []}
        [line] = reader.lost
        assert "bytes cannot be read" in line


def test_a_changed_byte_of_session_json_is_a_user_error_or_changes_no_row(small, copy):
    data = (copy / "session.json").read_bytes()
    outcomes = set()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        for name in ("face.arrows", "audio.arrows", "marks.arrows"):
            try:
                outcome = rows_of(cut(copy, "session.json", changed), name) == small[1][name]
            except UserError as error:
                outcome = "one line" if "\n" not in str(error) else str(error)
            outcomes.add(outcome)
    assert outcomes == {True, "one line"}


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_cut_session_json_is_told(copy, share):
    data = (copy / "session.json").read_bytes()
    with pytest.raises(UserError, match=r"session.json: not a session's, or damaged"):
        cut(copy, "session.json", data[: int(len(data) * share)])


def test_a_session_json_of_nothing_but_brackets_is_told(copy):
    with pytest.raises(UserError, match="damaged"):
        cut(copy, "session.json", b'{"version": 1, "description": ' + b"[" * 100_000)


def test_a_missing_file_and_one_of_another_session_are_told(copy):
    (copy / "face.arrows").unlink()
    reader = SessionReader(copy)
    assert list(reader.samples("face")) == []
    assert reader.lost == ["face.arrows: is not there; all of it is lost"]
    shutil.copy(copy / "audio.arrows", copy / "face.arrows")
    with pytest.raises(UserError, match=r"face.arrows: is not of the session that session.json describes"):
        list(reader.samples("face"))


def test_what_was_added_after_the_end_is_told(small, copy):
    data = (copy / "marks.arrows").read_bytes()
    reader = cut(copy, "marks.arrows", data + b"more")
    assert list(map(plain, reader.marks())) == small[1]["marks.arrows"]
    assert reader.lost == ["marks.arrows: 12 bytes cannot be read; what came after 2.000 s is lost"]


def test_what_is_no_session_of_this_version_is_told(tmp_path, copy):
    for folder in (tmp_path / "nowhere", tmp_path, copy / "session.json"):
        with pytest.raises(UserError, match=r"not a session: it has no session\.json"):
            SessionReader(folder)
    said = json.loads((copy / "session.json").read_text())
    with pytest.raises(UserError, match="a session of version 2; this version of enrapt reads 1"):
        cut(copy, "session.json", json.dumps(said | {"version": 2}).encode())
    said["description"]["schemas"]["face"] = "face/2"
    with pytest.raises(UserError, match=r"face is of feature schema 'face/2', and this enrapt knows face/1"):
        cut(copy, "session.json", json.dumps(said).encode())
    for schemas in ({"../face": "face/1"}, {"marks": "face/1"}, {"face": 1}, None):
        said["description"]["schemas"] = schemas
        with pytest.raises(UserError, match="damaged"):
            cut(copy, "session.json", json.dumps(said).encode())


def test_an_unknown_modality_is_told(small):
    with pytest.raises(UserError, match="has no 'gaze', only face, audio"):
        SessionReader(small[0]).samples("gaze")


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is not empty; give a new folder"):
        SessionWriter(tmp_path, DESCRIPTION)
    for folder in (tmp_path / "file", tmp_path / "file" / "in it", Path("/proc/session")):
        with pytest.raises(UserError, match="cannot be written"):
            SessionWriter(folder, DESCRIPTION)
    with pytest.raises(UserError, match="unknown feature schema 'face/9'"):
        SessionWriter(tmp_path / "new", {"schemas": {"face": "face/9"}})


def test_what_does_not_fit_the_schemas_changes_nothing(tmp_path):
    with SessionWriter(tmp_path, DESCRIPTION) as writer:
        for values in (np.zeros(3, np.float32), np.zeros(FACE.dim)):
            with pytest.raises(ValueError, match="as face/1 says"):
                writer.sample(Sample("face", 0, values, 0), 0)
        with pytest.raises(ValueError, match="schemas do not name"):
            writer.sample(Sample("marks", 0, None, 0), 0)
        with pytest.raises(ValueError, match="as the session's schemas say"):
            writer.observation(
                Observation(0, 0, {"audio": None, "face": None}, {"audio": None, "face": None})
            )
        writer.mark(0, "half a pair \ud83d")
    reader = SessionReader(tmp_path)
    assert {**read(reader), "marks.arrows": []} == told([])
    assert list(reader.marks()) == [(0, "half a pair ?")]
    assert reader.lost == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt, UserError])
def test_after_an_exception_nothing_is_lost_but_the_session_is_not_ended(tmp_path, stop):
    def mark_then_stop() -> None:
        with SessionWriter(tmp_path, DESCRIPTION) as writer:
            writer.mark(5, "here")
            raise stop

    with pytest.raises(stop):
        mark_then_stop()
    reader = SessionReader(tmp_path)
    assert list(reader.marks()) == [(5, "here")]
    assert reader.ended is None
    [line] = reader.lost
    assert line.startswith("session.json: the session was not ended")


def test_without_pyarrow_the_extra_is_named():
    program = "import sys; sys.modules['pyarrow'] = None; import enrapt.realtime.session_folder"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "UserError: a recorded session needs pyarrow: pip install 'enrapt[record]'" in done.stderr


# A process of its own that records in real time, and says up to which tick it has told the writer.
CHILD = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_session_folder import DESCRIPTION, TICK, tick
from enrapt.realtime.session_folder import SessionWriter
writer = SessionWriter(Path(sys.argv[1]), DESCRIPTION)
n, start = 0, time.monotonic_ns()
while True:
    for name, *arguments in tick(n):
        getattr(writer, name)(*arguments)
    print(n, flush=True)
    n += 1
    time.sleep(max(0, start + n * TICK - time.monotonic_ns()) / 1e9)
"""


@pytest.mark.parametrize("seconds", [0.5, 1.9, 2.7])
def test_a_killed_process_loses_at_most_the_last_second(tmp_path, seconds):
    folder = tmp_path / "session"
    command = [sys.executable, "-c", CHILD, str(folder), str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        ticks = [int(child.stdout.readline())]  # it has begun
        time.sleep(seconds)
        child.send_signal(signal.SIGKILL)
        ticks += map(int, child.stdout.read().split())
    reader = SessionReader(folder)
    found = read(reader)
    expected = told([call for n in range(ticks[-1] + 2) for call in tick(n)])
    for name, rows in found.items():
        assert rows == expected[name][: len(rows)]
    for name in set(ARROWS) - {"marks.arrows"}:
        assert len(found[name]) >= ticks[-1] + 1 - 25, name
    assert reader.ended is None
    assert "the session was not ended" in reader.lost[0]


@contextlib.contextmanager
def files_no_larger_than(size: int):
    """As on a full disk, writing beyond fails, after as much as still fits."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(os.name != "posix", reason="no limit of file sizes")
def test_on_a_full_disk_the_session_up_to_then_is_kept(tmp_path):
    calls = [call for n in range(100) for call in tick(n)]
    errors = []
    with SessionWriter(tmp_path, DESCRIPTION) as writer:
        with files_no_larger_than(20_000):
            for name, *arguments in calls:
                try:
                    getattr(writer, name)(*arguments)
                except UserError as error:
                    errors.append(str(error))
        writer.close({"ticks": 100})
    [line] = errors
    assert line == (
        f"{tmp_path}: cannot be written any more (File too large); "
        "the session up to here is kept, nothing after it"
    )
    reader = SessionReader(tmp_path)
    found, expected = read(reader), told(calls)
    for name, rows in found.items():
        assert rows == expected[name][: len(rows)]
    assert 40 <= len(found["face.arrows"]) < 100
    assert reader.summary == {"ticks": 100}
    assert [lost.split(";")[0] for lost in reader.lost] == [f"{name}: cut" for name in ARROWS]
    for path in tmp_path.glob("*.arrows"):  # what did not fit was taken back: plain Arrow reads it
        assert pa.ipc.open_stream(path.read_bytes()).read_all().num_rows == len(found[path.name])


@pytest.mark.skipif(os.name != "posix", reason="no limit of file sizes")
def test_where_there_is_no_room_to_begin_nothing_is_left(tmp_path):
    with files_no_larger_than(1000), pytest.raises(UserError, match="cannot be written"):
        SessionWriter(tmp_path / "session", DESCRIPTION)
    assert list((tmp_path / "session").iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="no limit of file sizes")
def test_a_disk_that_is_full_at_the_end_is_told_once(tmp_path):
    writer = SessionWriter(tmp_path, DESCRIPTION)
    calls = [call for n in range(20) for call in tick(n)]
    for name, *arguments in calls:
        getattr(writer, name)(*arguments)
    with files_no_larger_than(5000), pytest.raises(UserError, match="cannot be written any more"):
        writer.close()
    with files_no_larger_than(100):
        writer.close()
    assert SessionReader(tmp_path).ended is None
    assert not list(tmp_path.glob("*.part"))
