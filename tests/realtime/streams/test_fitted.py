"""A clock of sound, fitted to stamps that jitter, come in bursts, drift or have gaps."""

import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.realtime.streams.fitted import STEP, FittedClock
from enrapt.realtime.streams.samples import SECOND

MS = 1_000_000
RATE, BLOCK = 48_000, 1024
N = 600  # blocks, 12.8 s


def true_time(k: int) -> int:
    return k * BLOCK * SECOND // RATE


def fit(stamps: Sequence[int | None]) -> tuple[list[int], list[int]]:
    """The time of each block, and the numbers of those that begin a stretch."""
    clock: FittedClock[int] = FittedClock(RATE)
    placed = [one for k, stamp in enumerate(stamps) for one in clock.push(stamp, BLOCK, k)]
    placed += clock.flush()
    assert [one.block for one in placed] == list(range(len(stamps)))
    return [one.time for one in placed], [one.block for one in placed if one.begins]


@given(st.integers(0, 10 * SECOND), st.sampled_from([1, MS, 125_000]))
def test_exact_and_rounded_stamps_give_the_count(start: int, unit: int) -> None:
    stamps = [(start + true_time(k)) // unit * unit for k in range(N)]
    times, begun = fit(stamps)
    assert times == [stamps[0] + true_time(k) for k in range(N)]
    assert begun == [0]


@pytest.mark.parametrize("sigma", [5, 20, 30, 50])
@pytest.mark.parametrize("seed", range(5))
def test_jitter_is_no_gap(sigma: int, seed: int) -> None:
    rng = random.Random(seed)
    times, begun = fit([true_time(k) + round(rng.gauss(0, sigma) * MS) for k in range(N)])
    assert begun == [0]
    off = np.array(times) - [true_time(k) for k in range(N)]
    assert np.abs(off).max() < sigma * MS  # of one stamp
    assert np.abs(np.diff(off)).max() <= true_time(1) // 1000 + 1


@pytest.mark.parametrize("at_once", [2, 4, 8, 20])
def test_blocks_stamped_at_once_are_no_gap(at_once: int) -> None:
    """Each bears the time at which the burst came: when its last block was there."""
    stamps = [true_time(k - k % at_once + at_once) + k % at_once for k in range(N)]
    times, begun = fit(stamps)
    assert begun == [0]
    off = np.array(times) - [true_time(k) for k in range(N)]
    assert 0 <= off.min() <= off.max() <= true_time(at_once)


@given(st.integers(STEP + MS, 20 * SECOND), st.integers(48, N - 1))
def test_a_gap_between_exact_stamps_is_at_its_place(gap: int, at: int) -> None:
    times, begun = fit([true_time(k) + gap * (k >= at) for k in range(N)])
    assert begun == [0, at]
    assert times == [true_time(k) + gap * (k >= at) for k in range(N)]


def test_of_several_gaps_each_is_at_its_place() -> None:
    at = {100: 64 * MS, 130: 300 * MS, 170: 21 * MS, 400: 5 * SECOND}
    lost = list(itertools.accumulate(at.get(k, 0) for k in range(N)))
    times, begun = fit([true_time(k) + lost[k] for k in range(N)])
    assert begun == [0, *at]
    assert times == [true_time(k) + lost[k] for k in range(N)]


@pytest.mark.parametrize("seed", range(5))
def test_a_gap_amid_jitter_is_found_near_its_place(seed: int) -> None:
    rng = random.Random(seed)
    gap = 400 * MS
    times, begun = fit([true_time(k) + gap * (k >= 300) + round(rng.gauss(0, 15) * MS) for k in range(N)])
    assert len(begun) == 2
    assert abs(begun[1] - 300) <= 1
    assert abs(times[-1] - true_time(N - 1) - gap) < 15 * MS


@pytest.mark.parametrize("ppm", [-300, -50, 50, 300])
def test_drift_is_followed_without_a_gap(ppm: int) -> None:
    n = 20_000  # 7 minutes
    stamps = [round(true_time(k) * (1 + ppm * 1e-6)) for k in range(n)]
    times, begun = fit(stamps)
    assert begun == [0]
    assert np.abs(np.array(times) - stamps).max() < 6 * MS


def test_blocks_without_stamps_follow_those_before() -> None:
    times, begun = fit([None, None, *(true_time(k) + SECOND if k % 3 == 0 else None for k in range(2, N))])
    assert begun == [0]
    assert times == [SECOND + true_time(k) for k in range(N)]
    assert fit([None] * N) == ([true_time(k) for k in range(N)], [0])


def test_sound_that_comes_twice_overlaps() -> None:
    times, begun = fit([true_time(k - 50 * (k >= 200)) for k in range(N)])
    assert begun == [0, 200]
    assert times[200] == true_time(150)
