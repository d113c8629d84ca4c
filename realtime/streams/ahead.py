"""An iterator that runs in a thread of its own, a little ahead of whoever uses what it gives."""

import queue
import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final, Generic, Self, TypeVar

T = TypeVar("T")

DEPTH: Final = 8  # items waiting: enough that neither side waits for the other, and few enough pictures


class _End:
    """Comes after the last item, with what ended the iterator early."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Ahead(Generic[T]):
    """The items of an iterator; a context manager, whose thread has ended once it is left.

    Iterating raises what the iterator raised, after all the items that came before.
    """

    def __init__(self, items: Iterable[T]) -> None:
        self._items = items
        self._queue: queue.Queue[T | _End] = queue.Queue(DEPTH)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="enrapt ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while not isinstance(item := self._queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error

    def _run(self) -> None:
        end = _End(None)
        try:
            for item in self._items:
                if not self._hand_over(item):
                    return
        except BaseException as error:  # whatever it is, it is raised where the items are used
            end.error = error
        self._hand_over(end)

    def _hand_over(self, item: T | _End) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False
