"""Whether a modality is missing, and why: ticks and counts without a clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.realtime.streams.absence import MISSING, RETURNED, Absence, Reason, cause, describe_late
from enrapt.realtime.streams.alignment import Aligner
from enrapt.realtime.streams.counts import Counts
from enrapt.realtime.streams.samples import SECOND, Sample

MS = 1_000_000
TICK = 40 * MS
AGE = 250 * MS


def why(kind, recent, span):
    return Reason(kind, f"{kind}, {recent.captured} in {span / SECOND:.0f} s")


class Ticks:
    """Ticks of a modality, and its counts."""

    def __init__(self):
        self.absence, self.counts, self.at = Absence(TICK, AGE), Counts(), 0

    def go(self, seconds, present, **fault):
        """So many seconds of ticks; before each, one sample with these counts. The reasons, one a tick."""
        reasons = []
        for _ in range(round(seconds * SECOND / TICK)):
            for name, n in fault.items():
                if name in ("delivered", "empty", "late", "used"):
                    setattr(self.counts, name, getattr(self.counts, name) + n)
                    self.counts.captured += n * (name == "delivered")
                else:
                    self.counts.drop(name, n)
            self.absence.update(self.at, present, self.counts, why)
            self.at += TICK
            reasons.append(self.absence.reason)
        return reasons


def test_there_is_a_reason_after_two_seconds_without_and_none_after_one_with_it():
    ticks = Ticks()
    assert not any(ticks.go(10, True, delivered=1))
    reasons = ticks.go(4, False, repeated=1)
    first = next(i for i, reason in enumerate(reasons) if reason)
    assert first * TICK == pytest.approx(MISSING, abs=TICK)
    assert {reason.kind for reason in reasons[first:]} == {"repeated"}
    reasons = ticks.go(3, True, delivered=1)
    last = next(i for i, reason in enumerate(reasons) if not reason)
    assert last * TICK == pytest.approx(RETURNED, abs=TICK)
    assert not any(reasons[last:])
    ((kind, (text, ns)),) = ticks.absence.lasted.items()
    assert kind == "repeated"
    assert text.startswith("repeated, ")
    assert ns == pytest.approx(4 * SECOND, abs=TICK)


def test_what_came_before_it_was_missing_is_no_evidence():
    ticks = Ticks()
    ticks.go(10, True, delivered=1)
    assert ticks.go(2.1, False)[-1].kind == "nothing"


def test_a_short_gap_now_and_then_has_no_reason_and_no_length():
    ticks = Ticks()
    for _ in range(20):
        assert not any(ticks.go(1.5, False))
        assert not any(ticks.go(1.6, True, delivered=1))
    assert not ticks.absence.lasted


def test_a_modality_that_is_there_for_moments_keeps_its_reason():
    ticks = Ticks()
    ticks.go(4, False, delivered=1, late=1)
    for _ in range(20):
        assert all(ticks.go(0.4, True, delivered=1, late=1))
        assert all(ticks.go(0.6, False, delivered=1, late=1))


def test_the_reason_changes_with_what_happens_and_each_has_its_length():
    ticks = Ticks()
    ticks.go(10, False, delivered=1, empty=1)
    assert ticks.absence.reason.kind == "empty"
    ticks.go(10, False)
    assert ticks.absence.reason.kind == "nothing"
    lasted = {kind: ns for kind, (_, ns) in ticks.absence.lasted.items()}
    assert sum(lasted.values()) == pytest.approx(20 * SECOND, abs=2 * TICK)
    assert lasted["nothing"] > 4 * SECOND


def test_numbers_in_a_reason_do_not_flicker():
    ticks = Ticks()
    texts = [reason.text for reason in ticks.go(20, False, repeated=1) if reason]
    assert 1 < len(set(texts)) <= 5


@given(st.lists(st.tuples(st.integers(1, 90), st.booleans()), max_size=30))
def test_no_more_is_explained_than_was_missing_and_all_of_a_long_absence(stretches):
    ticks, missing = Ticks(), 0
    for n, present in stretches:
        ticks.go(n * TICK / SECOND, present)
        missing += 0 if present else n * TICK
    explained = sum(ns for _, ns in ticks.absence.lasted.values())
    assert explained <= missing
    ticks.go(10, True)
    assert ticks.absence.reason is None
    ticks.go(3, False)
    assert sum(ns for _, ns in ticks.absence.lasted.values()) == explained + 3 * SECOND


def test_a_pause_forgets_the_reason():
    ticks = Ticks()
    ticks.go(5, False)
    ticks.absence.reset()
    assert ticks.absence.reason is None
    assert not any(ticks.go(1.9, False))


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        ("nothing", {}),
        ("nothing", {"paused": 100}),
        ("repeated", {"repeated": 60, "delivered": 1}),
        ("broken", {"broken": 40, "delivered": 30, "empty": 30}),
        ("broken", {"broken": 30, "superseded": 200}),
        ("empty", {"delivered": 120, "empty": 110}),
        ("empty", {"delivered": 120, "empty": 120, "late": 120}),
        ("late", {"delivered": 125, "late": 125, "expired": 120}),
        ("late", {"delivered": 125, "late": 110, "superseded": 120}),  # in bursts
        ("slow", {"delivered": 5, "late": 5}),
        ("skipped", {"delivered": 5, "skipped": 145}),
        ("skipped", {"skipped": 145}),
        ("breaks", {"delivered": 60}),
        ("wrong_time", {"wrong_time": 20, "delivered": 60}),
    ],
)
def test_the_cause_is_what_most_samples_have_in_common(kind, counts):
    ticks = Ticks()
    ticks.go(TICK / SECOND, False, **counts)
    assert cause(ticks.counts, 5 * SECOND, AGE) == kind


def test_alignment_counts_what_the_cause_needs():
    aligner = Aligner(0, 25, {"face": AGE})
    aligner.push(Sample("face", 0, None, 0))
    list(aligner.release_until(SECOND))
    aligner.push(Sample("face", 10 * MS, None, 1))
    aligner.push(Sample("face", 2 * SECOND, None, 2))  # its tick has not come
    list(aligner.release_until(SECOND + TICK))
    counts = aligner.counts["face"]
    assert (counts.delivered, counts.empty, counts.late) == (2, 2, 1)
    before = counts.copy()
    counts.drop("broken", 3)
    recent = counts.since(before)
    assert (recent.captured, recent.delivered, recent.dropped["broken"]) == (3, 0, 3)
    assert before.captured == 3


@given(
    st.lists(st.integers(0, 9_900 * MS), min_size=1, max_size=200),
    st.integers(0, 10_000 * MS),
)
def test_the_wait_that_is_suggested_covers_nearly_all_samples(lateness, max_wait):
    text = describe_late(lateness, "audio", max_wait, 0)
    if "--max-wait" not in text:
        return
    wait = int(text.split()[-1]) * MS
    assert max_wait < wait <= 10_000 * MS
    assert wait % (50 * MS) == 0
    assert sum(ns <= wait for ns in lateness) >= 0.95 * len(lateness)


def test_the_phrase_for_what_comes_late():
    def text(ms, max_wait=50, offset=0):
        return describe_late([ms * MS] * 100, "audio", max_wait * MS, offset * MS)

    assert text(640) == "arrives 640 ms late; try --max-wait 700"
    assert text(172) == "arrives 170 ms late; try --max-wait 200"
    assert text(172, max_wait=200) == "arrives 170 ms late"
    assert text(5010, offset=-5000) == "arrives 5010 ms late by --offset audio=-5; leave that out"
    assert text(5640, offset=-5000) == "arrives 5640 ms late; try --max-wait 5700"
    behind = "arrives 9990 ms late; if its clock is behind, try --offset audio="
    assert text(9990) == f"{behind}9.99"
    assert text(9990, offset=2000) == f"{behind}11.99"
