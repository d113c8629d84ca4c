"""A bounded queue from any threads to one, with a delivery policy and counts."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, Literal, TypeVar

from .counts import Counts

T = TypeVar("T")

Policy = Literal["latest", "all"]


class Mailbox(Generic[T]):
    """Items in the order in which they were put.

    Args:
        capacity: how much may wait: items, or the unit of `size`. One item always fits, however large.
        policy: what happens to an item for which there is no room. `latest`: it displaces the oldest;
            `all`: `put` blocks until there is room.
        reason: under which displaced items are counted.
        size: of an item.

    Attributes:
        counts: captured (put or refused) = used (got) + dropped by reason + waiting, at any time.
    """

    def __init__(
        self,
        capacity: int,
        policy: Policy = "latest",
        reason: str = "full",
        size: Callable[[T], int] = lambda item: 1,
    ) -> None:
        self.counts = Counts()
        self._capacity, self._policy, self._reason, self._size_of = capacity, policy, reason, size
        self._items: deque[T] = deque()
        self._size = 0
        self._closed = False
        self._changed = threading.Condition()  # guards the items, their size and the counts

    def put(self, item: T) -> bool:
        """Add an item; False, and nothing is counted, once the mailbox is closed."""
        size = self._size_of(item)
        with self._changed:
            if self._policy == "all":
                self._changed.wait_for(lambda: self._closed or self._fits(size))
            if self._closed:
                return False
            self.counts.captured += 1
            while not self._fits(size):
                self._pop()
                self.counts.dropped[self._reason] += 1
            self._items.append(item)
            self._size += size
            self._changed.notify_all()
            return True

    def get(self, timeout: float | None = None) -> T | None:
        """The oldest item; None if none comes within `timeout` seconds, or when closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout)
            if not self._items:
                return None
            item = self._pop()
            self.counts.used += 1
            self._changed.notify_all()
            return item

    def refuse(self, reason: str) -> None:
        """Count an item as captured and dropped, without adding it; also when closed."""
        with self._changed:
            self.counts.drop(reason)

    def lose(self, reason: str) -> None:
        """Count an item that was got as dropped: it could not be used."""
        with self._changed:
            self.counts.used -= 1
            self.counts.dropped[reason] += 1

    def close(self) -> None:
        """Accept nothing more, and release blocked callers; what waits can still be got."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def clear(self, reason: str) -> None:
        """Drop all that waits."""
        with self._changed:
            self.counts.dropped[reason] += len(self._items)
            self._items.clear()
            self._size = 0
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed

    def __len__(self) -> int:
        return len(self._items)

    def _pop(self) -> T:
        item = self._items.popleft()
        self._size -= self._size_of(item)
        return item

    def _fits(self, size: int) -> bool:
        return not self._items or self._size + size <= self._capacity
