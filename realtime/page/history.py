"""What the estimates were, for who comes later."""

from array import array
from bisect import bisect_left
from typing import Any, Final

from ..engine.estimate import Estimate

RECENT: Final = 60.0  # s


class History:
    """Estimates by column, 32 bytes a tick and one for each modality.

    Attributes:
        whole: keep all, not only the last minute.
    """

    def __init__(self) -> None:
        self.whole = False
        self._t = array("d")
        self._columns = {name: array("d") for name in ("mean", "low", "high")}
        self._present: dict[str, bytearray] = {}

    def add(self, estimate: Estimate) -> None:
        self._t.append(estimate.t)
        for name, column in self._columns.items():
            column.append(getattr(estimate.engagement, name))
        for modality, present in estimate.present.items():
            self._present.setdefault(modality, bytearray(len(self._t) - 1)).append(present)
        if (gone := self._gone()) > len(self._t) // 2:  # half at a time: each tick is moved once or so
            for column in (self._t, *self._columns.values()):
                del column[:gone]
            for told in self._present.values():
                del told[:gone]

    def columns(self) -> dict[str, Any]:
        """`t` in seconds, `mean`, `low`, `high` of engagement, and `present`, 0 or 1 by modality."""
        gone = self._gone()
        return {
            "t": self._t[gone:].tolist(),
            **{name: column[gone:].tolist() for name, column in self._columns.items()},
            "present": {modality: list(data[gone:]) for modality, data in self._present.items()},
        }

    def _gone(self) -> int:
        """How many at the beginning are too old."""
        return 0 if self.whole or not self._t else bisect_left(self._t, self._t[-1] - RECENT)
