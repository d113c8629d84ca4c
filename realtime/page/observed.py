"""What the page needs from a run."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# `[n, 2]`, shares of the picture's width and height, None without a face; and the picture's width / height.
Landmarks = tuple[NDArray[np.float32] | None, float]


class Observed(Protocol):
    """A run that the page shows and controls.

    The run's thread calls `description`, `status` and `landmarks`. The server's thread calls the controls, of
    which see `Controls`: they return at once and take effect between two ticks.
    """

    @property
    def rate(self) -> int:
        """Ticks per second."""

    def description(self) -> dict[str, Any]:
        """What the run is, as JSON values; see `describe.description`."""

    def status(self) -> dict[str, Any]:
        """How the run is doing, as JSON values that do not change afterwards; see `describe.status`."""

    def landmarks(self) -> Landmarks | None:
        """Of the face in the newest picture; None without a preview."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def mark(self, label: str) -> None: ...
    def reset(self) -> None: ...
    def calibrate(self) -> None: ...
