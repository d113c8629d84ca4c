"""The state of a run, as the page shows it."""

from collections.abc import Callable
from typing import Any

from ..engine.estimate import Estimate
from ..streams.samples import Observation
from .observed import Observed
from .wire import Described, Ended, Mark, Named, Tick, landmarks_to_bytes, packed, values_to_bytes


class View:
    """Tells the page's process of one run: an `Output`, used by that run's thread.

    Args:
        put: takes each message; it never waits.
        name: of the run's person, where there are several runs.

    Attributes:
        run: that is shown, None before `observe`.
        description: of it, as it is sent first.
    """

    def __init__(self, put: Callable[[bytes], Any], name: str = "") -> None:
        self._put, self._name = put, name
        self.run: Observed | None = None
        self.description: bytes | None = None
        self._tick: int | None = None  # of the last estimate
        self._person: int | None = None  # who is followed

    def observe(self, run: Observed) -> None:
        """Show this run, and let clients control it. Call it before the run's first estimate."""
        self.run = run
        self.description = self._packed(Described(run.description()))

    def write(self, estimate: Estimate, observation: Observation) -> None:
        """Send an estimate and, of the observed run, its landmarks and once a second its status."""
        run, status, landmarks = self.run, None, None
        if run is not None and estimate.tick != self._tick:  # once a tick, however many people there are
            status = run.status() if estimate.tick % run.rate == 0 else None
            landmarks = run.landmarks()
        self._tick = estimate.tick
        if run is not None:
            self._person = run.person or self._person  # also at a tick without a picture
        points = None if landmarks is None else landmarks_to_bytes(landmarks)
        values = values_to_bytes(observation.values)
        self._put(self._packed(Tick(estimate, values, self._person, status, points)))

    def mark(self, t: float, label: str) -> None:
        self._put(self._packed(Mark(t, label)))

    def end(self, why: str) -> None:
        """The run is over; `why` is empty where it ended as it was to."""
        self._put(self._packed(Ended(why)))

    def close(self, complete: bool) -> None:
        """It is not a view's to close what it tells."""

    def _packed(self, message: Described | Tick | Mark | Ended) -> bytes:
        return packed(Named(self._name, message) if self._name else message)
