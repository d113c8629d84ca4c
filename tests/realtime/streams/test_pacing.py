from hypothesis import given, settings
from hypothesis import strategies as st

from enrapt.realtime.streams.alignment import Aligner
from enrapt.realtime.streams.pacing import Pacing
from enrapt.realtime.streams.samples import Sample

MS = 1_000_000
AGES = {"face": 250 * MS, "audio": 100 * MS}


def pacing(running=("face", "audio"), max_wait=50 * MS):
    return Pacing(Aligner(0, 25, AGES), running, max_wait)


def sample(modality, ms, sequence=0):
    return Sample(modality, round(ms * MS), None, sequence)


def take(p, modality, ms, now, reached=None):
    """A sample of that time comes, and with it nothing else is to be expected up to it, or to `reached`."""
    until = ms if reached is None else reached
    p.take(modality, [sample(modality, ms)], round(until * MS), round(now * MS))


def ticks(due):
    return [d.observation.tick for d in due]


def test_a_tick_is_told_when_every_running_source_has_passed_it():
    p = pacing()
    take(p, "face", 45, 55)
    assert ticks(p.due(55 * MS)) == [0]  # by its deadline
    take(p, "audio", 41, 60)
    (due,) = p.due(60 * MS)
    assert due.observation.tick == 1
    assert due.waits == {"face": 15 * MS, "audio": 20 * MS}


def test_a_tick_waits_no_longer_than_its_deadline_and_says_what_it_did_not_wait_for():
    p = pacing()
    take(p, "face", 1, 30)
    assert ticks(p.due(49 * MS)) == []
    assert p.deadline == 50 * MS
    (due,) = p.due(50 * MS)
    assert due.waits == {"face": 30 * MS}
    assert due.newest is None  # 1 ms is for tick 1
    assert p.deadline == 90 * MS


def test_nobody_waits_for_a_source_that_is_lost_or_was_never_there():
    p = pacing(running=("face",))
    take(p, "face", 5, 5)
    assert ticks(p.due(6 * MS)) == [0]
    p.lost("face")
    assert ticks(p.due(85 * MS)) == [1, 2]


def test_ticks_come_at_their_rate_when_nothing_arrives():
    p = pacing(max_wait=0)
    assert [ticks(p.due(k * 40 * MS)) for k in range(5)] == [[0], [1], [2], [3], [4]]


def test_no_tick_is_told_before_its_time():
    p = pacing()
    take(p, "face", 500, 10)  # a clock that is ahead
    take(p, "audio", 500, 10)
    assert ticks(p.due(10 * MS)) == [0]


def test_what_is_expected_only_later_is_not_waited_for():
    p = pacing()
    take(p, "audio", 30, 31, reached=70)
    take(p, "face", 30, 31, reached=60)
    assert ticks(p.due(31 * MS)) == [0]
    assert p.deadline == 40 * MS  # not a moment later
    (due,) = p.due(40 * MS)
    assert due.waits == {"face": 0, "audio": 0}
    take(p, "face", 50, 55)  # sooner than expected: late for nothing yet
    assert p.deadline == 130 * MS
    take(p, "face", 85, 90)
    p.take("audio", [], 80 * MS, 95 * MS)  # it has nothing, and says so
    assert ticks(p.due(95 * MS)) == [2]


arrivals = st.lists(
    st.tuples(
        st.sampled_from(["face", "audio", "lost"]), st.floats(0, 30), st.floats(0, 80), st.floats(0, 50)
    ),
    max_size=60,
)


@settings(max_examples=200, deadline=None)
@given(arrivals)
def test_every_tick_is_told_once_in_order_and_in_time_whatever_arrives(arrivals):
    p, now, told = pacing(), 0, []
    for kind, wait, delay, ahead in arrivals:
        # The loop wakes at every deadline that comes before the next arrival.
        while p.deadline <= now + round(wait * MS):
            now = p.deadline
            told += [(d, now) for d in p.due(now)]
        now += round(wait * MS)
        if kind == "lost":
            p.lost("face")
        else:
            take(p, kind, max(now / MS - delay, 0), now / MS, max(now / MS - delay, 0) + ahead)
        told += [(d, now) for d in p.due(now)]
    assert [d.observation.tick for d, _ in told] == list(range(len(told)))
    assert all(0 <= at - d.observation.time <= 50 * MS for d, at in told)
    assert all(0 <= wait <= at - d.observation.time for d, at in told for wait in d.waits.values())
    assert len(told) >= (now - 50 * MS) // (40 * MS)
