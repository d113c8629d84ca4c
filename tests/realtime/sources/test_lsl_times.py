"""Times of streams whose source starts its clock again."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from enrapt.realtime.sources.inlet import AHEAD, BEHIND
from enrapt.realtime.sources.lsl_times import StreamTimes
from enrapt.realtime.streams.samples import SECOND

TICK = SECOND // 25


class Stream:
    """Stamps that come 10 ms after they were made, and are wrong by `off`."""

    def __init__(self):
        self.now, self.off = 100 * SECOND, 0
        self.times = StreamTimes(lambda at: self.now - BEHIND <= at <= self.now + AHEAD)

    def come(self, n, size=1):
        """What becomes of n of them, relative to their arrival where they have a time."""
        given = []
        for _ in range(n // size):
            self.now += size * TICK
            stamps = [self.now - k * TICK - SECOND // 100 + self.off for k in range(size - 1, -1, -1)]
            placed = self.times.place(stamps, self.now)
            given += [p if isinstance(p, str) else p - self.now for p in placed]
        return given


def test_a_clock_that_starts_again_loses_one_sample():
    stream = Stream()
    usual = [-SECOND // 100]
    assert stream.come(10) == 10 * usual
    stream.off = -7 * SECOND
    assert stream.come(10) == ["backward", *9 * usual]
    stream.off = -(10**15)
    assert stream.come(10) == ["backward", *9 * usual]
    stream.off = 0  # right again
    assert stream.come(10) == 10 * usual
    assert stream.times.shift == 0


def test_a_single_stamp_that_steps_back_is_dropped():
    stream = Stream()
    stream.come(10)
    stream.off = -7 * SECOND
    assert stream.come(1) == ["backward"]
    stream.off = 0
    assert all(isinstance(at, int) for at in stream.come(10))
    assert stream.times.shift == 0


def test_samples_that_come_together_stay_within_now():
    stream = Stream()
    stream.come(50, 10)
    stream.off = -3 * SECOND
    given = stream.come(100, 10)
    assert given.count("backward") == 1
    assert all(at <= 0 for at in given if isinstance(at, int))


@given(st.lists(st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=5), max_size=30))
def test_whatever_the_stamps_times_rise_and_are_of_this_clock(chunks):
    now = 0
    times = StreamTimes(lambda at: now - BEHIND <= at <= now + AHEAD)
    given = []
    for stamps in chunks:
        now += TICK
        placed = times.place(stamps, now)
        assert len(placed) == len(stamps)
        given += [at for at in placed if isinstance(at, int)]
    assert all(a < b for a, b in itertools.pairwise(given))
