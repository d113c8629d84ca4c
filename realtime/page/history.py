"""Past estimates, for clients that connect later."""

from array import array
from bisect import bisect_left
from typing import Annotated, Final

import msgspec

from ..engine.estimate import Estimate

RECENT: Final = 60.0  # s


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


class History:
    """Stores estimates by column, 32 bytes a tick plus one for each modality.

    Attributes:
        whole: whether to keep all estimates instead of the last minute's.
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
        if (old := self._old()) > len(self._t) // 2:  # half at a time: each tick is moved about once
            for column in (self._t, *self._columns.values()):
                del column[:old]
            for presence in self._present.values():
                del presence[:old]

    def columns(self) -> Columns:
        old = self._old()
        return Columns(
            self._t[old:].tolist(),
            **{name: column[old:].tolist() for name, column in self._columns.items()},
            present={modality: list(data[old:]) for modality, data in self._present.items()},
        )

    def _old(self) -> int:
        """How many of the first estimates are too old."""
        return 0 if self.whole or not self._t else bisect_left(self._t, self._t[-1] - RECENT)
