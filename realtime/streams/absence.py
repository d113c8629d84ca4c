"""Why a modality is missing, from what became of its samples in the last seconds. Pure; integer times."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from .counts import Counts
from .pacing import LONGEST_WAIT
from .samples import SECOND

MISSING: Final = 2 * SECOND  # ns missing, less those present since, from which on there is a reason
RETURNED: Final = SECOND  # ns present, less those missing since, from which on there is none
WINDOW: Final = 5 * SECOND  # of which samples are looked at
LOOK: Final = SECOND  # between two looks
STAYS: Final = 5 * SECOND  # the numbers of a reason change no sooner

# A sample dropped for these reasons is no fault, or shows as one of the other kinds.
_NORMAL: Final = frozenset(
    ("superseded", "duplicate", "skipped", "expired", "before_start", "paused", "after_end")
)
_MARGIN: Final = SECOND // 40  # of a suggested wait: 25 ms, and then up to the next
_STEP: Final = SECOND // 20


class Reason(NamedTuple):
    """Why a modality is missing.

    Attributes:
        kind: of `cause`, or the source's own.
        text: one phrase for the user, with what to do.
    """

    kind: str
    text: str


# Called with the kind of the reason, what became of the samples, and in how many ns.
Why = Callable[[str, Counts, int], Reason]


class Absence:
    """Whether one modality is missing, why, and how long it was for each reason.

    A leaky bucket, which fills while the modality is missing and empties while it is present: a reason
    neither flickers nor stays. Only samples since the bucket began to fill are looked at.

    Args:
        period: ns between two ticks.
        max_age: ns after its originating time during which a sample counts as present.

    Attributes:
        reason: None while the modality is present, or has not been missing for long.
        lasted: by kind of reason, its latest text and for how many ns the modality was missing.
    """

    def __init__(self, period: int, max_age: int) -> None:
        self.reason: Reason | None = None
        self.lasted: dict[str, tuple[str, int]] = {}
        self._period, self._max_age = period, max_age
        self._level = 0  # ns
        self._unexplained = 0  # ns missing since the bucket began to fill, without a reason
        self._marks: deque[tuple[int, Counts]] = deque()  # time, and the counts then
        self._looked = self._since = 0  # ns; when the reason was looked for, and when it was new

    def update(self, at: int, present: bool, counts: Counts, why: Why) -> None:
        """Take the next tick.

        Args:
            at: its time, ns.
            counts: of the modality's samples so far.
            why: gives a reason its words.
        """
        step = -self._period if present else self._period
        self._level = min(max(self._level + step, 0), MISSING)
        if not self._level:
            self.reset()
            return
        if not self._marks or at - self._marks[-1][0] >= LOOK:
            self._marks.append((at, counts.copy()))
            while len(self._marks) > 1 and at - self._marks[1][0] >= WINDOW:
                self._marks.popleft()
        if self._level <= MISSING - RETURNED:
            self.reason = None
        if present:
            return
        self._unexplained += self._period
        due = self._level == MISSING if self.reason is None else at - self._looked >= LOOK
        if due:
            self._look(at, counts, why)
        if self.reason is not None:
            _, before = self.lasted.get(self.reason.kind, ("", 0))
            self.lasted[self.reason.kind] = self.reason.text, before + self._unexplained
            self._unexplained = 0

    def reset(self) -> None:
        """The modality is present, or not wanted."""
        self.reason = None
        self._level = self._unexplained = 0
        self._marks.clear()

    def _look(self, at: int, counts: Counts, why: Why) -> None:
        self._looked = at
        began, before = self._marks[0]
        recent, span = counts.since(before), at - began
        reason = why(cause(recent, span, self._max_age), recent, span)
        if self.reason is None or reason.kind != self.reason.kind or at - self._since >= STAYS:
            self.reason, self._since = reason, at


def cause(recent: Counts, span: int, max_age: int) -> str:
    """What most samples of a modality that is missing have in common.

    Args:
        recent: what became of those of the last `span` ns.
        max_age: ns; see `Absence`.

    Returns:
        `nothing`: none came; `empty`: there was nothing to measure; `slow`: too few came; `skipped`: too few
        were used; `late`: they came after their ticks; `breaks`: enough came, and on time, but not always; or
        the reason for which the source dropped them.
    """
    faults = Counter({reason: n for reason, n in recent.dropped.items() if n > 0 and reason not in _NORMAL})
    fault, n = max(faults.items(), key=lambda item: item[1], default=("", 0))
    if n and 2 * n >= recent.delivered + faults.total():
        return fault
    too_few = "skipped" if recent.dropped["skipped"] > recent.delivered else "slow"
    if not recent.delivered:
        return "skipped" if too_few == "skipped" else "nothing"
    if 2 * recent.empty >= recent.delivered:
        return "empty"
    if 2 * (recent.delivered - recent.empty) * max_age < span:
        return too_few
    if 2 * recent.late >= recent.delivered:
        return "late"
    return fault or "breaks"


def describe_late(lateness: Sequence[int], modality: str, max_wait: int, offset: int) -> str:
    """The phrase for samples that come after their ticks, with the wait that lets them be used.

    Args:
        lateness: ns between originating time and arrival, of samples of `modality`.
        max_wait, offset: ns; of the run.
    """
    in_order = sorted(lateness) or [0]
    usual, most = in_order[len(in_order) // 2], in_order[int(0.95 * len(in_order))]
    wait = -(-(most + _MARGIN) // _STEP) * _STEP
    phrase = f"arrives {round(usual / 1e7) * 10} ms late"
    if offset < 0 and most + offset <= max_wait:
        return f"{phrase} by --offset {modality}={offset / SECOND:g}; leave that out"
    if wait > LONGEST_WAIT:
        return f"{phrase}; if its clock is behind, try --offset {modality}={(most + offset) / SECOND:.2f}"
    return f"{phrase}; try --max-wait {wait // 1_000_000}" if wait > max_wait else phrase
