"""An iterator that runs in a thread of its own, a little ahead of its consumer."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from .mailbox import Mailbox

T = TypeVar("T")

DEPTH: Final = 8  # items waiting: enough that neither side waits for the other, and few enough pictures


@contextmanager
def ahead(items: Iterable[T], size: Callable[[T], int] = lambda item: 1) -> Iterator[Iterator[T]]:
    """The same items, none of them None. The thread has ended once the context is left.

    Items wait up to a size of `DEPTH` in all, and one more.

    Iterating raises what the iterator raised, after all the items that came before.
    """
    mailbox: Mailbox[T] = Mailbox(DEPTH, "all", size=size)
    failure: BaseException | None = None

    def run() -> None:
        nonlocal failure
        try:
            for item in items:
                if not mailbox.put(item):
                    return
        except BaseException as error:  # raised where the items are used
            failure = error
        finally:
            mailbox.close()

    def taken() -> Iterator[T]:
        while (item := mailbox.get()) is not None:
            yield item
        if failure is not None:
            raise failure

    thread = threading.Thread(target=run, name="enrapt ahead", daemon=True)
    thread.start()
    try:
        yield taken()
    finally:
        mailbox.close()
        thread.join()
