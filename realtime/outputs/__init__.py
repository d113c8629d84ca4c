"""Outputs of estimates, named by address. `Outputs` takes several addresses at once."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ...contracts.errors import UserError
from ..engine.estimate import Estimate
from ..streams.counts import Counts
from ..streams.samples import Observation
from .addresses import PageOpening, destination
from .delivery import Delivery
from .output import Destination, Opening, Output, OutputFailure

if TYPE_CHECKING:
    from ..page.server import PageServer

__all__ = ["Outputs"]


class Outputs:
    """Several outputs; one that fails or is slow does not delay the others. A context manager.

    Leaving it closes them and completes files, also after `KeyboardInterrupt`, `UserError` and
    `BrokenPipeError` if there was an estimate. After any other exception they stay `FILE.part`.

    Args:
        addresses: see `addresses.destination`.
        live: whether estimates must not wait for outputs: each has a queue that drops the oldest. Otherwise
            nothing is dropped, files are written in the caller's thread, and their errors are raised.
        warn: called with one line when an output is lost and when it is back, and when a file gets another
            name than asked for, from any thread.
        overwrite: replace files that exist; otherwise this run's get another name.
        source: a file or folder that is read: none of it is replaced.

    Attributes:
        page: the page's server, None if no address names one.
        counts: of estimates and marks by address, of the outputs that may drop some.
        failures: of each output that lost something by a failure, a line; complete after leaving.

    Raises:
        UserError: at construction, an address is wrong, or a file cannot be written.
        OutputFailure: later, not live, a file cannot be written any more.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        live: bool,
        warn: Callable[[str], None],
        overwrite: bool = False,
        source: Path | None = None,
    ) -> None:
        destinations = [destination(address, Opening(overwrite, warn)) for address in addresses]
        _check_distinct(destinations, source if overwrite else None)
        if sum(isinstance(one, PageOpening) for one in destinations) > 1:
            raise UserError("ui, ws and http name one server; give one of them, once")
        self.page: PageServer | None = None
        self.counts: dict[str, Counts] = {}
        self._deliveries: list[Delivery] = []
        self._outputs: list[Output] = []
        with ExitStack() as opened:  # of several, none stays open if one does not open
            for one in destinations:
                if isinstance(one, PageOpening):
                    self.page = one.open()
                    self.page.warn = warn
                    self.counts[one.address] = self.page.counts
                    self._outputs.append(self.page)
                elif live or one.reopen:
                    delivery = Delivery(one, warn, "latest" if live else "all")
                    self.counts[one.address] = delivery.counts
                    self._deliveries.append(delivery)
                    self._outputs.append(delivery)
                else:
                    self._outputs.append(one.open())
                opened.callback(self._outputs[-1].close, False)
            opened.pop_all()
        self._written = False
        self._failures: list[str] = []  # of those that are written in the caller's thread

    def write(self, estimate: Estimate, observation: Observation) -> None:
        """As `Output.write`; raises BrokenPipeError when the reader of standard output has gone."""
        self._written = True
        if any(delivery.reader_gone for delivery in self._deliveries):
            raise BrokenPipeError
        try:
            for output in self._outputs:
                output.write(estimate, observation)
        except OutputFailure as error:
            self._failures.append(str(error))
            raise

    def mark(self, t: float, label: str) -> None:
        for output in self._outputs:
            output.mark(t, label)

    def keep_page(self) -> "PageServer | None":
        """The page's server; from now on it is not closed with the other outputs."""
        if self.page is not None and self.page in self._outputs:
            self._outputs.remove(self.page)
        return self.page

    @property
    def failures(self) -> list[str]:
        lines = [*self._failures, *(line for delivery in self._deliveries if (line := delivery.failure))]
        if self.page is not None and (failed := self.page.counts.dropped["failed"]):
            lines.append(f"the page: {failed} estimates and marks failed")
        return lines

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        stopped = kind is not None and issubclass(kind, (KeyboardInterrupt, UserError, BrokenPipeError))
        failure: OutputFailure | None = None
        for output in self._outputs:
            try:
                output.close(kind is None or (stopped and self._written))
            except OutputFailure as failed:
                self._failures.append(str(failed))
                failure = failure or failed
        if failure is not None and kind is None:
            raise failure


def _check_distinct(destinations: Sequence[Destination], source: Path | None) -> None:
    """Refuse two outputs to one file, as their lines would be mixed, and one in place of what is read."""
    read = None if source is None else source.resolve()
    seen: dict[Path, str] = {}
    for one in destinations:
        if one.path is not None and not one.path.is_char_device():
            path = one.path.resolve()
            if read is not None and path.is_relative_to(read) and path.exists():
                raise UserError(f"{one.address}: is what this run reads; give another file")
            if path in seen:
                raise UserError(f"{seen[path]} and {one.address} are one file; give each output its own")
            seen[path] = one.address
