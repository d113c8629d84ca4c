"""What the page needs from a run."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# Of the followed person, `[n, 2]`, shares of the picture's width and height, None if not in view; those of
# others in view by their ids; and the picture's width / height.
Landmarks = tuple[NDArray[np.float32] | None, Mapping[int, NDArray[np.float32]], float]


class Observed(Protocol):
    """A run that the page shows and controls.

    The run's thread calls `description`, `status`, `person` and `landmarks`. The server's thread calls the
    controls, of which see `Controls`: they return at once and take effect between two ticks.
    """

    @property
    def rate(self) -> int:
        """Ticks per second."""

    def description(self) -> dict[str, Any]:
        """What the run is, as JSON values; see `describe.description`."""

    def status(self) -> dict[str, Any]:
        """How the run is doing, as JSON values that do not change afterwards; see `describe.status`."""

    @property
    def person(self) -> int | None:
        """Id of the one that is followed."""

    def landmarks(self) -> Landmarks | None:
        """Of the faces in the newest picture; None without a preview."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def mark(self, label: str) -> None: ...
    def reset(self) -> None: ...
    def calibrate(self) -> None: ...
    def follow(self, person: int) -> None: ...
