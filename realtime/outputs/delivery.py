"""An output in a thread of its own: the caller neither waits for it nor gets its errors."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final

from ...contracts.errors import UserError
from ..engine.estimate import Estimate
from ..streams.counts import Counts
from ..streams.mailbox import Mailbox, Policy
from ..streams.samples import Observation
from .output import Destination, Output

WAITING: Final = 250  # items; ten seconds of estimates
BACK_OFF: Final = (0.5, 8.0)  # s between two attempts to open it: the first pause, doubled up to the second
_FAILURES: Final = ("failed", "unreachable", "after_end")  # reasons; `full` is a reader that is slow
LEAVING: Final = 3.0  # s that an output has at the end for the items that wait

_Item = tuple[Estimate, Observation] | tuple[float, str]


class Delivery:
    """Delivers estimates and marks in order.

    An output that cannot be reached, or is lost, is opened again with a growing pause.

    Args:
        warn: called with one line, from a thread, when the output is lost and when it is back.
        policy: `latest` drops the oldest items when the output is too slow, `all` blocks the caller.

    Attributes:
        counts: captured = used (delivered) + dropped by reason + waiting. Dropped: `full` (the output was too
            slow), `unreachable` (it was not open), `failed` (lost with it), `after_end` (no time was left).
        state: `open`, `lost` or `failed` (permanently).
        reader_gone: it is standard output, and its reader has gone.
        unfinished: at the end it could not be closed, or did not end in time.

    Raises:
        UserError: at construction, an output that is opened only once cannot be opened.
    """

    def __init__(self, to: Destination, warn: Callable[[str], None], policy: Policy = "latest") -> None:
        self._destination, self._address, self._warn = to, to.address, warn
        self._mailbox: Mailbox[_Item] = Mailbox(WAITING, policy)
        self.counts: Counts = self._mailbox.counts
        self.state = "lost"
        self.reader_gone = self.unfinished = False
        self._output: Output | None = None
        if not to.reopen:
            self._output, self.state = to.open(), "open"
        self._pause, self._next_attempt = BACK_OFF[0], 0.0
        self._warned = False  # that it is lost
        self._complete: bool | None = None  # of `close`
        self._thread = threading.Thread(target=self._run, name=f"enrapt {self._address}", daemon=True)
        self._thread.start()

    def write(self, estimate: Estimate, observation: Observation) -> None:
        self._mailbox.put((estimate, observation))

    def mark(self, t: float, label: str) -> None:
        self._mailbox.put((t, label))

    def close(self, complete: bool) -> None:
        """Deliver the items that wait, and end; a second call does nothing."""
        if self._complete is None:
            self._complete = complete
        self._mailbox.close()
        self._thread.join(LEAVING)  # a disk or a server may hang
        self.unfinished = self.unfinished or self._thread.is_alive()
        self._mailbox.clear("after_end")

    @property
    def failure(self) -> str:
        """What was lost by a failure, in a line; empty if nothing."""
        lost = [f"{n} {why.replace('_', ' ')}" for why in _FAILURES if (n := self.counts.dropped[why])]
        if self.reader_gone or not (lost or self.unfinished):
            return ""
        what = [f"of {self.counts.captured} estimates and marks {', '.join(lost)}"] if lost else []
        return f"{self._address}: {'; '.join(what + ['it could not be completed'] * self.unfinished)}"

    def _run(self) -> None:
        while (item := self._mailbox.get()) is not None:
            if self._output is None:
                self._open()
            if self._output is None:
                self._mailbox.lose("unreachable")
            elif not self._deliver(self._output, item):
                self._mailbox.lose("failed")
        if self._output is not None:
            try:
                self._output.close(bool(self._complete))
            except Exception as error:
                self.unfinished = True
                self._report(error)

    def _open(self) -> None:
        if self.state == "failed" or time.monotonic() < self._next_attempt:
            return
        try:
            self._output, self.state = self._destination.open(), "open"
        except OSError as error:
            self._next_attempt = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, BACK_OFF[1])
            self._report_loss(error)
        except Exception as error:  # trying again would not help
            self.state = "failed"
            self._report(error)
        else:
            self._pause = BACK_OFF[0]
            if self._warned:
                self._warned = False
                self._say("is back")

    def _deliver(self, output: Output, item: _Item) -> bool:
        try:
            if isinstance(item[0], Estimate):
                output.write(*item)
            else:
                output.mark(*item)
        except Exception as error:
            passing = self._destination.reopen and isinstance(error, (OSError, UserError))
            self.state = "lost" if passing else "failed"
            with contextlib.suppress(Exception):
                output.close(False)
            self._output = None
            self.reader_gone = isinstance(error, BrokenPipeError) and not self._destination.reopen
            self._next_attempt = time.monotonic() + self._pause
            if not self.reader_gone:
                self._report_loss(error)
            return False
        return True

    def _report_loss(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            self._report(error, "; trying again" if self.state == "lost" else "")

    def _report(self, error: Exception, end: str = "") -> None:
        text = " ".join(str(error).split())
        if not text or not isinstance(error, (OSError, UserError)):
            text = f"{type(error).__name__}: {text}".removesuffix(": ")
        self._say(text + end)

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            self._warn(text if text.startswith(self._address) else f"{self._address}: {text}")
