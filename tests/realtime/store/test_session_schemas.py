"""A session holds modalities of any schema, and one with other columns can be read."""

import json

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.store.folder import SessionWriter, path_of
from enrapt.realtime.store.messages import END
from enrapt.realtime.store.reader import SessionReader
from enrapt.realtime.store.tables import Encoder, Tables
from enrapt.realtime.streams.samples import Observation, Sample
from tests.support.session_rows import DESCRIPTION, plain, read, record, tick

DIMS = {"pulse": 2, "gaze": 1, "left-hand.x": 5}
DESCRIPTION_OF_ANY = {"schemas": {"pulse": "pulse/3", "gaze": None, "left-hand.x": "hand/1"}, "dims": DIMS}


def rows(n: int) -> tuple[list[tuple[Sample, int]], Observation, Estimate]:
    random = np.random.default_rng(n)
    values = {
        name: random.normal(size=dim).astype(np.float32) if random.random() < 0.7 else None
        for name, dim in DIMS.items()
    }
    ms = {name: None if value is None else 2.5 for name, value in values.items()}
    given = {name: x for name, x in ms.items() if x is not None}
    return (
        [(Sample(name, 40 * n, value, n), 40 * n + 5) for name, value in values.items()],
        Observation(n, 40 * n, values, {name: None if x is None else 2_500_000 for name, x in ms.items()}),
        Estimate(
            n,
            n / 25,
            Engagement(0.5, 0.1, 0.4, 0.6),
            {name: x is not None for name, x in ms.items()},
            ms,
            ms,
            Latency(0.1, None, 3.0, given, given),
        ),
    )


def test_three_modalities_of_unknown_schemas_are_read_back_to_the_bit(tmp_path):
    expected = [rows(n) for n in range(50)]
    with SessionWriter(tmp_path, DESCRIPTION_OF_ANY) as writer:
        for samples, observation, estimate in expected:
            for sample, arrived in samples:
                writer.sample(sample, arrived)
            writer.observation(observation)
            writer.estimate(estimate)
    reader = SessionReader(tmp_path)
    assert reader.lost == []
    assert reader.description == DESCRIPTION_OF_ANY
    for k, name in enumerate(DIMS):
        assert [plain(row) for row in reader.samples(name)] == [plain(s[k]) for s, _, _ in expected]
    assert [plain(row) for row in reader.observations()] == [plain(row) for _, row, _ in expected]
    assert [plain(row) for row in reader.estimates()] == [plain(row) for _, _, row in expected]
    with pa.ipc.open_stream((tmp_path / "pulse.arrows").read_bytes()) as stream:
        metadata = stream.schema.field("values").metadata
    assert metadata[b"schema"] == b"pulse/3"
    assert json.loads(metadata[b"features"]) == ["x0", "x1"]
    assert json.loads(metadata[b"units"]) == ["", ""]


@pytest.mark.parametrize(
    ("description", "complaint"),
    [
        ({"schemas": {"pulse": "pulse/3"}}, "unknown feature schema 'pulse/3'"),
        ({"schemas": {"pulse": None}}, "'pulse' has no schema and no dims"),
        ({"schemas": {"face": "face/1"}, "dims": {"face": 3}}, "face/1 has 57 numbers, not 3"),
        ({"schemas": {"marks": None}, "dims": {"marks": 1}}, "'marks' cannot be the name"),
        ({"schemas": {"../up": None}, "dims": {"../up": 1}}, "'../up' cannot be the name"),
        ({"schemas": {"time": None}, "dims": {"time": 1}}, "two columns of the same name"),
        ({"schemas": {"pulse": None}, "dims": {"pulse": 10**12}}, "a vector of 1000000000000 numbers"),
        ({"schemas": {"pulse": None}, "dims": {"pulse": 0}}, "a vector of 0 numbers"),
    ],
)
def test_what_cannot_be_recorded_is_one_line_before_there_is_a_folder(tmp_path, description, complaint):
    with pytest.raises(UserError, match=complaint) as caught:
        SessionWriter(tmp_path / "session", description)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "session").exists()


def test_vectors_of_another_size_are_refused(tmp_path):
    with SessionWriter(tmp_path, DESCRIPTION_OF_ANY) as writer:
        for name, schema in (("pulse", " as pulse/3 requires"), ("gaze", "")):
            with pytest.raises(ValueError, match=rf"not float32\[{DIMS[name]}\]{schema}$"):
                writer.sample(Sample(name, 0, np.zeros(7, np.float32), 0), 0)


def test_other_dims_in_session_json_are_reported_and_give_no_rows(tmp_path):
    with SessionWriter(tmp_path, DESCRIPTION_OF_ANY) as writer:
        writer.sample(Sample("pulse", 0, np.zeros(2, np.float32), 0), 0)
    text = (tmp_path / "session.json").read_text()
    (tmp_path / "session.json").write_text(text.replace('"pulse": 2', '"pulse": 1'))
    with pytest.raises(UserError, match="values is of another type"):
        list(SessionReader(tmp_path).samples("pulse"))


