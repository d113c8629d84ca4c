import pickle
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.realtime.streams.clock import FIT_FROM, INTERVAL, DeviceClock
from enrapt.realtime.streams.samples import SECOND

MS = SECOND // 1000


def true_time(device: int, ppm: float, offset: int = 0) -> int:
    return offset + device + round(device * ppm * 1e-6)


def delays(kind: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """How late the host has each block, ns."""
    if kind == "none":
        return np.zeros(n, int)
    late = rng.exponential(3e6, n)
    if kind == "busy":  # stalls of 0.3 s now and then, and a tenth of all minutes busy throughout
        late += (rng.random(n) < 0.02) * rng.uniform(0, 3e8, n)
        minutes = rng.random(n // 600 + 1) < 0.1
        late += minutes[np.arange(n) // 600] * rng.uniform(0, 1e8, n)
    if kind == "bursts":  # ten blocks at once
        late += (9 - np.arange(n) % 10) * 1e8
    return late.astype(int)


@pytest.mark.parametrize("kind", ["none", "usual", "busy", "bursts"])
@pytest.mark.parametrize("ppm", [-200, 0, 200])
def test_within_20_ms_after_the_first_minute(ppm: float, kind: str) -> None:
    check_hours(1, ppm, kind)


def test_within_20_ms_for_a_usual_day() -> None:
    check_hours(24, -200, "usual")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["usual", "busy", "bursts"])
@pytest.mark.parametrize("ppm", [-200, 200])
def test_within_20_ms_for_24_hours(ppm: float, kind: str) -> None:
    check_hours(24, ppm, kind)


def check_hours(hours: int, ppm: float, kind: str) -> None:
    clock = DeviceClock()
    n = hours * 36_000  # blocks of 100 ms
    late = delays(kind, n, np.random.default_rng(0)).tolist()
    worst = 0
    for k in range(n):
        device = k * 100 * MS
        true = true_time(device, ppm, offset=5 * SECOND)
        clock.observe(device, true + late[k])
        mapped = clock.time(device)
        if device > 60 * SECOND:
            assert mapped is not None
            worst = max(worst, abs(mapped - true))
    assert worst < 20 * MS
    assert clock.drift == pytest.approx(ppm * 1e-6, abs=100e-6)


@pytest.mark.parametrize("ppm", [-200, -13, 0, 77, 200])
def test_exact_without_delays(ppm: float) -> None:
    clock = DeviceClock()
    for device in range(0, 60 * SECOND, 10 * MS):
        clock.observe(device, true_time(device, ppm, 10**15))
        mapped = clock.time(device)
    assert mapped == pytest.approx(true_time(device, ppm, 10**15), abs=2)
    assert clock.drift == pytest.approx(ppm * 1e-6, abs=1e-9)


def test_a_changing_drift_is_followed() -> None:
    """A crystal that warms up by 100 ppm within ten minutes."""
    clock, true = DeviceClock(), 0.0
    for k in range(36_000):
        device = k * 100 * MS
        clock.observe(device, round(true))
        mapped = clock.time(device)
        if k > 600:
            assert mapped == pytest.approx(true, abs=MS)
        true += 1e8 * (1 + 100e-6 * min(1, k / 6000))


steps = st.lists(st.tuples(st.integers(1, 3 * SECOND), st.integers(0, 2 * SECOND)), max_size=200)


@given(pairs=steps, losses=st.sets(st.integers(0, 199)))
def test_never_steps_back_whatever_comes(pairs: list[tuple[int, int]], losses: set[int]) -> None:
    clock, device, last = DeviceClock(), 0, -(10**18)
    for k, (step, delay) in enumerate(pairs):
        if k in losses:
            clock.restart()
        clock.observe(device, device + delay)
        mapped = clock.time(device)
        assert mapped is None or mapped >= last
        last = last if mapped is None else mapped
        device += step


@given(pairs=steps.filter(bool), shift=st.integers(-(10**15), 10**15))
def test_only_differences_of_the_hosts_time_matter(pairs: list[tuple[int, int]], shift: int) -> None:
    here, there = DeviceClock(), DeviceClock()
    device = 0
    for step, delay in pairs:
        here.observe(device, device + delay)
        there.observe(device, device + delay + shift)
        a, b = here.time(device), there.time(device)
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert b - a == shift
        device += step


@given(delay=st.lists(st.integers(0, 500 * MS), min_size=1, max_size=100))
def test_at_first_the_least_late_pair_counts(delay: list[int]) -> None:
    clock = DeviceClock()
    for k, late in enumerate(delay):
        clock.observe(k * 10 * MS, k * 10 * MS + late)
    at = (len(delay) - 1) * 10 * MS
    assert clock.time(at) == at + min(delay)


@pytest.mark.parametrize("after", [3, 200])
@pytest.mark.parametrize("lost", [25 * MS, 400 * MS, 7 * SECOND])
def test_lost_samples_are_noticed(lost: int, after: int) -> None:
    """The device's count stands still for a while without notice."""
    clock = DeviceClock()
    for k in range(60_000):
        device = k * 10 * MS
        true = true_time(device, 100) + (lost if device >= after * SECOND else 0)
        clock.observe(device, true)
        mapped = clock.time(device)
        if device > (after + 8) * SECOND:
            assert mapped == pytest.approx(true, abs=5 * MS)


def test_samples_known_to_be_lost_count_at_once_and_leave_the_drift() -> None:
    clock = DeviceClock()
    for device in range(0, 60 * SECOND, 10 * MS):
        clock.observe(device, true_time(device, 150))
    clock.restart()
    device, true = 60 * SECOND, true_time(60 * SECOND, 150) + 300 * MS
    clock.observe(device, true)
    assert clock.time(device) == true
    assert clock.time(device + SECOND) == pytest.approx(true + SECOND + 150_000, abs=2)


def test_times_in_use_are_not_returned_again() -> None:
    """The first pair was 300 ms late, as the second one shows."""
    clock = DeviceClock()
    clock.observe(0, 300 * MS)
    assert clock.time(0) == 300 * MS
    mapped = []
    for k in range(1, 40):
        clock.observe(k * 10 * MS, k * 10 * MS)
        mapped.append(clock.time(k * 10 * MS))
    assert mapped == [None] * 27 + [300 * MS] * 2 + [k * 10 * MS for k in range(30, 40)]


def test_one_pair_that_is_much_too_early_has_no_effect() -> None:
    clock = DeviceClock()
    for k in range(12_000):
        device = k * 10 * MS
        clock.observe(device, device - (200 * MS if k == 6000 else 0))
        mapped = clock.time(device)
        assert mapped == pytest.approx(device, abs=1)


def test_the_wall_clock_has_no_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    def mapped(wall: float) -> list[int | None]:
        clock, times = DeviceClock(), []
        for k in range(6000):
            if k == 3000:
                monkeypatch.setattr(time, "time", lambda: wall)
                monkeypatch.setattr(time, "time_ns", lambda: round(wall * 1e9))
            clock.observe(k * 10 * MS, true_time(k * 10 * MS, 50) + k % 7 * MS)
            times.append(clock.time(k * 10 * MS))
        return times

    assert mapped(time.time() + 3600) == mapped(time.time() - 3600)


def test_memory_is_constant() -> None:
    clock = DeviceClock()
    sizes = []
    for k in range(20_000):
        clock.observe(k * 100 * MS, k * 100 * MS + k % 13 * MS)
        clock.time(k * 100 * MS)
        sizes.append(len(pickle.dumps(clock)) if k % 1000 == 999 else 0)
    assert max(sizes) - sizes[1999] < 100  # bytes; 1999: two minutes are full


def test_a_slope_needs_enough_intervals() -> None:
    clock = DeviceClock()
    rng = np.random.default_rng(1)
    for device in range(0, (FIT_FROM - 1) * INTERVAL, 100 * MS):
        clock.observe(device, device + int(rng.exponential(1e7)))
    assert clock.drift == 0
