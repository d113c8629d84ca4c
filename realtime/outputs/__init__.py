"""Where estimates go, named by address. `Outputs` takes several addresses at once."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ...contracts.errors import UserError
from ..engine.estimate import Estimate
from ..streams.counts import Counts
from ..streams.samples import Observation
from .addresses import opening
from .delivery import Delivery
from .output import Output
from .page import PageOpening

if TYPE_CHECKING:
    from ..page.server import PageServer

__all__ = ["Outputs"]


class Outputs:
    """Several outputs; one that fails or is slow holds up nobody else. A context manager.

    Leaving it closes them, also on the ways out that a person takes (`KeyboardInterrupt`, `UserError`,
    `BrokenPipeError`): what is there is whole then. After any other exception files do not get their names.

    Args:
        addresses: see `addresses.opening`.
        live: whether time is short. Otherwise files are written by who calls, and their errors are raised.
        trouble: called with a line for people when an output is lost and when it is back, from any thread.

    Attributes:
        page: the page's server, None where none was asked for.

    Raises:
        UserError: at construction, an address means nothing, or a file cannot be written; later, not live, a
            file cannot be written any more.
    """

    def __init__(self, addresses: Sequence[str], *, live: bool, warn: Callable[[str], None]) -> None:
        openings = [opening(address) for address in addresses]
        if sum(isinstance(one, PageOpening) for one in openings) > 1:
            raise UserError("ui, ws and http are names of one server: give one of them, once")
        self.page: PageServer | None = None
        self._deliveries: list[Delivery] = []
        self._outputs: list[Output] = []
        with ExitStack() as opened:  # of several, none stays open if one does not open
            for one in openings:
                if isinstance(one, PageOpening):
                    self.page = one.open()
                    self._page_address = one.address
                    self._outputs.append(self.page)
                elif live or one.again:
                    delivery = Delivery(one, warn, patient=not live)
                    self._deliveries.append(delivery)
                    self._outputs.append(delivery)
                else:
                    self._outputs.append(one.open())
                opened.callback(self._outputs[-1].close, False)
            opened.pop_all()
        self._written = False

    def write(self, estimate: Estimate, observation: Observation) -> None:
        """Hand over one tick: what the model says, and what it was shown.

        Raises:
            BrokenPipeError: whoever read standard output has gone.
        """
        self._written = True
        if any(delivery.unread for delivery in self._deliveries):
            raise BrokenPipeError
        for output in self._outputs:
            output.write(estimate, observation)

    def mark(self, t: float, label: str) -> None:
        """Hand over what a person noted at `t` seconds of the session."""
        for output in self._outputs:
            output.mark(t, label)

    @property
    def counts(self) -> dict[str, Counts]:
        """By address, what became of estimates and marks; only of outputs that may drop some."""
        counts = {delivery.address: delivery.counts for delivery in self._deliveries}
        return counts if self.page is None else counts | {self._page_address: self.page.counts}

    def keep_page(self) -> "PageServer | None":
        """The page's server, which from now on is not closed with the others."""
        if self.page is not None and self.page in self._outputs:
            self._outputs.remove(self.page)
        return self.page

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopped = kind is not None and issubclass(kind, (KeyboardInterrupt, UserError, BrokenPipeError))
        failure: UserError | None = None
        for output in self._outputs:
            try:
                output.close(kind is None or (stopped and self._written))
            except UserError as failed:
                failure = failure or failed
        if failure is not None and kind is None:
            raise failure
