"""The contract of outputs."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...contracts.console import say
from ...contracts.errors import UserError
from ..engine.estimate import Estimate
from ..streams.samples import Observation


class OutputFailure(UserError):
    """A file or stream cannot be written any more; what was written before stays, and other outputs go on."""


class Output(Protocol):
    """Delivers estimates and marks. Used by one thread."""

    def write(self, estimate: Estimate, observation: Observation) -> None:
        """Deliver the estimate of a tick; `observation` is what it was made from.

        Raises:
            OSError: the connection is lost.
            OutputFailure: the file cannot be written any more.
        """

    def mark(self, t: float, label: str) -> None:
        """Deliver a mark at `t` seconds of the session; raises as `write` does."""

    def close(self, complete: bool) -> None:
        """End; `complete` says whether the run ended as intended, rather than by a failure."""


@dataclass(frozen=True, slots=True)
class Opening:
    """How files are opened."""

    overwrite: bool = False  # replace a file that exists
    warn: Callable[[str], None] = say  # of another name, of a recovery


@dataclass(frozen=True, slots=True)
class Destination:
    """An output that can be opened."""

    address: str  # as the user gave it, without passwords
    open: Callable[[], Output]  # raises OSError (not reachable now) or UserError (the address is wrong)
    reopen: bool  # when it is lost: a server may come back, a file does not
    path: Path | None = None  # of a file, as given
