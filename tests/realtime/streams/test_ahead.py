"""The thread: nothing lost, nothing left running."""

import threading
from collections.abc import Iterator
from itertools import count, islice

import pytest

from enrapt.realtime.streams.ahead import DEPTH, ahead


def running() -> int:
    return sum(thread.name == "enrapt ahead" for thread in threading.enumerate())


def failing(n: int, error: BaseException) -> Iterator[int]:
    yield from range(n)
    raise error


@pytest.mark.parametrize("n", [0, 1, DEPTH, 1000])
def test_all_items_come_in_order_from_another_thread(n):
    threads = set()

    def items() -> Iterator[int]:
        for k in range(n):
            threads.add(threading.current_thread())
            yield k

    with ahead(items()) as taken_ahead:
        assert list(taken_ahead) == list(range(n))
    assert threading.current_thread() not in threads
    assert not running()


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("n", [0, 3, 100])
def test_what_the_iterator_raises_comes_after_what_it_gave(n, error):
    found: list[int] = []
    with ahead(failing(n, error)) as taken_ahead, pytest.raises(type(error)):
        found.extend(taken_ahead)
    assert found == list(range(n))
    assert not running()


@pytest.mark.parametrize("taken", [0, 1, 100])
def test_leaving_stops_the_thread_wherever_it_is(taken):
    with ahead(count()) as taken_ahead:
        assert list(islice(taken_ahead, taken)) == list(range(taken))
        assert running()
    assert not running()


def test_it_is_ahead_by_no_more_than_its_depth():
    given = 0

    def items() -> Iterator[int]:
        nonlocal given
        while True:
            given += 1
            yield given

    with ahead(items()) as taken_ahead:
        for taken in islice(taken_ahead, 100):
            assert given <= taken + DEPTH + 1


def test_one_may_run_ahead_of_another():
    with ahead(count()) as numbers, ahead(k * k for k in numbers) as squares:
        assert list(islice(squares, 1000)) == [k * k for k in range(1000)]
        assert running() == 2
    assert not running()


def test_leaving_closes_what_the_iteration_opened():
    closed = threading.Event()

    class Endless:
        def __iter__(self) -> Iterator[int]:
            try:
                yield from count()
            finally:
                closed.set()

    endless = Endless()
    with ahead(endless) as taken_ahead:
        next(iter(taken_ahead))
    assert closed.is_set()
