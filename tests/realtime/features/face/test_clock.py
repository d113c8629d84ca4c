"""Times of pictures, whatever they are, become milliseconds that increase."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from enrapt.realtime.features.face.clock import StreamClock


@given(st.lists(st.integers(-(2**70), 2**70)))
def test_it_always_advances(times: list[int]) -> None:
    clock = StreamClock()
    readings = [0, *(clock(time) for time in times)]
    assert all(0 < later - earlier <= 3_600_000 for earlier, later in pairwise(readings))


@given(st.integers(-(2**62), 2**62), st.lists(st.integers(1, 1000), min_size=1))
def test_it_keeps_intervals_from_any_start(start: int, intervals: list[int]) -> None:
    clock = StreamClock()
    times = start + 1_000_000 * np.cumsum([0, *intervals], dtype=object)
    assert np.diff([clock(time) for time in times]).tolist() == intervals


def test_it_advances_by_1_ms_where_times_do_not() -> None:
    clock = StreamClock()
    milliseconds = 5, 5, 4, 44, 84  # at the third the camera's clock is set back
    assert [clock(ms * 1_000_000) for ms in milliseconds] == [1, 2, 3, 43, 83]


def test_at_120_frames_a_second() -> None:
    clock = StreamClock()
    readings = [clock(k * 10**9 // 120) for k in range(1200)]
    assert set(np.diff(readings)) == {8, 9}
    assert readings[-1] == 1 + 9991
