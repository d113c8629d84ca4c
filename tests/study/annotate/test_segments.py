"""Edits of ratings, compared to a grid of values."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.study.annotate.segments import (
    Segment,
    between,
    check,
    joined,
    label_of,
    lost,
    rated,
    replaced,
    segments_of,
)
from enrapt.study.labels import read, write
from enrapt.study.ratings import Intervals, Trace
from enrapt.study.study import Dimension

LENGTH = 30

spans = st.tuples(st.integers(0, LENGTH - 1), st.integers(1, 8)).map(lambda t: (t[0], min(sum(t), LENGTH)))
edits = st.lists(st.tuples(spans, st.one_of(st.none(), st.integers(0, 3))), max_size=20)


def grid_of(segments) -> list[float | None]:
    grid: list[float | None] = [None] * LENGTH
    for segment in segments:
        for k in range(int(segment.start), int(segment.end)):
            assert grid[k] is None, "they overlap"
            grid[k] = segment.value
    return grid


def applied(sequence) -> tuple[list[Segment], list[float | None]]:
    segments: list[Segment] = []
    grid: list[float | None] = [None] * LENGTH
    for (start, end), value in sequence:
        new = [] if value is None else [Segment(start, end, value)]
        segments = replaced(segments, start, end, new)
        grid[start:end] = [value] * (end - start)
    return segments, grid


@given(edits)
def test_any_edits_are_those_of_a_grid(sequence):
    segments, grid = applied(sequence)
    assert grid_of(segments) == grid
    assert all(a.end <= b.start for a, b in itertools.pairwise(segments))
    assert rated(segments) == sum(value is not None for value in grid)
    check(segments, 0.0, LENGTH, Dimension("d", high=3.0), LENGTH)


@given(edits, spans)
def test_a_part_is_that_of_the_grid(sequence, span):
    segments, grid = applied(sequence)
    start, end = span
    inside = [value if start <= k < end else None for k, value in enumerate(grid)]
    assert grid_of(between(segments, start, end)) == inside
    assert grid_of(replaced(segments, start, end, between(segments, start, end))) == grid


@given(edits)
def test_a_trace_is_strictly_increasing_and_has_the_same_values(sequence):
    segments, grid = applied(sequence)
    label = label_of(segments, "trace", "r", "d")
    assert isinstance(label, Trace)  # which refuses times that do not increase
    found = label.at(np.arange(LENGTH) + 0.5)
    assert [None if math.isnan(value) else value for value in found] == grid
    changes = sum(a != b for a, b in zip([None, *grid], [*grid, None], strict=True))
    assert len(label.times) == changes
    assert segments_of(label) == joined(segments)


@given(edits)
def test_intervals_keep_their_borders(sequence):
    segments, _ = applied(sequence)
    label = label_of(segments, "interval", "r", "d")
    assert isinstance(label, Intervals)
    assert segments_of(label) == segments


def test_labels_that_were_written_are_the_same_segments(tmp_path):
    segments = [Segment(0.1, 2.5, 0.3, 2.0), Segment(2.5, 3.125, 0.7)]
    write(label_of(segments, "interval", "r", "d"), tmp_path / "d.r.csv")
    assert segments_of(read(tmp_path / "d.r.csv")) == segments


def test_the_value_of_the_last_row_of_a_trace_has_no_length():
    assert segments_of(Trace("r", "d", [0.0, 1.0, 2.0], [0.5, np.nan, 0.7])) == [Segment(0.0, 1.0, 0.5)]


@given(edits, edits)
def test_what_is_lost_was_rated_and_differs(first, then):
    (old, before), (new, after) = applied(first), applied(then)
    found = {k for start, end in lost(old, new) for k in range(int(start), int(end))}
    assert found == {k for k, value in enumerate(before) if value is not None and after[k] != value}


@pytest.mark.parametrize(
    ("segments", "start", "end", "said"),
    [
        ([(1, 2, 0.5)], 2.0, 3.0, "after 2 s"),
        ([(2, 4, 0.5)], 2.0, 3.0, "from 2 to 4"),
        ([(2, 2.5, 0.5), (2.2, 3, 0.5)], 2.0, 3.0, "after 2.5 s"),
        ([(2.5, 2.5, 0.5)], 2.0, 3.0, "from 2.5 to 2.5"),
        ([(2, 3, 1.5)], 2.0, 3.0, "1.5 is not from 0 to 1"),
        ([(2, 3, math.nan)], 2.0, 3.0, "nan is not"),
        ([], 3.0, 2.0, "not a stretch"),
        ([], 3.0, 20.0, "ends at 10 s"),
        ([], math.nan, 2.0, "not a stretch"),
    ],
)
def test_what_cannot_be_is_refused(segments, start, end, said):
    with pytest.raises(UserError, match=said):
        check([Segment(*each) for each in segments], start, end, Dimension("d"), 10.0)
