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
        """What the run is, as JSON values.

        Keys: `kind` (`live` or `replay`), `name`, `rate`, `bundle` (`name`, `sha256`, `trained_on`,
        `not_for`), `modalities`, `schemas` (schema name by modality), `sources` (modalities with a source),
        `can` (controls that work, by method name; `pause` includes `resume`), `recording` (folder or None),
        `media_kept`, `duration` (seconds or None).
        """

    def status(self) -> dict[str, Any]:
        """How the run is doing, as JSON values that do not change afterwards.

        Keys: `devices` (list of `name`, `state`, `format`), `drops` (count by reason, by modality),
        `latency_ms` (`p50`, `p95`, `p99` by stage), `paused`, `calibrated` (level or None), `outputs` (counts
        by address).
        """

    def landmarks(self) -> Landmarks | None:
        """Of the face in the newest picture; None without a preview."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def mark(self, label: str) -> None: ...
    def reset(self) -> None: ...
    def calibrate(self) -> None: ...
