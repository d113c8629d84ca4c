"""One forward axis from times that start again, jump or stray."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.realtime.streams.axis import BACK, MAX_GAP, Axis
from enrapt.realtime.streams.samples import SECOND

MS = 1_000_000
PERIOD = 40 * MS
DAY = 86_400 * SECOND


def run(
    *items: tuple[str, int], max_gap: int = MAX_GAP, origin: int = 0
) -> tuple[Axis[int], list[int | None]]:
    """The axis, and where it places each item of 40 ms, in their order; None for an outlier."""
    axis: Axis[int] = Axis(max_gap, origin)
    placed: dict[int, int | None] = {}
    for number, (stream, time) in enumerate(items):
        for one, shift in axis.push(stream, time, time + PERIOD, number):
            placed[one] = None if shift is None else items[one][1] + shift
    for one, shift in axis.flush():
        placed[one] = None if shift is None else items[one][1] + shift
    return axis, [placed[number] for number in range(len(items))]


def ticks(stream: str, begin: int, n: int) -> list[tuple[str, int]]:
    return [(stream, begin + k * PERIOD) for k in range(n)]


def interleaved(*streams: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    return [item for row in zip(*streams, strict=True) for item in row]


@given(st.lists(st.integers(0, 3 * MAX_GAP // 4), max_size=50), st.integers(-DAY, DAY))
def test_times_without_steps_are_unchanged(steps: list[int], origin: int) -> None:
    times = [origin]
    for step in steps:
        times.append(times[-1] + step)
    axis, placed = run(*(("a", time) for time in times), origin=origin)
    assert placed == [time - origin for time in times]
    assert len(axis.segments) == 1


def test_a_part_that_starts_again_goes_on_where_the_first_ended() -> None:
    axis, placed = run(*ticks("a", 0, 75), *ticks("a", 0, 75))
    assert placed == [k * PERIOD for k in range(150)]
    [_, second] = axis.segments
    assert (second.at, second.begin, second.reason) == (3 * SECOND, 0, "step back")
    assert "at 3.00 s times start again at 0.00 s" in str(second)


@given(lag=st.integers(0, 10), early=st.integers(-200, 200))
def test_both_streams_of_a_joined_file_keep_their_offset(lag: int, early: int) -> None:
    """The second stream follows into the same segment, however many packets later it comes there."""
    offset = early * MS
    first = [ticks("v", 0, 75), ticks("s", offset, 75)]
    video, sound = (one + one for one in first)
    order = interleaved(video[: 75 - lag], sound[: 75 - lag]) + video[75 - lag : 75]
    order += interleaved(video[75:], sound[75 - lag : 150 - lag]) + sound[150 - lag :]
    axis, placed = run(*order)
    assert len(axis.segments) == 2
    where = dict(zip(range(len(order)), placed, strict=True))
    for at in (0, 75):
        v = [n for n, (stream, _) in enumerate(order) if stream == "v"][at]
        s = [n for n, (stream, _) in enumerate(order) if stream == "s"][at]
        assert where[s] == where[v] + offset  # type: ignore[operator]


def test_a_gap_that_is_too_long_is_closed_and_a_shorter_one_kept() -> None:
    axis, placed = run(*ticks("a", 0, 25), *ticks("a", 50 * SECOND, 25), *ticks("a", 3 * DAY, 25))
    assert placed[25] == 50 * SECOND
    assert placed[50] == 51 * SECOND
    [_, after] = axis.segments
    assert (after.reason, after.gap) == ("gap", 3 * DAY - 51 * SECOND)
    assert "at 51.00 s a gap of" in str(after)


def test_a_first_item_far_before_the_others() -> None:
    axis, placed = run(("a", 0), *ticks("a", 3 * DAY, 74))
    assert placed == [k * PERIOD for k in range(75)]
    assert len(axis.segments) == 2


def test_a_longer_limit_keeps_the_gap() -> None:
    _, placed = run(("a", 0), *ticks("a", 3 * DAY, 3), max_gap=1 << 62)
    assert placed[1:] == [3 * DAY + k * PERIOD for k in range(3)]


def test_a_pause_of_one_stream_is_no_gap() -> None:
    sound = ticks("s", 0, 5000)
    axis, placed = run(*ticks("v", 0, 5), *sound, *ticks("v", 199 * SECOND, 5))
    assert len(axis.segments) == 1
    assert placed[-1] == 199 * SECOND + 4 * PERIOD


@pytest.mark.parametrize("away", [-8 * SECOND, 400 * SECOND, DAY])
def test_a_single_time_far_from_all_others_is_an_outlier(away: int) -> None:
    times = [k * PERIOD for k in range(500)]
    times[300] += away
    axis, placed = run(*(("a", time) for time in times))
    assert placed[300] is None
    assert [p for p in placed if p is not None] == [t for k, t in enumerate(times) if k != 300]
    assert (axis.outliers, len(axis.segments)) == (1, 1)


def test_jitter_is_no_step() -> None:
    axis, placed = run(("a", 0), ("a", BACK), ("a", 10), ("a", BACK + 10))
    assert placed == [0, BACK, 10, BACK + 10]
    assert len(axis.segments) == 1


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(-(1 << 70), 1 << 70)), max_size=60),
    st.integers(0, 100 * SECOND),
)
def test_whatever_the_times_the_axis_is_no_longer_than_its_items_and_the_gaps_allowed(
    items: list[tuple[str, int]], max_gap: int
) -> None:
    axis, placed = run(*items, max_gap=max_gap)
    assert len(placed) == len(items)
    assert axis.reached <= len(items) * (max_gap + PERIOD)
    assert all(p is None or p <= axis.reached for p in placed)
