"""When ticks of a live run are emitted, without a clock."""

from hypothesis import given, settings
from hypothesis import strategies as st

from enrapt.realtime.streams.alignment import Aligner
from enrapt.realtime.streams.pacing import Pacing
from enrapt.realtime.streams.samples import Sample

MS = 1_000_000
AGES = {"face": 250 * MS, "audio": 100 * MS}


def pacing(running=("face", "audio"), max_wait=50 * MS):
    return Pacing(Aligner(0, 25, AGES), running, max_wait)


def push(p, modality, ms, now, reached=None):
    """A sample of that time arrives; its source's watermark is `reached`, or that time."""
    until = ms if reached is None else reached
    p.push(Sample(modality, round(ms * MS), None, 0), round(until * MS), round(now * MS))


def due(p, now):
    """Every observation that is due."""
    return list(iter(lambda: p.next(now), None))


def ticks(observations):
    return [observation.tick for observation in observations]


def test_a_tick_is_emitted_when_the_watermark_of_every_running_source_has_passed_it():
    p = pacing()
    push(p, "face", 45, 55)
    assert ticks(due(p, 55 * MS)) == [0]  # by its deadline
    push(p, "audio", 41, 60)
    (observation,) = due(p, 60 * MS)
    assert observation.tick == 1
    assert observation.timing.waits == {"face": 15, "audio": 20}


def test_a_tick_is_emitted_at_its_deadline_and_has_no_wait_of_what_had_not_arrived():
    p = pacing()
    push(p, "face", 1, 30)
    assert ticks(due(p, 49 * MS)) == []
    assert p.deadline == 50 * MS
    (observation,) = due(p, 50 * MS)
    assert observation.timing.waits == {"face": 30}
    assert observation.timing.newest is None  # 1 ms is for tick 1
    assert p.deadline == 90 * MS


def test_the_newest_originating_time_of_a_tick_is_that_of_its_newest_sample():
    p = pacing()
    push(p, "face", 30, 31)
    push(p, "face", 10, 32)
    push(p, "audio", 20, 33)
    assert [o.timing.newest for o in due(p, 90 * MS)] == [None, 30 * MS]
    push(p, "audio", 35, 91)  # late: it serves the next tick
    assert [o.timing.newest for o in due(p, 130 * MS)] == [35 * MS]


def test_a_lost_or_absent_source_is_not_waited_for():
    p = pacing(running=("face",))
    push(p, "face", 5, 5)
    assert ticks(due(p, 6 * MS)) == [0]
    p.lose("face")
    assert ticks(due(p, 85 * MS)) == [1, 2]


def test_a_lost_source_is_waited_for_again_once_it_delivers():
    p = pacing(running=("face",))
    p.lose("face")
    assert ticks(due(p, 1 * MS)) == [0]
    push(p, "face", 20, 25)
    assert ticks(due(p, 45 * MS)) == []
    assert p.deadline == 90 * MS


def test_ticks_are_emitted_at_their_rate_when_nothing_arrives():
    p = pacing(max_wait=0)
    assert [ticks(due(p, k * 40 * MS)) for k in range(5)] == [[0], [1], [2], [3], [4]]


def test_no_tick_is_emitted_before_its_time():
    p = pacing()
    push(p, "face", 500, 10)  # a clock that is ahead
    push(p, "audio", 500, 10)
    assert ticks(due(p, 10 * MS)) == [0]


def test_a_tick_does_not_wait_for_data_that_is_expected_only_after_it():
    p = pacing()
    push(p, "audio", 30, 31, reached=70)
    push(p, "face", 30, 31, reached=60)
    assert ticks(due(p, 31 * MS)) == [0]
    assert p.deadline == 40 * MS  # no later
    (observation,) = due(p, 40 * MS)
    assert observation.timing.waits == {"face": 0, "audio": 0}
    push(p, "face", 50, 55)  # sooner than expected: late for nothing yet
    assert p.deadline == 130 * MS
    push(p, "face", 85, 90)
    p.advance("audio", 80 * MS, 95 * MS)  # it has nothing, and its watermark says so
    assert ticks(due(p, 95 * MS)) == [2]


arrivals = st.lists(
    st.tuples(
        st.sampled_from(["face", "audio", "lost"]), st.floats(0, 30), st.floats(0, 80), st.floats(0, 50)
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(arrivals)
def test_every_tick_is_emitted_once_in_order_and_by_its_deadline_whatever_arrives(arrivals):
    p, now, emitted = pacing(), 0, []
    for kind, wait, delay, ahead in arrivals:
        # The loop wakes at every deadline that comes before the next arrival.
        while p.deadline <= now + round(wait * MS):
            now = p.deadline
            emitted += [(o, now) for o in due(p, now)]
        now += round(wait * MS)
        if kind == "lost":
            p.lose("face")
        else:
            push(p, kind, max(now / MS - delay, 0), now / MS, max(now / MS - delay, 0) + ahead)
        emitted += [(o, now) for o in due(p, now)]
    assert [o.tick for o, _ in emitted] == list(range(len(emitted)))
    assert all(0 <= at - o.time <= 50 * MS for o, at in emitted)
    assert all(0 <= wait <= (at - o.time) / 1e6 for o, at in emitted for wait in o.timing.waits.values())
    assert len(emitted) >= (now - 50 * MS) // (40 * MS)
