import msgspec
import numpy as np
import pytest

from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.statistics import KEPT, Statistics
from enrapt.realtime.streams.counts import Counts


def estimate(tick: int, *, face: bool, face_ms: float | None = None, total_ms: float = 1.0) -> Estimate:
    extract = {} if face_ms is None else {"face": face_ms}
    return Estimate(
        tick=tick,
        t=tick / 25,
        engagement=Engagement(0.5, 0.1, 0.4, 0.6),
        present={"face": face, "audio": False},
        age_ms={"face": 0.0 if face else None, "audio": None},
        surprise={"face": None, "audio": None},
        latency_ms=Latency(0.1, total_ms, extract=extract, waits={"audio": 2.0}),
    )


def test_presence_is_the_share_of_ticks():
    statistics = Statistics()
    for tick in range(8):
        statistics.add(estimate(tick, face=tick < 6))
    assert statistics.ticks == 8
    assert statistics.presence == {"face": 0.75, "audio": 0.0}


def test_a_choice_is_ambiguous_where_another_face_is_in_view():
    statistics = Statistics()
    assert statistics.people is None  # without pictures
    seen = [(0, None), (1, 1), (2, 1), (2, 2), (1, 2), (0, 2), (2, 1)]  # faces, person
    for tick, (faces, person) in enumerate(seen):
        box = (0.1, 0.1, 0.2, 0.2) if faces else None
        one = estimate(tick, face=faces > 0)
        statistics.add(msgspec.structs.replace(one, faces=faces, person=person, box=box))
    assert statistics.people == {
        "ticks": {"1": 3, "2": 2},
        "several": round(3 / 7, 4),
        "choices": 3,
        "ambiguous": 2,
        "problems": {},
    }


def test_percentiles_are_over_the_ticks_that_had_the_stage():
    statistics = Statistics()
    for tick in range(101):
        statistics.add(estimate(tick, face=True, face_ms=tick if tick % 2 == 0 else None, total_ms=tick))
    assert statistics.latency()["total"] == pytest.approx((50, 95, 99))
    assert statistics.latency()["extract face"] == pytest.approx(
        np.percentile(range(0, 101, 2), (50, 95, 99))
    )
    assert statistics.latency()["wait for audio"] == (2.0, 2.0, 2.0)
    statistics.add(estimate(101, face=True).without_timing())  # and one may be added after a look
    assert statistics.latency()["total"] == pytest.approx((50, 95, 99))


def test_a_long_run_takes_no_more_memory_and_the_last_minute_has_percentiles_of_its_own():
    statistics = Statistics()
    n = 3 * KEPT
    for tick in range(n):
        statistics.add(estimate(tick, face=True, total_ms=1000 * tick / n))
    assert len(statistics._latency["total"].kept) == KEPT
    assert statistics.latency()["total"] == pytest.approx((500, 950, 990), abs=5)
    assert min(statistics.latency(recent=True)["total"]) > 990


def test_without_ticks_there_are_no_statistics():
    assert Statistics().presence == {}
    assert Statistics().latency() == {}


def test_counts_balance():
    counts = Counts(captured=5, used=3)
    assert counts.waiting == 2
    counts.drop("corrupt", 4)
    assert (counts.captured, counts.waiting) == (9, 2)
