"""The labels of a rater while they are being made."""

import errno
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.study import labels, ratings
from enrapt.study.annotate.label_file import EARLIER
from enrapt.study.annotate.segments import Segment
from enrapt.study.annotate.stored import StoredLabels
from enrapt.study.study import Dimension
from tests.support.full_disk import files_no_larger_than, needs_limits

TRACE = Dimension("engagement")


def opened(folder: Path, rater: str = "E1", dimension: Dimension = TRACE) -> StoredLabels:
    return StoredLabels(folder / "labels", rater, dimension, 100.0)


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "labels" / EARLIER).glob("*"))


def test_an_edit_is_in_the_file_at_once(tmp_path):
    stored = opened(tmp_path)
    assert not (tmp_path / "labels").exists()
    stored.edit(1.0, 3.0, [Segment(1.0, 2.0, 0.25), Segment(2.0, 3.0, 0.5)], "a")
    assert stored.path.read_text() == "time,value\n1.0,0.25\n2.0,0.5\n3.0,\n"
    assert stored.rated == 2.0
    assert [label.rater for label in labels.of_session(tmp_path)] == ["E1"]
    if sys.platform != "win32":
        assert stat.S_IMODE(stored.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(stored.path.parent.stat().st_mode) == 0o700


def test_a_rating_is_continued_and_that_of_another_stays(tmp_path):
    opened(tmp_path).edit(0.0, 2.0, [Segment(0.0, 2.0, 0.25)], "a")
    other = opened(tmp_path, "E2")
    other.edit(0.0, 2.0, [Segment(0.0, 2.0, 1.0)], "a")
    before = other.path.read_bytes()
    again = opened(tmp_path)
    again.edit(2.0, 4.0, [Segment(2.0, 4.0, 0.5)], "b")
    assert again.path.read_text() == "time,value\n0.0,0.25\n2.0,0.5\n4.0,\n"
    assert other.path.read_bytes() == before
    assert kept(tmp_path) == []


def test_what_is_overwritten_is_kept_once_a_stroke(tmp_path):
    stored = opened(tmp_path)
    stored.edit(0.0, 4.0, [Segment(0.0, 4.0, 0.25)], "a")
    stored.edit(3.0, 5.0, [Segment(3.0, 5.0, 0.25)], "b")  # the same value again: nothing is lost
    assert kept(tmp_path) == []
    first = stored.path.read_text()
    stored.edit(1.0, 2.0, [Segment(1.0, 2.0, 0.5)], "c")
    stored.edit(1.5, 2.0, [Segment(1.5, 2.0, 0.75)], "c")  # of the same stroke
    second = stored.path.read_text()
    stored.edit(0.0, 5.0, [], "d")
    assert kept(tmp_path) == ["engagement.E1.1.csv", "engagement.E1.2.csv"]
    assert [path.read_text() for path in stored.kept] == [first, second]
    assert stored.path.read_text() == "time,value\n"
    # Nobody takes them for labels.
    assert [label.rater for label in labels.of_session(tmp_path)] == ["E1"]
    opened(tmp_path).edit(0.0, 1.0, [Segment(0.0, 1.0, 0.5)], "a")
    assert len(kept(tmp_path)) == 2


def test_numbers_of_kept_files_go_on(tmp_path):
    for value in (0.1, 0.2, 0.3):
        opened(tmp_path).edit(0.0, 1.0, [Segment(0.0, 1.0, value)], "a")
    assert kept(tmp_path) == ["engagement.E1.1.csv", "engagement.E1.2.csv"]


@settings(max_examples=30)  # each edit is written to the disk
@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(1, 9), st.sampled_from([None, 0.0, 0.5, 1.0])), max_size=8
    )
)
def test_the_same_edit_twice_is_once(tmp_path_factory, edits):
    once, twice = (opened(tmp_path_factory.mktemp("session")) for _ in range(2))
    for number, (start, length, value) in enumerate(edits):
        new = [] if value is None else [Segment(start, start + length, value)]
        once.edit(start, start + length, new, str(number))
        for _ in range(2):
            twice.edit(start, start + length, new, str(number))
    assert once.segments == twice.segments
    assert [path.name for path in once.kept] == [path.name for path in twice.kept]
    if once.path.exists():
        assert once.path.read_bytes() == twice.path.read_bytes()


@needs_limits
def test_a_full_disk_leaves_what_was_stored(tmp_path):
    stored = opened(tmp_path)
    stored.edit(0.0, 1.0, [Segment(0.0, 1.0, 0.25)], "a")
    before, segments = stored.path.read_bytes(), stored.segments
    new = [Segment(k / 100, (k + 1) / 100, k / 100) for k in range(100)]
    with files_no_larger_than(200):
        for _ in range(3):  # as a client that tries again
            with pytest.raises(UserError, match="cannot be written"):
                stored.edit(0.0, 1.0, new, "b")
    assert stored.path.read_bytes() == before
    assert stored.segments == segments
    assert kept(tmp_path) == ["engagement.E1.1.csv"]  # not one for each attempt
    stored.edit(0.0, 1.0, new, "b")
    assert opened(tmp_path).segments == new


def test_without_links_the_earlier_file_is_copied(tmp_path, monkeypatch):
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "no links")

    stored = opened(tmp_path)
    stored.edit(0.0, 1.0, [Segment(0.0, 1.0, 0.25)], "a")
    before = stored.path.read_bytes()
    monkeypatch.setattr("os.link", refused)
    stored.edit(0.0, 1.0, [Segment(0.0, 1.0, 0.5)], "b")
    assert [path.read_bytes() for path in stored.kept] == [before]


def test_a_file_that_another_program_changed_is_not_overwritten(tmp_path):
    stored = opened(tmp_path)
    stored.edit(0.0, 1.0, [Segment(0.0, 1.0, 0.25)], "a")
    labels.write(ratings.Trace("E1", "engagement", [0.0, 9.0], [0.1, 0.1]), stored.path, overwrite=True)
    before = stored.path.read_bytes()
    with pytest.raises(UserError, match="another program has changed it"):
        stored.edit(1.0, 2.0, [Segment(1.0, 2.0, 0.25)], "b")
    assert stored.path.read_bytes() == before


def test_labels_of_the_other_kind_are_refused(tmp_path):
    opened(tmp_path).edit(0.0, 1.0, [Segment(0.0, 1.0, 0.25)], "a")
    with pytest.raises(UserError, match="is of kind trace; engagement is of kind interval"):
        opened(tmp_path, dimension=Dimension("engagement", "interval"))


def test_damaged_labels_are_refused_and_stay(tmp_path):
    path = tmp_path / "labels" / "engagement.E1.csv"
    path.parent.mkdir()
    path.write_text("time,value\n1,2\n0,3\n")
    with pytest.raises(UserError, match="is not later"):
        opened(tmp_path)
    assert path.read_text() == "time,value\n1,2\n0,3\n"
