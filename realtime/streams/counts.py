"""Conservation of samples: captured = used + dropped by reason + waiting."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(slots=True)
class Counts:
    """What became of the samples of one modality; each is counted once.

    Attributes:
        captured: samples that the source captured.
        used: samples that served at least one tick, including those without values (no face found).
        dropped: samples that served none, by reason: `superseded` (a newer one served the first tick it
            could have served), `duplicate` (another had the same originating time), `expired` (too old for
            that tick), `after_end` (no tick came after it); sources add reasons of their own.
        delivered: samples that reached a tick: not dropped by their source, and not waiting.
        empty: of those delivered, samples without values.
        late: samples that came after their first tick had been released. They may still serve the next.
        reordered: samples that came after one with a later originating time.
    """

    captured: int = 0
    used: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    late: int = 0
    reordered: int = 0
    delivered: int = 0
    empty: int = 0

    @property
    def waiting(self) -> int:
        """Samples whose tick has not been released yet: 0 after the end of a run."""
        return self.captured - self.used - self.dropped.total()

    def drop(self, reason: str, n: int = 1) -> None:
        """Count `n` samples as captured and dropped by their source."""
        self.captured += n
        self.dropped[reason] += n

    def copy(self) -> "Counts":
        """The counts as they are now; other threads may go on counting."""
        return replace(self, dropped=self.dropped.copy())

    def since(self, before: "Counts") -> "Counts":
        """What was counted since an earlier copy."""
        now = self.copy()
        now.dropped.subtract(before.dropped)
        return Counts(
            now.captured - before.captured,
            now.used - before.used,
            now.dropped,
            now.late - before.late,
            now.reordered - before.reordered,
            now.delivered - before.delivered,
            now.empty - before.empty,
        )


def conservation(counts: Mapping[str, Counts]) -> dict[str, dict[str, Any]]:
    """The counts as JSON values."""
    return {
        name: {
            "captured": n.captured,
            "used": n.used,
            "dropped": {reason: dropped for reason, dropped in n.dropped.copy().items() if dropped},
        }
        for name, n in counts.items()
    }
