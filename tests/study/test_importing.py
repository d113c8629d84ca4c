"""study/importing.py: tracks become labels, turns, and new sessions that can be replayed."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import OPENFACE, TURNS
from enrapt.realtime.run import Run
from enrapt.realtime.sources.session import SessionSource
from enrapt.realtime.store.reader import SessionReader
from enrapt.study.importing import label_of, turns_of, write_session
from enrapt.study.labels import of_session
from enrapt.study.ratings import Intervals, Trace
from enrapt.study.readers.contents import Samples, spans
from enrapt.study.readers.file import read_file
from enrapt.study.study import Dimension
from tests.support.study_files import rate, session

ENGAGEMENT = Dimension("engagement", low=1, high=5)
NAN = np.nan


def test_numbers_and_levels_of_spans_become_values():
    dimension = Dimension("mood", "interval", 0, 1, ("sad", "so so", "glad"))
    track = spans("tier", [(3, 4, "Glad"), (0, 1, " 0,5"), (1, 2, "sad"), (5, 6, "?")])
    label, notes = label_of(track, "r1", dimension, offset=10)
    assert isinstance(label, Intervals)
    assert (label.start.tolist(), label.value.tolist()) == ([10, 11, 13], [0.5, 0, 1])
    assert notes == ["1 of 4 spans left out: not a number"]


def test_spans_without_a_rating_are_refused():
    with pytest.raises(UserError, match="none of its 1 texts is a number"):
        label_of(spans("words", [(0, 1, "hello")]), "r1", ENGAGEMENT)
    with pytest.raises(UserError, match="overlaps the next"):
        label_of(spans("tier", [(0, 2, "1"), (1, 3, "2")]), "r1", ENGAGEMENT)


def test_samples_become_a_trace_in_the_order_of_time():
    values = np.array([[3.0], [1], [2], [9], [NAN]])
    track = Samples("a", np.array([2.0, 0, 1, NAN, 2]), values, ("a",))
    label, notes = label_of(track, "r1", ENGAGEMENT, offset=0.5)
    assert isinstance(label, Trace)
    np.testing.assert_array_equal(label.times, [0.5, 1.5, 2.5])
    np.testing.assert_array_equal(label.values, [1, 2, NAN])
    assert notes == [
        "1 samples without a time left out",
        "times go back 1 times: put in order; is it one recording?",
        "1 samples at the time of the next left out",
    ]
    with pytest.raises(UserError, match="2 numbers a sample"):
        label_of(Samples("a", np.zeros(3), np.zeros((3, 2)), ("a", "b")), "r1", ENGAGEMENT)


def test_turns_by_hand():
    own, others = spans("a", [(0, 0.1, ""), (0.15, 0.3, "")]), spans("b", [(0.25, 0.4, "")])
    found = turns_of({"own": [own], "backchannel": [others]}, rate=10)
    assert (found.schema, found.features) == ("turns/1", TURNS.features)
    np.testing.assert_allclose(found.times, [0.1, 0.2, 0.3, 0.4])
    np.testing.assert_allclose(found.values, [[1, 0, 0], [0.5, 0, 0], [1, 0, 0.5], [0, 0, 1]], atol=1e-9)


@given(st.lists(st.tuples(st.floats(0, 20), st.floats(0, 20)), min_size=1, max_size=12))
def test_turns_cover_as_much_as_the_spans(pairs):
    rows = [(min(p), max(p), "") for p in pairs]
    if max(end for _, end, _ in rows) <= 0:
        return
    found = turns_of({"own": [spans("a", rows)]}, rate=25)
    fine = np.arange(0, 20, 0.001) + 0.0005
    covered = np.zeros(len(fine), bool)
    for start, end, _ in rows:
        covered |= (fine >= start) & (fine < end)
    assert found.values[:, 0].sum() / 25 == pytest.approx(covered.sum() / 1000, abs=0.03)
    assert found.values.min() >= 0
    assert found.values.max() <= 1


@pytest.mark.parametrize("end", [0.0, -1.0, 1e7, np.inf, NAN])
def test_spans_of_no_or_too_much_time_are_refused(end):
    with pytest.raises(UserError, match="spans end at"):
        turns_of({"own": [spans("a", [(end - 1, end, "")])]})
    with pytest.raises(UserError, match="spans end at"):
        turns_of({})


def test_a_session_of_features_can_be_read_and_has_its_ticks(tmp_path):
    values = np.random.default_rng(0).normal(size=(31, OPENFACE.dim))
    values[10:20] = NAN
    samples = Samples("a", np.arange(31) / 30, values, OPENFACE.features, OPENFACE.name)
    assert write_session(tmp_path / "s", {"face": samples}, "a.csv") == 1.0
    reader = SessionReader(tmp_path / "s")
    assert (reader.lost, reader.ended) == ([], 10**9)
    assert reader.schemas["face"] == OPENFACE
    found = [sample for sample, _ in reader.samples("face")]
    assert [sample.values is None for sample in found] == [10 <= k < 20 for k in range(31)]
    np.testing.assert_array_equal(found[5].values, values[5].astype(np.float32))
    observations = list(reader.observations())
    assert [o.tick for o in observations] == list(range(26))
    np.testing.assert_array_equal(observations[-1].values["face"], values[30].astype(np.float32))
    assert observations[12].values["face"] is None


def test_a_session_joined_with_another_leaves_that_as_it_is(tmp_path):
    old = session(tmp_path / "old", 2)
    rate(old, "r1", [0, 2], [0.5, 0.25])
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    turns = turns_of({"own": [spans("a", [(0, 1.5, "")])]})
    write_session(tmp_path / "new", {"turns": turns}, "a.eaf", old)
    assert {path: path.read_bytes() for path in old.rglob("*") if path.is_file()} == before
    reader = SessionReader(tmp_path / "new")
    assert set(reader.schemas) == {"turns", "voice"}
    assert reader.lost == []
    assert len(list(reader.samples("voice"))) == 51
    last = list(reader.observations())[-1]
    assert (last.tick, last.values["turns"] is None, last.values["voice"] is None) == (50, True, False)
    assert [label.rater for label in of_session(tmp_path / "new")] == ["r1"]
    with pytest.raises(UserError, match="not empty"):
        write_session(tmp_path / "new", {"turns": turns}, "a.eaf")
    with pytest.raises(UserError, match="has a modality voice already"):
        write_session(tmp_path / "third", {"voice": turns}, "a.eaf", old)
    assert not (tmp_path / "third").exists()


@pytest.mark.parametrize(
    ("times", "message"), [([-1.0], "no sample at 0 s"), ([NAN], "no sample"), ([1e6], "is it in seconds")]
)
def test_impossible_times_leave_no_session(tmp_path, times, message):
    with pytest.raises(UserError, match=message):
        write_session(tmp_path / "s", {"x": Samples("a", np.array(times), np.zeros((1, 2)), ("a", "b"))}, "a")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("reassemble", [False, True])
def test_a_session_of_features_is_replayed_like_a_recorded_one(tmp_path, three_bundle, reassemble):
    values = np.ones((50, 3))
    values[20:] = NAN
    gaze = Samples("gaze", np.arange(50) / 25, values, ("a", "b", "c"), "gaze/1")
    write_session(tmp_path / "s", {"gaze": gaze}, "a.csv")
    with Run(SessionSource(tmp_path / "s", reassemble), three_bundle) as run:
        estimates = list(run)
    assert len(estimates) == 50
    assert [e.present["gaze"] for e in estimates] == [True] * 20 + [False] * 30


def test_a_real_conversation_is_the_same_from_elan_and_from_tables(shared, tmp_path):
    elan_file = next((shared / "elan").glob("*.eaf"))
    tiers = {tier.name: tier for tier in read_file(elan_file)}
    for name in ("turns", "speech"):
        packed = (shared / "converse" / f"{name}.csv.gz").read_bytes()
        lines = gzip.decompress(packed).decode().splitlines()
        rows = [lines[0], *(line for line in lines if line.startswith("2,1,human,high,"))]
        (tmp_path / f"{name}.csv").write_text("\n".join(rows))
    mapping = tmp_path / "map.toml"
    mapping.write_text('start = "start"\nend = "end"\nvalue = "engagement"\nconfidence = "confidence"\n')
    (turns,) = read_file(tmp_path / "turns.csv", mapping=mapping)
    given, _ = label_of(turns, "r1", ENGAGEMENT)
    engagement, confidence = tiers["production_annotation"], tiers["confidence_production"]
    found, _ = label_of(engagement, "r1", ENGAGEMENT, confidence=confidence)
    for column in ("start", "end", "value", "confidence"):
        np.testing.assert_allclose(getattr(found, column), getattr(given, column))
    mapping.write_text('start = "start"\nend = "end"\ntext = "n_words"\ndimension = "who"\n')
    speech = {track.name: track for track in read_file(tmp_path / "speech.csv", mapping=mapping)}
    spoken = {"own": [speech["participant"]], "partner": [speech["operator"]]}
    same = {"own": [tiers["participant"]], "partner": [tiers["operator"]]}
    np.testing.assert_allclose(turns_of(spoken).values, turns_of(same).values, atol=1e-6)
