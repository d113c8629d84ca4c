"""An iterator that runs in a thread of its own, a little ahead of its consumer."""

import threading
from collections.abc import Iterable, Iterator
from typing import Final, Generic, Self, TypeVar

from .mailbox import Mailbox

T = TypeVar("T")

DEPTH: Final = 8  # items waiting: enough that neither side waits for the other, and few enough pictures


class Ahead(Generic[T]):
    """The items of an iterator, none of them None; a context manager, whose thread has ended once it is left.

    Iterating raises what the iterator raised, after all the items that came before.
    """

    def __init__(self, items: Iterable[T]) -> None:
        self._items = items
        self._mailbox: Mailbox[T] = Mailbox(DEPTH, "all")
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="enrapt ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._mailbox.close()
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while (item := self._mailbox.get()) is not None:
            yield item
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._mailbox.put(item):
                    return
        except BaseException as error:  # raised where the items are used
            self._error = error
        finally:
            self._mailbox.close()
