"""study/labels.py: what is written is read back to the bit; what is wrong is named."""

import math
import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.study.labels import of_session, path_of, paths, read, write
from enrapt.study.ratings import Intervals, Trace
from tests.support.full_disk import files_no_larger_than, needs_limits
from tests.support.hostile import result_or_error

times = st.lists(st.floats(-1e9, 1e9), max_size=40, unique=True).map(sorted)
value = st.floats(-1e9, 1e9)
optional = st.one_of(value, st.just(math.nan))


def trace(n=5):
    return Trace("anna", "engagement", np.arange(n) / 25, np.linspace(0, 1, n))


@given(data=st.data(), at=times)
def test_a_trace_is_read_back_as_it_was_written(tmp_path_factory, data, at):
    path = tmp_path_factory.mktemp("labels") / "engagement.anna.csv"
    values = data.draw(st.lists(optional, min_size=len(at), max_size=len(at)))
    write(Trace("anna", "engagement", at, values), path)
    found = read(path)
    assert isinstance(found, Trace)
    assert (found.rater, found.dimension) == ("anna", "engagement")
    np.testing.assert_array_equal(found.times, at)
    np.testing.assert_array_equal(found.values, values)


@given(data=st.data(), at=times)
def test_intervals_are_read_back_as_they_were_written(tmp_path_factory, data, at):
    path = tmp_path_factory.mktemp("labels") / "arousal.b-2.csv"
    n = len(at) // 2
    start, end = at[: 2 * n : 2], at[1 : 2 * n : 2]
    values = data.draw(st.lists(value, min_size=n, max_size=n))
    confidence = data.draw(st.lists(optional, min_size=n, max_size=n))
    write(Intervals("b-2", "arousal", start, end, values, confidence), path)
    found = read(path)
    assert isinstance(found, Intervals)
    for column, expected in zip(
        (found.start, found.end, found.value, found.confidence), (start, end, values, confidence), strict=True
    ):
        np.testing.assert_array_equal(column, expected)


def test_files_and_their_folder_are_for_their_owner_alone(tmp_path):
    path = path_of(tmp_path, "engagement", "anna")
    write(trace(), path)
    assert path == tmp_path / "labels" / "engagement.anna.csv"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [label.rater for label in of_session(tmp_path)] == ["anna"]


def test_a_file_is_overwritten_only_on_request(tmp_path):
    path = path_of(tmp_path, "engagement", "anna")
    write(trace(), path)
    before = path.read_bytes()
    with pytest.raises(UserError, match="exists and is kept"):
        write(trace(3), path)
    assert path.read_bytes() == before
    write(trace(3), path, overwrite=True)
    assert len(read(path).times) == 3
    assert paths(tmp_path) == [path]
    assert list(path.parent.iterdir()) == [path]


@needs_limits
def test_a_full_disk_leaves_nothing(tmp_path):
    path = path_of(tmp_path, "engagement", "anna")
    with files_no_larger_than(1000), pytest.raises(UserError, match="cannot be written"):
        write(trace(10_000), path)
    assert list(path.parent.iterdir()) == []


def test_a_value_holds_until_the_next_row_and_the_last_row_ends_the_trace():
    label = Trace("a", "e", [1, 2, 3, 5], [0.5, math.nan, 0.25, 0.75])
    np.testing.assert_array_equal(
        label.at([0.9, 1, 1.9, 2, 2.5, 3, 4.9, 5, 5.1]),
        [math.nan, 0.5, 0.5, math.nan, math.nan, 0.25, 0.25, 0.75, math.nan],
    )
    assert label.rated == 3
    assert label.span == (1, 5)


def test_an_interval_holds_from_its_start_until_its_end():
    label = Intervals("a", "e", [4, 1], [5, 2], [0.5, 0.25], [math.nan, 3])
    np.testing.assert_array_equal(label.start, [1, 4])
    np.testing.assert_array_equal(
        label.at([0, 1, 1.9, 2, 4, 5]), [math.nan, 0.25, 0.25, math.nan, 0.5, math.nan]
    )
    assert label.rated == 2
    assert label.span == (1, 5)


@pytest.mark.parametrize("label", [Trace("a", "e", [], []), Intervals("a", "e", [], [], [], [])])
def test_empty_labels_rate_nothing(label):
    assert label.rated == 0
    assert label.span is None
    assert np.isnan(label.at([0, 1])).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the first line is nothing"),
        (
            "t;v\n0;1\n",
            "the first line is t;v; expected time,value, start,end",
        ),
        ("time,value\n0,1\n0,1\n", "row 2: its time, 0 s, is not later"),
        ("time,value\n0,1\n1,1,1\n", "line 3: '1,1,1': expected 2 numbers"),
        ("time,value\n0,nan\n", "line 2"),
        ("time,value\n0,inf\n", "line 2"),
        ("time,value\n,1\n", "line 2"),
        ("time,value\n1e10,1\n", "beyond"),
        ("start,end,value,confidence\n0,1,,\n", "line 2"),
        ("start,end,value,confidence\n1,1,0,\n", "the interval at 1 s ends at 1 s"),
        ("start,end,value,confidence\n0,2,0,\n1,3,0,\n", "0 to 2 s overlaps the next, from 1 s on"),
        ("time,value\n0,\udcff\n", "not a text of UTF-8"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, content, message):
    path = tmp_path / "engagement.anna.csv"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(UserError) as error:
        read(path)
    assert message in str(error.value)
    assert str(error.value).count(str(path)) == 1


@pytest.mark.parametrize("name", ["", "a b", "../a", "a.b", "ä", "x" * 61])
def test_names_are_of_letters_digits_and_two_signs(name):
    for dimension, rater in ((name, "anna"), ("engagement", name)):
        with pytest.raises(UserError, match="cannot be the name"):
            Trace(rater, dimension, [], [])


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "labels" / "engagement.anna.csv").mkdir(parents=True)
    with pytest.raises(UserError, match="not a regular file"):
        of_session(tmp_path)


@given(st.binary(max_size=400))
def test_any_bytes_are_labels_or_an_error_in_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("labels") / "engagement.anna.csv"
    path.write_bytes(content)
    result_or_error(lambda: read(path))
