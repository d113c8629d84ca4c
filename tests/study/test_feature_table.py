"""study/feature_table.py: every number of a session is in the table, where it belongs."""

import datetime
import json
import math
import stat

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import FACE
from enrapt.realtime.store.folder import SessionWriter
from enrapt.realtime.store.reader import SessionReader
from enrapt.realtime.streams.samples import SECOND, Observation, Sample
from enrapt.study.feature_table import write_table
from enrapt.study.importing import write_session
from enrapt.study.readers.contents import Samples
from enrapt.study.study import StudySession
from tests.support.session_rows import TICK, record, three_batches, tick

READ = {".csv": lambda path: pd.read_csv(path, engine="python"), ".parquet": pd.read_parquet}


def session(folder, name="s", person="anna"):
    return StudySession(name, folder, person)


@pytest.fixture
def recorded(tmp_path):
    """52 ticks at some of which the face is missing."""
    return session(three_batches(tmp_path / "session")[0])


def same(column, values):
    expected = np.array([math.nan if value is None else value for value in values], np.float64)
    np.testing.assert_array_equal(column.to_numpy(np.float64, na_value=math.nan), expected)


@pytest.mark.parametrize("suffix", READ)
def test_a_row_for_each_tick(recorded, tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    assert write_table([recorded], path, study=False) == (52, [])
    table, reader = READ[suffix](path), SessionReader(recorded.folder)
    observations, estimates = list(reader.observations()), list(reader.estimates())
    same(table["tick"], range(52))
    same(table["time"], [each.time / SECOND for each in observations])
    for k, feature in enumerate(FACE.features):
        faces = [each.values["face"] for each in observations]
        found = table[f"face.{feature}"].astype(np.float32).to_numpy()
        expected = np.array([math.nan if face is None else face[k] for face in faces], np.float32)
        np.testing.assert_array_equal(found, expected)
    same(table["face_id"], [None if each.view is None else each.view.person for each in observations])
    same(table["faces"], [None if each.view is None else each.view.faces for each in observations])
    same(table["face_quality"], [None if each.view is None else each.view.quality for each in observations])
    for name in ("mean", "std", "low", "high"):
        same(table[f"engagement_{name}"], [getattr(each.engagement, name) for each in estimates])
    clock = pd.to_datetime(table["wall_clock"])
    started = pd.Timestamp(reader.started)
    np.testing.assert_allclose((clock - started).dt.total_seconds(), table["time"], atol=1e-6)
    assert "session" not in table
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_iso_8601_with_its_offset(tmp_path):
    calls = [call for n in range(3) for call in tick(n)]
    record(tmp_path / "s", calls)
    path = tmp_path / "s/session.json"
    content = json.loads(path.read_text()) | {"started": "2024-05-01T12:00:00.250+02:00"}
    path.write_text(json.dumps(content))
    write_table([session(tmp_path / "s")], tmp_path / "t.csv")
    assert pd.read_csv(tmp_path / "t.csv")["wall_clock"][1] == "2024-05-01T12:00:00.290+02:00"
    assert datetime.datetime.fromisoformat(pd.read_csv(tmp_path / "t.csv")["wall_clock"][0]).tzinfo


@pytest.mark.parametrize("suffix", READ)
def test_a_row_for_each_sample_in_the_order_of_time(recorded, tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    assert write_table([recorded], path, samples="face")[0] == 52
    table = READ[suffix](path)
    samples = sorted(
        (sample for sample, _ in SessionReader(recorded.folder).samples("face")), key=lambda s: s.sequence
    )
    same(table["time"], [sample.originating_time / SECOND for sample in samples])
    same(table["sequence"], range(52))
    assert set(table["person"]) == {"anna"}
    assert not any(name.startswith(("audio.", "engagement_")) for name in table)


def test_units_are_in_parquet(recorded, tmp_path):
    import pyarrow.parquet

    write_table([recorded], tmp_path / "t.parquet")
    schema = pyarrow.parquet.read_schema(tmp_path / "t.parquet")
    assert schema.field("time").metadata[b"unit"] == b"s"
    assert schema.field("face.yaw").metadata == {b"unit": b"rad", b"schema": b"face/1"}
    assert schema.field("audio.level").metadata[b"unit"] == b"dBFS"


def test_sessions_of_a_study_follow_each_other(recorded, tmp_path):
    gaze = Samples("gaze", np.arange(10) / 25, np.arange(20.0).reshape(10, 2), ("left", "right"))
    write_session(tmp_path / "other", {"gaze": gaze}, "gaze.csv")
    write_table([recorded, session(tmp_path / "other", "o", "ben")], tmp_path / "t.csv")
    table = pd.read_csv(tmp_path / "t.csv")
    assert table.groupby("session", sort=False)["person"].agg(["first", "size"]).values.tolist() == [
        ["anna", 52],
        ["ben", 10],
    ]
    ours = table[table.session == "o"]
    same(ours["gaze.right"], range(1, 20, 2))  # the names that were imported
    assert ours["face.yaw"].isna().all()
    assert ours["engagement_mean"].isna().all()
    assert ours["wall_clock"].isna().all()  # nobody knows when it was
    assert table["wall_clock"].notna().sum() == 52


def test_the_same_modality_with_other_features_is_refused(recorded, tmp_path):
    face = Samples("face", np.arange(3) / 25, np.ones((3, 2)), ("a", "b"))
    write_session(tmp_path / "other", {"face": face}, "face.csv")
    with pytest.raises(UserError, match="o: face has other features than in s"):
        write_table([recorded, session(tmp_path / "other", "o")], tmp_path / "t.csv")
    assert not (tmp_path / "t.csv").exists()


def test_what_is_lost_is_said_and_the_rest_keeps_its_ticks(recorded, tmp_path):
    path = recorded.folder / "estimates.arrows"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    count, lost = write_table([recorded], tmp_path / "t.csv")
    assert count == 52
    assert "estimates.arrows" in lost[0]
    table = pd.read_csv(tmp_path / "t.csv")
    assert 0 < table["engagement_mean"].notna().sum() < 52
    assert table["face.yaw"].notna().sum() > 30


@pytest.mark.parametrize("missing", [0, 20])
def test_estimates_are_at_their_ticks(tmp_path, missing):
    calls = [call for n in range(40) for call in tick(n)]
    left = [call for call in calls if not (call[0] == "estimate" and missing <= call[1].tick < missing + 5)]
    record(tmp_path / "s", left)
    write_table([session(tmp_path / "s")], tmp_path / "t.csv")
    table = pd.read_csv(tmp_path / "t.csv")
    assert table["tick"][table["engagement_mean"].isna()].tolist() == list(range(missing, missing + 5))


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_file_that_exists_is_kept(recorded, tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="exists and is kept; --overwrite replaces it"):
        write_table([recorded], tmp_path / name)
    assert (tmp_path / name).read_text() == "mine"
    write_table([recorded], tmp_path / name, overwrite=True)
    assert (tmp_path / name).stat().st_size > 1000


def test_mistakes_leave_no_file(recorded, tmp_path):
    record(tmp_path / "empty", [])
    for sessions, name, samples, message in (
        ([recorded], "t.xlsx", None, "ends in .csv or .parquet"),
        ([recorded], "t.csv", "gaze", "no session has samples of gaze, only face, audio"),
        ([session(tmp_path / "empty")], "t.csv", None, "s: no tick in it"),
        ([session(tmp_path / "nowhere")], "t.csv", None, "not a session"),
        ([recorded], "no/t.csv", None, "cannot be written"),
    ):
        with pytest.raises(UserError, match=message):
            write_table(sessions, tmp_path / name, samples=samples)
        assert not (tmp_path / name).exists()


number = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=30)
@given(st.lists(st.one_of(st.none(), st.tuples(number, number)), min_size=1, max_size=8))
def test_any_numbers_are_read_back_to_the_bit(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("any")
    with SessionWriter(folder / "s", {"schemas": {"x": None}, "dims": {"x": 2}}) as writer:
        for k, row in enumerate(rows):
            values = None if row is None else np.array(row, np.float32)
            writer.sample(Sample("x", k * TICK, values, k), k * TICK)
            writer.observation(Observation(k, k * TICK, {"x": values}, {"x": None if values is None else 0}))
    expected = np.array([(math.nan, math.nan) if row is None else row for row in rows], np.float32)
    for suffix, read in READ.items():
        for samples in (None, "x"):
            path = folder / f"{samples}{suffix}"
            write_table([session(folder / "s")], path, samples=samples)
            found = read(path)[["x.x0", "x.x1"]].astype(np.float32).to_numpy()
            np.testing.assert_array_equal(found, expected)
