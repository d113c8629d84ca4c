"""A mailbox keeps order and bound, counts every item once, and releases blocked callers when it is closed."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.realtime.streams.mailbox import Mailbox, Policy

# Positive: put an item of that size; otherwise what its name says.
ACTIONS = st.lists(
    st.integers(1, 12) | st.sampled_from(["get", "lose", "refuse", "clear", "close"]), max_size=60
)


class Model:
    """The same in the plainest way."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.items, self.closed = capacity, list[tuple[int, int]](), False
        self.captured = self.used = self.dropped = 0

    def put(self, item: tuple[int, int]) -> bool:
        if self.closed:
            return False
        self.captured += 1
        self.items.append(item)
        while len(self.items) > 1 and sum(size for _, size in self.items) > self.capacity:
            self.items.pop(0)
            self.dropped += 1
        return True

    def get(self) -> tuple[int, int] | None:
        if not self.items:
            return None
        self.used += 1
        return self.items.pop(0)


@given(st.integers(1, 20), ACTIONS)
def test_order_bound_and_conservation_under_the_policy_latest(capacity, actions):
    mailbox: Mailbox[tuple[int, int]] = Mailbox(capacity, size=lambda item: item[1])
    model = Model(capacity)
    for number, action in enumerate(actions):
        if isinstance(action, int):
            assert mailbox.put((number, action)) == model.put((number, action))
        elif action == "get":
            assert mailbox.get(0) == model.get()
        elif action == "lose":
            if model.used:
                mailbox.lose("failed")
                model.used, model.dropped = model.used - 1, model.dropped + 1
        elif action == "refuse":
            mailbox.refuse("broken")
            model.captured, model.dropped = model.captured + 1, model.dropped + 1
        elif action == "clear":
            mailbox.clear("after_end")
            model.dropped += len(model.items)
            model.items.clear()
        else:
            mailbox.close()
            model.closed = True
        counts = mailbox.counts
        assert (counts.captured, counts.used) == (model.captured, model.used)
        assert counts.dropped.total() == model.dropped
        assert counts.waiting == len(mailbox) == len(model.items)
        assert mailbox.closed == model.closed
    while (item := model.get()) is not None:
        assert mailbox.get(0) == item
    assert mailbox.get(0) is None


@pytest.mark.parametrize("policy", ["latest", "all"])
@given(capacity=st.integers(1, 5), threads=st.integers(1, 3), each=st.integers(0, 30))
def test_from_several_threads_each_ones_items_stay_in_order_and_all_are_counted(
    policy: Policy, capacity: int, threads: int, each: int
) -> None:
    mailbox: Mailbox[tuple[int, int]] = Mailbox(capacity, policy, reason="slow")
    most = 0

    def put(thread: int) -> None:
        for number in range(each):
            mailbox.put((thread, number))

    writers = [threading.Thread(target=put, args=(thread,)) for thread in range(threads)]
    closer = threading.Thread(target=lambda: [*(writer.join() for writer in writers), mailbox.close()])
    for thread in (*writers, closer):
        thread.start()
    got = []
    while (item := mailbox.get(5)) is not None:
        got.append(item)
        most = max(most, len(mailbox))
    closer.join()
    assert most <= capacity
    for thread in range(threads):
        numbers = [number for owner, number in got if owner == thread]
        assert numbers == sorted(set(numbers))
    counts = mailbox.counts
    assert (counts.captured, counts.used, counts.waiting) == (threads * each, len(got), 0)
    assert policy == "latest" or len(got) == threads * each
    assert counts.dropped.keys() <= {"slow"}


def started(function) -> tuple[threading.Thread, list[object]]:
    """A thread that is blocked in the function by now, and where its result will be."""
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    time.sleep(0.02)
    assert results == []
    return thread, results


def test_under_the_policy_all_put_blocks_until_there_is_room():
    mailbox: Mailbox[str] = Mailbox(1, "all")
    mailbox.put("first")
    thread, results = started(lambda: mailbox.put("second"))
    assert mailbox.get() == "first"
    thread.join(5)
    assert results == [True]
    assert mailbox.get() == "second"


@pytest.mark.parametrize("release", [lambda m: m.close(), lambda m: m.clear("after_end")])
def test_closing_or_clearing_releases_a_blocked_put(release):
    mailbox: Mailbox[str] = Mailbox(1, "all")
    mailbox.put("first")
    thread, results = started(lambda: mailbox.put("second"))
    release(mailbox)
    thread.join(5)
    assert results == [not mailbox.closed]
    assert mailbox.counts.waiting == 1


def test_closing_releases_a_blocked_get():
    mailbox: Mailbox[str] = Mailbox(1)
    thread, results = started(mailbox.get)
    mailbox.close()
    thread.join(5)
    assert results == [None]


def test_what_was_put_before_closing_can_still_be_got():
    mailbox: Mailbox[str] = Mailbox(2)
    mailbox.put("before")
    mailbox.close()
    assert mailbox.put("after") is False
    assert (mailbox.get(), mailbox.get()) == ("before", None)
    assert mailbox.counts.captured == 1


def test_get_waits_no_longer_than_its_timeout():
    began = time.monotonic()
    assert Mailbox[str](1).get(0.05) is None
    assert 0.04 < time.monotonic() - began < 1
