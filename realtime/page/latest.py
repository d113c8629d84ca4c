"""The newest of each message, and past estimates for clients that connect later."""

import time
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, MutableSequence
from typing import Annotated, Any, Final

import msgspec

from ..engine.estimate import Estimate, Latency, stages

RECENT: Final = 60.0  # s
PEOPLE: Final = 12  # whose estimates are kept


class Columns(msgspec.Struct):
    """Past estimates by column.

    Attributes:
        t: seconds of the session.
        mean, low, high: of engagement.
        present: 0 or 1, by modality.
    """

    t: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]
    present: dict[str, list[Annotated[int, msgspec.Meta(ge=0, le=1)]]]


class Past:
    """Past estimates of a person. A tick takes 32 bytes plus one a modality.

    Attributes:
        estimate, text: the newest and its JSON.
    """

    def __init__(self) -> None:
        self.estimate: Estimate
        self.text = ""
        self._t = array("d")
        self._columns = {name: array("d") for name in ("mean", "low", "high")}
        self._present: dict[str, bytearray] = {}

    def add(self, estimate: Estimate, text: str, whole: bool) -> None:
        self.estimate, self.text = estimate, text
        self._t.append(estimate.t)
        for name, values in self._columns.items():
            values.append(getattr(estimate.engagement, name))
        for modality, present in estimate.present.items():
            self._present.setdefault(modality, bytearray(len(self._t) - 1)).append(present)
        if not whole and (old := self._old()) > len(self._t) // 2:  # so that each tick is moved about once
            columns: list[MutableSequence[Any]] = [self._t, *self._columns.values(), *self._present.values()]
            for column in columns:
                del column[:old]

    def history(self, whole: bool) -> Columns:
        old = 0 if whole else self._old()
        return Columns(
            self._t[old:].tolist(),
            **{name: column[old:].tolist() for name, column in self._columns.items()},
            present={modality: list(data[old:]) for modality, data in self._present.items()},
        )

    def _old(self) -> int:
        """How many of the first estimates are too old."""
        return bisect_left(self._t, self._t[-1] - RECENT) if self._t else 0


class Latest:
    """The state of the run; used by the server's thread only.

    Attributes:
        description, status: of the run, see `Observed`; None before the first.
        several: whether a tick has estimates of several people. Otherwise all are taken together.
        ticks: number of ticks with an estimate.
        whole: whether to keep all past estimates instead of the last minute's.
        latency_sum, latency_count: seconds and ticks, by stage, since the start.
    """

    def __init__(self) -> None:
        self.description: dict[str, Any] | None = None
        self.status: dict[str, Any] | None = None
        self.several = False
        self.ticks = 0
        self.whole = False
        self.latency_sum: defaultdict[str, float] = defaultdict(float)
        self.latency_count: Counter[str] = Counter()
        self._updated = 0.0
        self._tick: int | None = None  # of the last estimate
        self._people: dict[int | None, Past] = {}  # None: nobody yet; or all, if not `several`
        self._followed: int | None = None

    def add(self, estimate: Estimate, text: str, followed: int | None = None) -> bool:
        """Add an estimate; whether `people` has changed.

        Args:
            followed: id of the one that is followed; None if that is not known.
        """
        self._updated = time.monotonic()
        if not self.several or estimate.tick != self._tick:
            self._tick = estimate.tick
            self.ticks += 1
            if isinstance(estimate.latency_ms, Latency):
                for stage, ms in stages(estimate.latency_ms):
                    self.latency_sum[stage] += ms / 1000
                    self.latency_count[stage] += 1
        if not self.several:
            self._people.setdefault(None, Past()).add(estimate, text, self.whole)
            return False
        before = self.people
        self._followed = followed or self._followed
        self._people.setdefault(estimate.person, Past()).add(estimate, text, self.whole)
        if self.people != before:
            self._forget(estimate.t)
            return True
        return False

    def _forget(self, now: float) -> None:
        """Forget people who are gone for long, and those beyond `PEOPLE` who are gone longest."""
        if len(self._people) > 1:
            self._people.pop(None, None)
        last = {person: past.estimate.t for person, past in self._people.items()}
        kept = sorted(last, key=lambda person: last[person])[-PEOPLE:]
        for person in last.keys() - kept:
            del self._people[person]
        if not self.whole:
            for person in kept:
                if now - last[person] > RECENT:
                    del self._people[person]

    @property
    def people(self) -> dict[str, Any]:
        """As JSON: `ids` of people with estimates, and `followed`, whose estimates are the main ones."""
        ids = sorted(person for person in self._people if person is not None)
        return {"ids": ids, "followed": self._followed if self._followed in ids else min(ids, default=None)}

    @property
    def pasts(self) -> Mapping[int | None, Past]:
        """By person, in order; those of a single one by None."""
        return {person: self._people[person] for person in self.people["ids"] or self._people}

    def past(self, person: str | None = None) -> Past | None:
        """Of the person with this id, or of the one who is followed; None without an estimate."""
        if person is None:
            return self._people.get(self.people["followed"])
        if not (person.isascii() and person.isdecimal() and len(person) < 8):
            return None
        of_all = (past for past in self._people.values() if past.estimate.person == int(person))
        return next(of_all, None)

    def history(self, person: str | None = None) -> Columns | None:
        """Past estimates; see `past`. Without any of the one who is followed, empty columns."""
        past = self.past(person) or (Past() if person is None else None)
        return None if past is None else past.history(self.whole)

    @property
    def age(self) -> float | None:
        """Seconds since the newest estimate arrived; None before the first."""
        return time.monotonic() - self._updated if self.ticks else None
