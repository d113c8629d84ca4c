"""What was found while a recording was read."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ..streams.axis import Segment
from ..streams.samples import SECOND

_NAMED: Final = 3  # times of damage that a note has


@dataclass(slots=True)
class Findings:
    """What a pass through a recording found; complete at its end.

    Attributes:
        pictures: dropped between start and end, by reason: `corrupt`, `duplicate` (with the time of the one
            before), `backward` (an earlier one).
        sound: likewise, samples at 16 kHz: `damaged`, `overlap`, `before_start` (of the recording).
        damage: times (ns) at which something could not be decoded or read, by what it was.
        segments: see `Source.segments`; empty where the file's times are the axis.
        reached: ns on the axis; the end of what was read.
        notes: lines for the user.
    """

    pictures: Counter[str] = field(default_factory=Counter)
    sound: Counter[str] = field(default_factory=Counter)
    damage: dict[str, list[int]] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    reached: int = 0
    notes: list[str] = field(default_factory=list)

    def damaged(self, what: str, time: int) -> None:
        """Something at `time` (ns) could not be decoded or read."""
        self.damage.setdefault(what, []).append(time)

    def described_damage(self) -> Iterator[str]:
        """A line for each kind of damage."""
        for what, times in self.damage.items():
            named = ", ".join(f"{time / SECOND:.2f} s" for time in times[:_NAMED])
            more = f" and {len(times) - _NAMED} more" if len(times) > _NAMED else ""
            yield f"damaged: {what} at {named}{more}; what could be read after it was used"
