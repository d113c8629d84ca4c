"""What all outputs have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..engine.estimate import Estimate
from ..streams.samples import Observation


class Output(Protocol):
    """Somewhere estimates go. Used by one thread."""

    def write(self, estimate: Estimate, observation: Observation) -> None:
        """Hand over one tick: what the model says, and what it was shown.

        Raises:
            OSError: the connection is lost.
            UserError: the file cannot be written any more.
        """

    def mark(self, t: float, label: str) -> None:
        """Hand over what a person noted at `t` seconds of the session; raises as `write` does."""

    def close(self, whole: bool) -> None:
        """The end, as it was meant to be (`whole`) or after a failure."""


@dataclass(frozen=True, slots=True)
class Opening:
    """An output that can be opened.

    Attributes:
        address: as a person gave it, without passwords.
        open: opens it, or raises OSError (it cannot be reached now) or UserError (the address is wrong).
        again: whether it is worth opening once more when it is lost: a server may come back, a file does not.
    """

    address: str
    open: Callable[[], Output]
    again: bool
