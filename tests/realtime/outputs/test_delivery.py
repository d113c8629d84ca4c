"""The caller neither waits nor gets errors, and every item is counted."""

import threading
import time

import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.engine.estimate import Engagement, Estimate
from enrapt.realtime.outputs import Outputs, delivery
from enrapt.realtime.outputs.delivery import WAITING, Delivery
from enrapt.realtime.outputs.output import Destination
from enrapt.realtime.streams.samples import Observation

pytestmark = pytest.mark.live

SEEN = Observation(0, 0, {}, {})


def estimate(tick: int) -> Estimate:
    return Estimate(tick, tick / 25, Engagement(0.5, 0.1, 0.4, 0.6), {}, {}, {})


class Place:
    """An output that can be held, fail, and be away."""

    def __init__(self) -> None:
        self.got, self.ends, self.openings = [], [], 0
        self.free, self.fails, self.away = threading.Event(), False, False
        self.error: Exception = ConnectionResetError("reset")
        self.free.set()

    def open(self) -> "Place":
        self.openings += 1
        if self.away:
            raise ConnectionRefusedError("refused")
        return self

    def write(self, estimate, observation):
        self.free.wait()
        if self.fails:
            raise self.error
        self.got.append(estimate.tick)

    def mark(self, t, label):
        self.got.append(label)

    def close(self, complete):
        self.ends.append(complete)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(delivery, "BACK_OFF", (0.05, 0.1))
    monkeypatch.setattr(delivery, "LEAVING", 0.3)


def until(condition, seconds=2.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def begun(place: Place, lines: list[str], **options) -> Delivery:
    return Delivery(Destination("there://", place.open, True), lines.append, **options)


def test_everything_is_delivered_in_order_also_at_the_end():
    place, lines = Place(), []
    d = begun(place, lines)
    for tick in range(50):
        d.write(estimate(tick), SEEN)
    d.mark(2.0, "smiles")
    d.close(True)
    assert place.got == [*range(50), "smiles"]
    assert place.ends == [True]
    assert (d.counts.captured, d.counts.used, d.counts.waiting) == (51, 51, 0)
    assert lines == []


def test_a_slow_output_drops_the_oldest_and_never_blocks():
    place = Place()
    d = begun(place, [])
    place.free.clear()
    began = time.perf_counter()
    for tick in range(WAITING + 101):
        d.write(estimate(tick), SEEN)
    assert time.perf_counter() - began < 0.5
    place.free.set()
    d.close(True)
    assert place.got[-WAITING:] == list(range(101, WAITING + 101))
    assert 100 <= d.counts.dropped["full"] <= 101  # one may have been on its way
    assert d.counts.waiting == 0


def test_an_output_that_hangs_is_abandoned_at_the_end():
    place = Place()
    d = begun(place, [])
    place.free.clear()
    for tick in range(10):
        d.write(estimate(tick), SEEN)
    began = time.perf_counter()
    d.close(True)
    assert time.perf_counter() - began < 1
    assert d.counts.dropped["after_end"] == 9
    place.free.set()


def test_under_the_policy_all_nothing_is_dropped():
    place = Place()
    d = begun(place, [], policy="all")
    place.free.clear()
    threading.Timer(0.2, place.free.set).start()
    for tick in range(WAITING + 100):
        d.write(estimate(tick), SEEN)
    d.close(True)
    assert place.got == list(range(WAITING + 100))


def test_a_lost_output_is_opened_again_with_one_warning_each_way():
    place, lines = Place(), []
    place.away = True
    d = begun(place, lines)
    for tick in range(20):
        d.write(estimate(tick), SEEN)
        time.sleep(0.01)
    assert d.state == "lost"
    assert lines == ["there://: refused; trying again"]
    assert place.openings < 10  # not at every estimate
    place.away = False
    until(lambda: d.write(estimate(20), SEEN) or d.state == "open")
    until(lambda: lines[1:] == ["there://: is back"])
    place.fails = True
    until(lambda: d.write(estimate(21), SEEN) or d.state == "lost")
    place.fails = False
    until(lambda: d.write(estimate(22), SEEN) or d.state == "open")
    d.close(True)
    assert lines[2:] == ["there://: reset; trying again", "there://: is back"]
    assert d.counts.waiting == 0
    assert d.counts.dropped["unreachable"] >= 20
    assert d.counts.dropped["failed"] >= 1


@pytest.mark.parametrize("policy", ["latest", "all"])
@pytest.mark.parametrize("where", ["open", "write", "close"])
def test_an_unexpected_error_ends_the_output_with_a_line_and_counts(monkeypatch, where, policy):
    """Its thread goes on: a caller that waits for room would wait for ever."""
    place, lines = Place(), []

    def fail(*_):
        raise ValueError("a bug")

    monkeypatch.setattr(place, where, fail)
    d = begun(place, lines, policy=policy)
    for tick in range(WAITING + 50):
        d.write(estimate(tick), SEEN)
    until(lambda: d.counts.waiting == 0)
    d.close(True)
    assert lines == ["there://: ValueError: a bug"]
    if where != "close":
        assert d.state == "failed"
        assert d.counts.used == 0
        assert d.counts.dropped["unreachable"] > 0


def test_a_warning_that_nobody_can_read_does_not_end_the_thread():
    place, threads = Place(), []
    place.away = True

    def warn(line):
        threads.append(threading.current_thread())
        raise BrokenPipeError

    d = Delivery(Destination("there://", place.open, True), warn)
    d.write(estimate(0), SEEN)
    until(lambda: threads)
    time.sleep(0.1)
    place.away = False
    until(lambda: d.write(estimate(1), SEEN) or place.got)
    d.close(True)


def test_an_output_that_fails_does_not_affect_the_others(tmp_path):
    lines = []
    with Outputs([f"jsonl:{tmp_path / 'a'}", "jsonl:/dev/full"], live=True, warn=lines.append) as outputs:
        for tick in range(10):
            outputs.write(estimate(tick), SEEN)
    assert len((tmp_path / "a").read_bytes().splitlines()) == 10
    assert lines == ["jsonl:/dev/full: cannot be written (No space left on device)"]
    counts = outputs.counts
    assert counts[f"jsonl:{tmp_path / 'a'}"].used == 10
    assert counts["jsonl:/dev/full"].dropped.total() == 10


def test_if_one_address_is_wrong_none_stays_open(tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        Outputs([f"jsonl:{tmp_path / 'a'}", f"csv:{tmp_path}"], live=True, warn=pytest.fail)
    assert list(tmp_path.iterdir()) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("enrapt jsonl")]
