"""An output in a thread of its own: whoever writes neither waits for it nor hears of its errors."""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from ...contracts.errors import UserError
from ..engine.estimate import Estimate
from ..streams.counts import Counts
from ..streams.samples import Observation
from .output import Opening, Output

WAITING: Final = 250  # items; ten seconds of estimates
BACK_OFF: Final = (0.5, 8.0)  # s between two attempts to open it: at first, doubled up to
LEAVING: Final = 3.0  # s that an output has for what still waits at the end

_Item = tuple[Estimate, Observation] | tuple[float, str]


class Delivery:
    """Hands over estimates and marks, in order. Where it is too slow the oldest are dropped, and counted.

    An output that cannot be reached, or is lost, is opened again with a growing pause.

    Args:
        opening: the output.
        trouble: called with a line for people, from a thread, when it is lost and when it is back.
        patient: `write` waits where there is no room, instead of dropping: nobody is in a hurry in a replay.

    Attributes:
        counts: captured = used (handed over) + dropped by reason + waiting. Dropped: `full` (it was too
            slow), `unreachable` (it was not open), `failed` (lost with it), `after_end` (no time was left).
        state: `open`, `lost` or `failed` (for good).
        unread: it is standard output, and whoever read it has gone.

    Raises:
        UserError: at construction, where it is opened only once: it cannot be.
    """

    def __init__(self, opening: Opening, trouble: Callable[[str], None], patient: bool = False) -> None:
        self._opening, self._trouble, self._patient = opening, trouble, patient
        self.counts = Counts()
        self.state = "lost"
        self.unread = False
        self._output: Output | None = None
        if not opening.again:
            self._opened(opening.open())
        self._pause, self._next_attempt = BACK_OFF[0], 0.0
        self._told = False  # that it is lost
        self._changed = threading.Condition()  # guards what follows and the counts
        self._waiting: deque[_Item] = deque()
        self._ending: bool | None = None  # `whole` of `close`
        self._thread = threading.Thread(target=self._run, name=f"enrapt {opening.address}", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return self._opening.address

    def write(self, estimate: Estimate, observation: Observation) -> None:
        self._put((estimate, observation))

    def mark(self, t: float, label: str) -> None:
        self._put((t, label))

    def close(self, whole: bool) -> None:
        """Hand over what waits, and end; a second time does nothing."""
        with self._changed:
            self._ending = whole if self._ending is None else self._ending
            self._changed.notify_all()
        self._thread.join(LEAVING)  # a disk or a peer may hang for longer than anybody waits
        with self._changed:
            self.counts.dropped["after_end"] += len(self._waiting)
            self._waiting.clear()

    def _put(self, item: _Item) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._patient or len(self._waiting) < WAITING)
            self.counts.captured += 1
            if len(self._waiting) == WAITING:
                self._waiting.popleft()
                self.counts.dropped["full"] += 1
            self._waiting.append(item)
            self._changed.notify_all()

    def _run(self) -> None:
        while (item := self._next()) is not None:
            if self._output is None:
                self._open()
            became = self._hand_over(item) if self._output is not None else "unreachable"
            with self._changed:
                if became is None:
                    self.counts.used += 1
                else:
                    self.counts.dropped[became] += 1
        if self._output is not None:
            try:
                self._output.close(bool(self._ending))
            except (OSError, UserError) as error:
                self._trouble(_line(error, self.address))

    def _next(self) -> _Item | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ending is not None)
            if not self._waiting:
                return None
            item = self._waiting.popleft()
            self._changed.notify_all()
            return item

    def _open(self) -> None:
        if self.state == "failed" or time.monotonic() < self._next_attempt:
            return
        try:
            self._opened(self._opening.open())
        except UserError as error:  # it will not get better
            self.state = "failed"
            self._trouble(_line(error, self.address))
        except OSError as error:
            self._next_attempt = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, BACK_OFF[1])
            self._tell_loss(error)
        else:
            self._pause = BACK_OFF[0]
            if self._told:
                self._told = False
                self._trouble(f"{self.address}: is back")

    def _opened(self, output: Output) -> None:
        self._output, self.state = output, "open"

    def _hand_over(self, item: _Item) -> str | None:
        """Why it was dropped, if it was."""
        assert self._output is not None
        try:
            if isinstance(item[0], Estimate):
                self._output.write(*item)
            else:
                self._output.mark(*item)
        except (OSError, UserError) as error:
            self.state = "lost" if self._opening.again else "failed"
            with contextlib.suppress(OSError, UserError):
                self._output.close(False)
            self._output = None
            self.unread = isinstance(error, BrokenPipeError) and not self._opening.again
            self._next_attempt = time.monotonic() + self._pause
            if not self.unread:
                self._tell_loss(error)
            return "failed"
        return None

    def _tell_loss(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            again = "; trying again" if self._opening.again else ""
            self._trouble(_line(error, self.address) + again)


def _line(error: Exception, address: str) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.startswith(address) else f"{address}: {text}"