def rewrite(folder, change, name="estimates") -> None:
    """Replaces a file by the same rows with changed columns: a function of Arrow fields and rows."""
    path = path_of(folder, name)
    with pa.ipc.open_stream(path.read_bytes()) as stream:
        table = stream.read_all()
    fields, found = change(list(table.schema), table.to_pylist())
    encoder = Encoder(pa.schema(fields, table.schema.metadata))
    batch = encoder.batch([[row[field.name] for field in fields] for row in found])
    path.write_bytes(encoder.begin + batch + END)


def test_a_session_with_the_columns_of_before_is_read(tmp_path):
    """It had `latency_face_ms`, `wait_face_ms`, `wait_audio_ms` and `wait_order`."""
    calls = [call for n in range(10) for call in tick(n)]
    record(tmp_path, calls)
    assert "dims" not in DESCRIPTION

    def change(fields, found):
        new = {f"{m}_{what}_ms" for m in ("face", "audio") for what in ("extract", "wait")}
        old = ["latency_face_ms", "wait_face_ms", "wait_audio_ms"]
        fields = [field for field in fields if field.name not in new]
        at = [field.name for field in fields].index("latency_step_ms")
        fields[at:at] = [pa.field(old[0], pa.float64())]
        fields += [pa.field(name, pa.float64()) for name in old[1:]] + [pa.field("wait_order", pa.string())]
        return fields, [row | dict.fromkeys(old, 1.5) | {"wait_order": "audio face"} for row in found]

    rewrite(tmp_path, change)
    reader = SessionReader(tmp_path)
    expected = [arguments[0] for name, *arguments in calls if name == "estimate"]
    found = list(reader.estimates())
    assert [e.without_timing() for e in found] == [e.without_timing() for e in expected]
    for e, before in zip(found, expected, strict=True):
        latency = before.latency_ms
        if latency is not msgspec.UNSET:
            latency = Latency(latency.step, latency.total, latency.tick)
        assert e.latency_ms == latency
    assert reader.lost == []


def test_columns_are_found_by_name_and_unknown_ones_ignored(tmp_path):
    calls = [call for n in range(10) for call in tick(n)]
    record(tmp_path, calls)

    def change(fields, found):
        fields = [pa.field("future", pa.string()), *reversed(fields)]
        return fields, [row | {"future": "x"} for row in found]

    rewrite(tmp_path, change)
    expected = [arguments[0] for name, *arguments in calls if name == "estimate"]
    assert list(map(plain, SessionReader(tmp_path).estimates())) == list(map(plain, expected))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda fields, rows: (fields[1:], rows), "not one column tick"),
        (lambda fields, rows: ([*fields, fields[0]], rows), "not one column tick"),
        (
            lambda fields, rows: ([pa.field("tick", pa.float64()), *fields[1:]], rows),
            "tick is of another type",
        ),
    ],
)
def test_a_file_without_a_needed_column_is_not_of_the_session(tmp_path, change, complaint):
    record(tmp_path, [call for n in range(3) for call in tick(n)])
    rewrite(tmp_path, change)
    with pytest.raises(UserError, match=complaint):
        list(SessionReader(tmp_path).estimates())


def test_tables_are_those_of_the_modalities():
    tables = Tables(DESCRIPTION_OF_ANY["schemas"], DIMS)
    assert [table.name for table in tables] == [*DIMS, "observations", "estimates", "marks"]


def test_a_session_of_before_pictures_had_a_view_is_read(tmp_path):
    calls = [call for n in range(10) for call in tick(n)]
    record(tmp_path, calls)
    whole = read(SessionReader(tmp_path))
    new = ("view_", "faces", "person", "face_left", "face_top", "face_width", "face_height")
    new += ("face_quality", "face_problem")

    def change(fields, found):
        for row in found:
            row |= {m: np.float32(row[m]).tobytes() for m in ("values", "face", "audio") if row.get(m)}
        return [field for field in fields if not field.name.startswith(new)], found

    for name in ("face", "audio", "observations", "estimates"):
        rewrite(tmp_path, change, name)
    reader = SessionReader(tmp_path)
    assert reader.lost == []
    assert [sample.view for sample, _ in reader.samples("face")] == [None] * 10
    assert [observation.view for observation in reader.observations()] == [None] * 10
    assert {(e.faces, e.person, e.box, e.face_quality, e.face_problem) for e in reader.estimates()} == {
        (None,) * 5
    }
    before = read(reader)
    for name in ("face.arrows", "observations.arrows"):
        assert len(before[name]) == len(whole[name]) == 10
    assert before["audio.arrows"] == whole["audio.arrows"]
