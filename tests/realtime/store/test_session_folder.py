"""What was recorded is read back to the bit."""

import datetime
import json
import os
import shutil
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import FACE
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.store import folder as session_folder
from enrapt.realtime.store.folder import SessionWriter
from enrapt.realtime.store.messages import END
from enrapt.realtime.store.reader import SessionReader
from enrapt.realtime.store.tables import MAX_TIME, Encoder, Tables
from enrapt.realtime.streams.samples import Control, Observation, Sample
from tests.support.session_rows import (
    ARROWS,
    DESCRIPTION,
    DIMS,
    TICK,
    expected_rows,
    read,
    record,
    three_batches,
    vector,
)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> tuple[Path, dict[str, list[object]]]:
    return three_batches(tmp_path_factory.mktemp("small") / "session")


def test_what_was_recorded_is_read_back_to_the_bit(small):
    folder, expected = small
    reader = SessionReader(folder)
    assert read(reader) == expected
    assert reader.lost == []
    assert reader.description == DESCRIPTION
    assert reader.summary == {"ticks": 52}
    assert reader.ended == 51 * TICK + 7_000_000
    assert sorted(path.name for path in folder.iterdir()) == sorted([*ARROWS, "session.json"])


@pytest.mark.skipif(os.name != "posix", reason="no such permissions")
@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
@pytest.mark.parametrize("there", [False, True])
def test_only_its_owner_may_read_any_of_it(mask, there, tmp_path):
    folder = tmp_path / "studies" / "session"
    before = os.umask(mask)
    try:
        if there:
            folder.mkdir(parents=True)
        with SessionWriter(folder, DESCRIPTION) as writer:
            written = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
            assert written == dict.fromkeys([*ARROWS, "session.json"], 0o600)
            writer.mark(0, "begin")
            writer.close({})
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o777 & ~mask
    finally:
        os.umask(before)


def test_the_vectors_that_are_read_may_be_written_to(small):
    sample, _ = next(SessionReader(small[0]).samples("face"))
    sample.values[:] = 0


floats = st.floats(allow_nan=False, allow_infinity=False)
singles = st.floats(width=32, allow_nan=False, allow_infinity=False)
times = st.integers(-MAX_TIME, MAX_TIME)


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
    some = st.lists(st.sampled_from(list(DIMS)), unique=True)
    extract, waits = ({m: draw(floats) for m in DIMS if m in draw(some)} for _ in range(2))
    latency = Latency(draw(floats), draw(st.none() | floats), draw(st.none() | floats), extract, waits)
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
    assert read(reader) == expected_rows(calls)
    assert reader.lost == []
    shutil.rmtree(folder)


def test_a_vector_is_copied_when_it_is_recorded(tmp_path):
    values = vector("face", 1)
    with SessionWriter(tmp_path, DESCRIPTION) as writer:
        writer.sample(Sample("face", 0, values, 0), 0)
        values[:] = 0
    [(sample, _)] = SessionReader(tmp_path).samples("face")
    np.testing.assert_array_equal(sample.values, vector("face", 1))


def test_session_json_is_readable(small):
    text = (small[0] / "session.json").read_text()
    content = json.loads(text)
    assert text.startswith('{\n  "version": 1,\n  "enrapt": "')
    assert content["description"] == DESCRIPTION
    started = datetime.datetime.fromisoformat(content["started"])
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


def test_rows_are_written_within_a_second_whichever_modality_continues(tmp_path):
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


def test_one_wrong_time_does_not_stop_flushing(tmp_path):
    with SessionWriter(tmp_path, DESCRIPTION) as writer:
        writer.mark(2**62, "absurd")
        for n in range(100):
            writer.sample(Sample("audio", n * TICK, None, n), n * TICK)
        assert len(list(SessionReader(tmp_path).samples("audio"))) > 70


def test_a_folder_that_cannot_be_written_is_a_user_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is not empty; give a new folder"):
        SessionWriter(tmp_path, DESCRIPTION)
    for folder in (tmp_path / "file", tmp_path / "file" / "in it", Path("/proc/session")):
        with pytest.raises(UserError, match="cannot be written"):
            SessionWriter(folder, DESCRIPTION)
    with pytest.raises(UserError, match="unknown feature schema 'face/9'"):
        SessionWriter(tmp_path / "new", {"schemas": {"face": "face/9"}})


def test_rows_that_do_not_fit_the_schemas_change_nothing(tmp_path):
    with SessionWriter(tmp_path, DESCRIPTION) as writer:
        for values in (np.zeros(3, np.float32), np.zeros(FACE.dim)):
            with pytest.raises(ValueError, match="as face/1 requires"):
                writer.sample(Sample("face", 0, values, 0), 0)
        with pytest.raises(ValueError, match="schemas do not name"):
            writer.sample(Sample("marks", 0, None, 0), 0)
        with pytest.raises(ValueError, match="as the session's schemas require"):
            writer.observation(
                Observation(0, 0, {"audio": None, "face": None}, {"audio": None, "face": None})
            )
        writer.mark(0, "half a pair \ud83d")
    reader = SessionReader(tmp_path)
    assert {**read(reader), "marks.arrows": []} == expected_rows([])
    assert list(reader.marks()) == [(0, "half a pair ?")]
    assert reader.lost == []


def test_without_pyarrow_the_extra_is_named():
    program = "import sys; sys.modules['pyarrow'] = None; import enrapt.realtime.store.folder"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "UserError: sessions and Parquet files need pyarrow: pip install 'enrapt[record]'" in done.stderr


def test_a_mark_of_the_text_of_a_control_is_only_text(tmp_path):
    with SessionWriter(tmp_path, DESCRIPTION) as writer:
        writer.mark(0, Control.RESET)
        writer.mark(1, str(Control.RESET))
    marks = list(SessionReader(tmp_path).marks())
    assert marks == [(0, "enrapt: reset"), (1, "enrapt: reset")]
    assert [type(label) for _, label in marks] == [Control, str]


def test_in_a_session_of_before_the_label_is_the_control(tmp_path):
    """Its marks had no `kind`."""
    with SessionWriter(tmp_path, DESCRIPTION):
        pass
    table = Tables(DESCRIPTION["schemas"], {}).marks
    encoder = Encoder(table.schema.remove(2))
    batch = encoder.batch([(0, "enrapt: reset"), (1, "reset")])
    (tmp_path / "marks.arrows").write_bytes(encoder.begin + batch + END)
    assert [(type(label), label) for _, label in SessionReader(tmp_path).marks()] == [
        (Control, "enrapt: reset"),
        (str, "reset"),
    ]
