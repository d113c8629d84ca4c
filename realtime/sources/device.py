"""The contract of live devices: each delivers samples of one modality, from a thread of its own."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal

from ...bundle.metadata import ModalitySpec
from ..streams.absence import describe_late
from ..streams.counts import Counts
from ..streams.samples import SECOND
from .inlet import OFFSET, Inlet
from .offer import Offer


class Device(ABC):
    """A camera, a microphone, a stream or pushed features: samples of one modality, opened once.

    Its thread reads, extracts features and calls the inlet itself: nothing queues between a device and the
    tick. It may be lost for a while and come back; for good after an exception in its thread, which goes to
    `inlet.fail`. A subclass implements `_open` and `close`, and keeps `_lost`.

    Attributes:
        name: `camera`, `microphone`, or the modality that it feeds.
        offer: the modality that it can feed.
        material: what it captures before extraction, which `keep` is called with; None for nothing.
        keep: called with every `Picture` or `Sound` that is wanted, from any thread; set before `open`.
        source: what it was opened from, for display, without passwords: `/dev/video0`, `lsl:NAME`.
        format: what it delivers, for display: `640×480 at 30 frames/s, MJPG`.
        restarts: how often it was opened again, attempts included.
        overflows: how often an unknown amount of data was lost before it got here.
    """

    name: str = ""
    offer: Offer
    material: Literal["pictures", "sound"] | None = None
    keep: Callable[[Any], None] | None = None

    _inlet: Inlet

    def __init__(self) -> None:
        self.source = ""
        self.restarts = 0
        self.overflows = 0
        self._format = ""
        self._lost = True  # no new data come

    @property
    def format(self) -> str:
        return self._format

    @property
    def lost(self) -> bool:
        """Whether no new data come."""
        return self._lost

    def open(self, inlet: Inlet) -> None:
        """Open it and start delivering; wait until the first data has come.

        Raises:
            UserError: it cannot be opened, and why; nothing is left open then.
        """
        self._inlet = inlet
        try:
            self._open()
        except BaseException:  # Ctrl-C too
            self.close()
            raise

    def offer_to(self, inputs: Sequence[ModalitySpec]) -> Offer:
        """What it can give to a bundle of these inputs; `offer` unless it has a choice."""
        return self.offer

    @property
    def notes(self) -> Sequence[str]:
        """What was mended, left out or unclear in its data, a line each."""
        return ()

    def why_missing(self, kind: str, recent: Counts, span: int) -> str:
        """One phrase for the user: why its modality has been missing, and what to do about it.

        Args: see `Source.why_missing`.
        """
        inlet, source = self._inlet, self.source or self.name
        if kind == "nothing":
            return f"{source} gives nothing; check it, or start it again"
        if kind == "empty":
            return f"{source} gives no numbers (NaN): it has nothing to measure"
        if kind == "late":
            return describe_late(inlet.lateness, inlet.modality, inlet.max_wait, inlet.offset)
        if kind == "slow":
            return (
                f"{recent.delivered * SECOND / span:.2g} a second come, each counts for "
                f"{inlet.max_age / SECOND:g} s; send {SECOND / inlet.max_age:.2g} a second or more"
            )
        if kind == "breaks":
            return f"{source} comes with breaks; check its connection"
        return f"{recent.dropped[kind]} of {recent.captured} samples dropped: {kind.replace('_', ' ')}"

    def why_wrong_time(self, ahead: int) -> str:
        """The phrase for samples that are stamped `ahead` ns from now, without the offset."""
        where = f"{abs(ahead) / SECOND:.2f} s {'ahead of' if ahead > 0 else 'behind'} this computer's clock"
        if abs(ahead) > OFFSET:
            return f"stamped {where}; stamp them by the clock that enrapt uses"
        return f"stamped {where}; try --offset {self._inlet.modality}={-ahead / SECOND:.2f}"

    @abstractmethod
    def close(self) -> None:
        """End its threads and processes; nothing is delivered after it. Safe after a failed `open`.

        The caller must not hold a lock that the inlet takes: a sample may be on its way.
        """

    @abstractmethod
    def _open(self) -> None:
        """What `open` does; `close` follows if it fails."""
