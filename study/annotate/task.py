"""What one rater rates: a recording, and where each dimension's labels go."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...contracts.errors import UserError
from ...realtime.store.reader import SessionReader
from ..check import TOLERANCE
from ..labels import check_spelling
from .material import Material, dimensions_of, given_intervals
from .playable import Playable
from .stored import StoredLabels, StoredWhole
from .suggest import Stretch, stretches

_EACH: Final = 5  # ticks; between two estimates that are shown


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the rater has asked for.

    Attributes:
        dimensions: by name; empty: all of the study.
        study: which says what is rated; None: the one that the recording lies in.
        intervals, tier: the stretches to rate, and which of the file's tiers has them.
        offer: whether stretches are offered by the model's estimates.
        show_estimate: whether the rater sees these; otherwise the rater is blind.
    """

    rater: str
    dimensions: Sequence[str] = ()
    study: Path | None = None
    intervals: Path | None = None
    tier: str | None = None
    offer: bool = False
    show_estimate: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """What one rater rates.

    Attributes:
        stored: by dimension, of those that are rated over time.
        whole: by dimension, of those that are rated once for the whole session.
        given: the stretches to rate, seconds; empty: the rater marks them.
        stretches: what `--next` offers; None without it.
        estimate: rows of time, mean, low and high that the rater may see; None: none, the rater is blind.
    """

    material: Material
    played: Playable
    rater: str
    stored: Mapping[str, StoredLabels]
    whole: Mapping[str, StoredWhole]
    given: Sequence[tuple[float, float]] = ()
    stretches: Sequence[Stretch] | None = None
    estimate: Sequence[tuple[float, float, float, float]] | None = None

    @property
    def key(self) -> str:
        """Of this recording and rater: a page of another one must not store its ratings here."""
        text = f"{self.material.folder.absolute()}\0{self.rater}"
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]


def task_of(wanted: Wanted, material: Material, played: Playable | None = None) -> Task:
    """The task; without `played`, of a recording of any length, to see whether the rest fits.

    Raises:
        UserError: it does not: a name, labels that are there, intervals, estimates that are missing.
    """
    played = played or Playable(material.media, "", 0.0, 1e9)
    dimensions = dimensions_of(material.session or material.media, wanted.study, wanted.dimensions)
    check_spelling(material.folder, wanted.rater)
    over_time = [dimension for dimension in dimensions if dimension.kind != "session"]
    limit = played.end + TOLERANCE
    stored = {d.name: StoredLabels(material.folder, wanted.rater, d, limit) for d in over_time}
    whole = {d.name: StoredWhole(material.folder, wanted.rater, d) for d in dimensions if d not in over_time}
    given = [] if wanted.intervals is None else given_intervals(wanted.intervals, wanted.tier)
    if wanted.offer and not over_time:
        raise UserError(
            f"{material.media.parent}: what is rated once for a whole session has no stretches to offer; "
            "give the study with --next to go from session to session"
        )
    offered, rows = None, None
    if over_time and (wanted.offer or wanted.show_estimate):
        if material.session is None:
            raise UserError(f"{material.media}: --next and --show-estimate are for sessions, with estimates")
        estimates = list(SessionReader(material.session).estimates())
        if not estimates:
            raise UserError(f"{material.session}: has no estimates")
        offered = stretches(estimates) if wanted.offer else None
        if wanted.show_estimate:
            each = ((e.t, e.engagement.mean, e.engagement.low, e.engagement.high) for e in estimates)
            rows = [row for k, row in enumerate(each) if k % _EACH == 0]
    return Task(material, played, wanted.rater, stored, whole, given, offered, rows)
