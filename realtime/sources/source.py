"""What a run takes its observations from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..streams.counts import Counts
from ..streams.samples import Observation
from .device import Device


@dataclass(frozen=True, slots=True)
class Offer:
    """A modality that a source can give.

    Attributes:
        name: by which the source calls it.
        schema: the name of its feature schema; None if it has none and is known by its name alone.
        dim: numbers in a sample; None where the source gives what is asked for.
    """

    name: str
    schema: str | None
    dim: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A modality that a run takes from its source.

    Attributes:
        name: the bundle's name for it: samples and observations bear it.
        offer: the source's name for it.
        dim: numbers in a sample.
        max_age: ns after its originating time during which a sample counts as present.
    """

    name: str
    offer: str
    schema: str | None
    dim: int
    max_age: int


class Source:
    """Gives observations, one a tick, in order; used by one run, once.

    A run calls `open` with what it wants of the offers, iterates, and calls `close` whatever happened.

    Attributes:
        name: for people.
        offers: what it can give; complete before `open`.
        clock: for live and paced sources, ns since the first tick, by the clock; None where observations come
            as fast as they are taken.
        duration: seconds from the start of the recording to where it ends; None if nobody knows.
        start: seconds on the recording's axis at which ticks begin.
        devices: what is open, by name; they may be lost and come back.
        marks: what a recording holds of them, in order: time (ns) and label.
        problems: what of a recording could not be read, a line each; complete after the iteration.
        paused: while True, nothing is extracted or kept.
    """

    name: str = ""
    offers: Sequence[Offer] = ()
    clock: Callable[[], int] | None = None
    start: float = 0.0
    duration: float | None = None
    devices: Mapping[str, Device] = {}
    marks: Sequence[tuple[int, str]] = ()
    problems: Sequence[str] = ()
    paused: bool = False

    def open(self, wanted: Sequence[Wanted], silent: Sequence[str], rate: int) -> None:
        """Open devices or files.

        Args:
            wanted: what observations are to hold of the offers.
            silent: names of modalities that no offer fits: missing at every tick.
            rate: ticks a second.

        Raises:
            UserError: it cannot be opened; nothing is left open then.
        """
        raise NotImplementedError

    def __iter__(self) -> Iterator[Observation]:
        raise NotImplementedError

    @property
    def counts(self) -> Mapping[str, Counts]:
        """By modality, where its samples went so far; complete after `close`."""
        raise NotImplementedError

    def stop(self) -> None:
        """End the iteration after the current tick; from any thread or signal handler."""
        raise NotImplementedError

    def close(self) -> None:
        """Release everything; threads and processes have ended after it."""
