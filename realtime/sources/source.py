"""What a run takes its observations from, and how it is matched to a bundle."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from ...bundle.metadata import Metadata, ModalitySpec
from ...contracts.errors import UserError
from ...contracts.schemas import AUDIO, FACE
from ..streams.absence import Reason
from ..streams.axis import Segment
from ..streams.counts import Counts
from ..streams.samples import SECOND, Observation, Sample
from .device import Device
from .offer import Offer

FARTHEST: Final = 1e10  # s; no two clocks of this world are farther apart

_EMPTY: Final = {
    FACE.name: "no face found in the picture",
    AUDIO.name: "the sound is digital silence: the microphone was muted",
}
_REASONS: Final = {
    "nothing": "the recording has nothing here",
    "slow": "the recording has too few samples",
    "breaks": "the recording has gaps",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A modality that a run takes from its source.

    Attributes:
        name: the bundle's name for it, which samples and observations have.
        offer: what it comes from; None where nothing fits: missing at every tick.
        max_age: ns after its originating time during which a sample counts as present.
        offset: ns that the source adds to its times.
    """

    name: str
    offer: Offer | None
    schema: str | None
    dim: int
    max_age: int
    offset: int = 0


class SourceFailure(UserError):
    """The source cannot go on; what it gave before is whole, and so are the files of the run."""


class Source(ABC):
    """Gives observations, one a tick, in order; used by one run, once.

    A run calls `open` with what it wants of the offers, iterates, and calls `close` whatever happened.

    Attributes:
        name: for messages.
        path: of what is read, a file or a folder.
        clock: for live and paced sources, the time now on the axis of observations, ns, or that of the first
            tick before it; None where observations come as fast as they are taken.
        began: the wall-clock time of 0 s on that axis; None where nobody knows, and live before a tick.
        start: seconds on the recording's axis at which ticks begin.
        duration: seconds on the same axis at which they end; None if unknown.
        devices: what is open, by name; they may be lost and come back.
        marks: what a recording holds of them, in order: time (ns) and label.
        context: recorded values of context modalities, by name.
        people: how many people's features it gives.
        apart: whether each of them has observations of their own, rather than one a tick of all.
        paused: while True, nothing is extracted or kept.
        stopped: set by `stop`.
        counts: by modality, where its samples went so far; complete after `close`.
        warn: called with a line for the user, from any thread.
        keeps_media: whether captured pictures and sound are to be kept; set before `open`.
        arrivals: samples and the time at which each came (ns), since the run last took them; None, as at
            first, while they are not recorded.
    """

    name: str = ""
    path: Path | None = None
    clock: Callable[[], int] | None = None
    began: datetime | None = None
    start: float = 0.0
    duration: float | None = None
    devices: Mapping[str, Device] = {}
    marks: Sequence[tuple[int, str]] = ()
    context: Mapping[str, Sequence[float]] = {}
    people: int = 1
    apart: bool = False
    paused: bool = False
    stopped: bool = False
    counts: Mapping[str, Counts] = {}
    keeps_media: bool = False
    warn: Callable[[str], None] = print
    arrivals: list[tuple[Sample, int]] | None = None

    @abstractmethod
    def offers(self, inputs: Sequence[ModalitySpec]) -> Sequence[Offer]:
        """Which of the modalities that a bundle takes it can give.

        Raises:
            UserError: what was asked for by name does not exist, or does not fit.
        """

    @abstractmethod
    def open(self, wanted: Sequence[Wanted], rate: int) -> None:
        """Open devices or files.

        Args:
            wanted: what observations are to hold.
            rate: ticks a second.

        Raises:
            UserError: it cannot be opened; nothing is left open then.
        """

    @abstractmethod
    def __iter__(self) -> Iterator[Observation]:
        """The observations, once; after `open`."""

    @property
    def problems(self) -> Sequence[str]:
        """Which device failed, what of a recording could not be read and nothing readable followed, a line
        each; complete after the iteration. The command's exit status is 1."""
        return ()

    @property
    def notes(self) -> Sequence[str]:
        """What else was mended, left out or unclear, a line each; complete after the iteration."""
        return ()

    @property
    def taken(self) -> Mapping[str, str]:
        """By modality, what it comes from, for display: `video 1: h264, 640×480`; after `open`."""
        return {}

    @property
    def segments(self) -> Sequence[Segment]:
        """How the recording's own times became the axis of observations; empty where they are the same."""
        return ()

    @property
    def chooses(self) -> bool:
        """Whether `follow` chooses between people; after `open`."""
        return False

    def follow(self, person: int) -> None:
        """Take the features of the person with this id from the next picture on; from any thread.

        Raises:
            UserError: it does not choose between people.
        """
        raise UserError(f"{self.name}: there is no choice of people here")

    def why_missing(self, wanted: Wanted, kind: str, recent: Counts, span: int) -> Reason:
        """Why a modality that it gives has been missing, for the user.

        Args:
            kind: of `absence.cause`.
            recent: what became of its samples in the last `span` ns.
        """
        if wanted.name not in self.counts:
            return Reason("recorded", "was missing when it was recorded")
        if kind == "empty":
            return Reason(kind, _EMPTY.get(wanted.schema or "", "there was nothing to measure"))
        return Reason(kind, _REASONS.get(kind, kind.replace("_", " ")))

    def stop(self) -> None:
        """End the iteration soon; from any thread or signal handler. The run takes no further observation."""
        self.stopped = True

    def close(self) -> None:
        """Release everything; threads and processes have ended after it."""
        self.stop()


def match(source: Source, bundle: Metadata, offsets: Mapping[str, float] | None = None) -> list[Wanted]:
    """What a bundle takes, each with the offer that it comes from.

    An offer is found by its schema; of several the one of the same name, else the first.

    Args:
        offsets: seconds to add to the times of a modality, by its name.

    Raises:
        UserError: nothing fits, or something that was asked for by name does not, or an offer has the name of
            a modality that it does not fit; names both sides.
    """
    inputs = [m for m in bundle.inputs if m.role == "observed"]
    left = list(source.offers(inputs))
    offered = ", ".join(map(str, left)) or "nothing"
    chosen: dict[str, Offer] = {}
    for same_name in (True, False):
        for modality in inputs:
            if modality.name not in chosen:
                for offer in left:
                    if offer.fits(modality) and (offer.name == modality.name or not same_name):
                        chosen[modality.name] = offer
                        left = [one for one in left if one is not offer]
                        break
    missing = {m.name for m in inputs} - chosen.keys()
    unused = [offer for offer in left if offer.required or offer.name in missing]
    if unused or not chosen:
        takes = ", ".join(str(Offer(m.name, m.schema, m.dim)) for m in inputs)
        gives = ", ".join(map(str, unused)) or offered
        raise UserError(f"{source.name} gives {gives}, but bundle {bundle.name!r} takes {takes}")
    offsets = offsets or {}
    if unknown := sorted(offsets.keys() - chosen.keys()):
        raise UserError(f"--offset {unknown[0]}: give one of {', '.join(chosen)}")
    for name, seconds in offsets.items():
        if not abs(seconds) <= FARTHEST:
            raise UserError(f"--offset {name}={seconds:g}: give seconds, at most {FARTHEST:g} either way")
    return [
        Wanted(
            m.name,
            chosen.get(m.name),
            m.schema,
            m.dim,
            round(m.max_age_at(bundle.rate) * SECOND),
            round(offsets.get(m.name, 0) * SECOND),
        )
        for m in inputs
    ]
