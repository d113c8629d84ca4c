"""One axis from whole arrays of times: any times at all, and those of real files."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from enrapt.realtime.streams.axis import BACK, MAX_GAP, Axis
from enrapt.realtime.streams.axis_arrays import STEP, UNKNOWN, apart, axis_of_arrays, nanoseconds
from enrapt.realtime.streams.samples import SECOND

LIMIT = np.iinfo(np.int64)


def ns(*seconds):
    return np.rint(np.concatenate([np.atleast_1d(s) for s in seconds]) * SECOND).astype(np.int64)


def every(step, begin, end):
    return np.arange(begin, end, step)


def union(placed):
    return np.sort(np.concatenate([stream.placed for stream in placed.streams.values()]))


def falls(times):
    """By how much times lie below an earlier one, at most, ns."""
    return int((np.maximum.accumulate(times) - times).max()) if times.size else 0


near = st.integers(-200 * SECOND, 200 * SECOND)
any_time = st.one_of(near, near, st.integers(LIMIT.min, LIMIT.max), st.just(UNKNOWN))
stamps = st.lists(any_time, max_size=60).map(lambda times: np.array(times, np.int64))
runs = st.lists(st.tuples(near, st.integers(1, 30), st.integers(1, 2 * SECOND)), max_size=6).map(
    lambda parts: np.concatenate([np.empty(0, np.int64), *(b + s * np.arange(n) for b, n, s in parts)])
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(stamps, runs), min_size=1, max_size=3), st.sampled_from([0, SECOND, MAX_GAP]))
def test_whatever_the_times_they_go_forward_without_a_long_gap_and_are_bounded(given, max_gap):
    placed = axis_of_arrays({str(k): times for k, times in enumerate(given)}, max_gap)
    for stream, times in zip(placed.streams.values(), given, strict=True):
        assert stream.kept.shape == times.shape
        assert stream.placed.shape == (stream.kept.sum(),)
        assert falls(stream.placed) <= BACK
    times = union(placed)
    if times.size:
        assert times[0] == 0
        assert np.diff(times).max(initial=0) <= max(max_gap, BACK)
        assert times[-1] <= times.size * max(max_gap, BACK)
        segments = [segment for _, segment in placed.segments]
        assert [s.at for s in segments] == sorted(s.at for s in segments)
        assert all(0 <= segment.at <= times[-1] for segment in segments)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        arrays.arrays(np.int64, st.integers(1, 50), elements=st.integers(0, 50 * SECOND)),
        min_size=1,
        max_size=3,
    ),
    st.integers(-(10**18), 10**18),
)
def test_clean_times_are_unchanged(steps, begin):
    times = {str(k): begin + np.cumsum(s) for k, s in enumerate(steps)}
    first = min(int(t[0]) for t in times.values())
    if apart({name: (int(t[0]), int(t[-1])) for name, t in times.items()}, MAX_GAP):
        return
    placed = axis_of_arrays(times)
    for name, stream in placed.streams.items():
        assert stream.kept.all()
        assert (stream.placed == times[name] - first).all()
    assert [s.begin for _, s in placed.segments] == [first]
    again = axis_of_arrays(times, origin=first)
    assert all((again.streams[name].placed == placed.streams[name].placed).all() for name in times)


def test_joined_parts_follow_each_other_in_all_streams():
    face = ns(every(0.04, 0, 60), every(0.04, 0.5, 30))
    sound = ns(every(0.01, 0.02, 59.9), every(0.01, 0.4, 30))
    placed = axis_of_arrays({"face": face, "sound": sound})
    ((_, first), (name, step)) = placed.segments
    assert (first.at, first.begin, name, step.reason, step.begin) == (0, 0, "", "step back", ns(0.4)[0])
    assert step.at == ns(59.96)[0] + STEP
    assert placed.streams["face"].placed[1500] - placed.streams["sound"].placed[5988] == ns(0.1)[0]
    assert union(placed)[-1] == step.at + ns(29.59)[0]
    assert placed.follow(ns(1, 50, 0.4, 10)) == [ns(1)[0], ns(50)[0], step.at, step.at + ns(9.6)[0]]


def test_a_stream_that_steps_back_alone_goes_on_from_where_it_ended():
    face = ns(every(0.04, 0, 60), every(0.04, 1000, 1040) - 1000)
    placed = axis_of_arrays({"face": face, "sound": ns(every(0.01, 0, 100))})
    assert [(name, s.reason) for name, s in placed.segments] == [("", ""), ("face", "step back")]
    assert (placed.streams["face"].placed == ns(every(0.04, 0, 100))).all()
    assert (placed.streams["sound"].placed == ns(every(0.01, 0, 100))).all()


@pytest.mark.parametrize("wrong", [-5.0, 0.3, 30.0, 1e9, -1e9])
def test_a_single_outlier_is_left_out_and_changes_nothing_else(wrong):
    times = ns(every(0.04, 0, 60))
    broken = times.copy()
    broken[700] = ns(wrong)[0] if wrong != 0.3 else UNKNOWN
    (stream,) = (placed := axis_of_arrays({"face": broken})).streams.values()
    assert np.flatnonzero(~stream.kept).tolist() == [700]
    assert (stream.placed == np.delete(times, 700)).all()
    assert len(placed.segments) == 1


def test_a_gap_in_all_streams_is_closed_and_a_shorter_or_covered_one_stays():
    face = ns(every(0.04, 0, 10), every(0.04, 60, 70), every(0.04, 1070, 1080))
    gaze = ns(5, 69, 1079)  # gaps of its own that the face covers
    placed = axis_of_arrays({"face": face, "gaze": gaze})
    ((_, first), (_, gap)) = placed.segments
    assert first.at == 0
    assert (gap.reason, gap.at, gap.begin) == ("gap", ns(69.96)[0] + STEP, ns(1070)[0])
    assert gap.gap == ns(1000.04)[0]
    assert placed.streams["gaze"].placed.tolist() == ns(5, 69, 79).tolist()
    assert placed.follow(ns(69, 500, 1071)) == ns(69, 70, 71).tolist()
    assert len(axis_of_arrays({"face": face}, 2000 * SECOND).segments) == 1


def test_streams_that_share_no_time_are_named():
    spans = {"face": (0, 10 * SECOND), "sound": (2 * SECOND, 9 * SECOND), "gaze": (10**18, 10**18 + 5)}
    assert apart(spans, MAX_GAP) == ("face", "gaze")
    assert apart(spans, 2 * 10**18) is None
    assert apart({}, MAX_GAP) is None


def test_seconds_that_are_no_times_are_unknown():
    seconds = np.array([1.5, np.nan, np.inf, -np.inf, 1e300, 1.7e9])
    assert nanoseconds(seconds, 1.0).tolist() == [SECOND // 2, *[UNKNOWN] * 4, 1_699_999_999 * SECOND]


@pytest.mark.parametrize("kind", ["decreasing", "random", "two clocks"])
def test_times_without_any_order_take_time_in_proportion_to_their_number(kind):
    n = 100_000
    times = {
        "decreasing": -np.arange(n) * SECOND,
        "random": np.random.default_rng(0).integers(-(10**18), 10**18, n),
        "two clocks": np.arange(n) * SECOND + np.arange(n) // 2 % 2 * 10**18,
    }[kind]
    began = time.perf_counter()
    (stream,) = axis_of_arrays({"face": times}).streams.values()
    assert time.perf_counter() - began < 20
    assert falls(stream.placed) <= BACK


def test_clean_sound_is_placed_as_a_whole():
    times = np.arange(5_000_000) * (SECOND // 16_000)
    began = time.perf_counter()
    (stream,) = axis_of_arrays({"audio": times}).streams.values()
    assert time.perf_counter() - began < 2
    assert stream.placed is stream.own is times


def test_sparse_streams_step_back_too():
    times = ns(every(20, 0, 200), every(20, 3, 100))
    (stream,) = axis_of_arrays({"gaze": times}).streams.values()
    assert stream.kept.all()
    assert (np.diff(stream.placed) == np.where(np.diff(times) > 0, 20 * SECOND, STEP)).all()


@given(
    st.lists(st.tuples(st.integers(-5000, 5000), st.integers(3, 20)), min_size=1, max_size=8),
    st.integers(1, 100),
)
def test_arrays_and_streams_that_are_read_have_one_policy(parts: list[tuple[int, int]], limit: int) -> None:
    """Stretches of samples every 40 ms, each beginning so many s after the one before ended.

    No gap is as long as the limit: arrays have no durations, so there gaps are a period longer.
    """
    times, begin, max_gap = [], 0, limit * SECOND + SECOND // 2
    for jump, n in parts:
        begin += jump * SECOND + STEP
        times += [begin + k * STEP for k in range(n)]
        begin = times[-1]
    placed = axis_of_arrays({"a": np.array(times)}, max_gap)
    axis: Axis[int] = Axis(max_gap, times[0])
    read = [one for k, time in enumerate(times) for one in axis.push("a", time, time, time + STEP, k)]
    read += axis.flush()
    assert [times[k] + shift for k, shift in read if shift is not None] == placed.streams["a"].placed.tolist()
    assert [s.at for s in axis.segments] == [s.at for _, s in placed.segments]
