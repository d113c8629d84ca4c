"""Records a run in a session's folder: features, observations, estimates, and with `keep_media` media."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..contracts.errors import UserError
from .engine.estimate import Estimate
from .sources.live import LiveSource
from .sources.source import Source
from .store.folder import SessionWriter
from .store.media import MediaWriter
from .streams.samples import Observation

if TYPE_CHECKING:
    from .sources.lsl_clock import LslClock

MEDIA: Final = "media.mkv"  # in a session's folder
CLOCK: Final = "clock.csv"  # likewise; see `sources.lsl_clock`


class Recorder:
    """Records a run with an open source in a new folder; see `store.folder`. Used by the run's thread.

    Attributes:
        media: writes pictures and sound, if the source is to keep them; it must be closed before `end`.
        clock: writes how the session's clock stands to another machine's, if that was asked for; likewise.

    Raises:
        UserError: the folder cannot be written, or there is nothing to keep; later, from any call, writing
            has failed: what was written before stays readable.
    """

    def __init__(
        self,
        folder: Path,
        description: Mapping[str, Any],
        source: Source,
        started: datetime | None = None,
        clock: str | None = None,
    ) -> None:
        self._source = source
        self.clock: LslClock | None = None
        self.media: MediaWriter | None = None
        materials = source.materials if isinstance(source, LiveSource) else set()
        if source.keeps_media and not materials:
            raise UserError("there are no pictures and no sound to keep: features are kept anyway")
        media = MEDIA if source.keeps_media else None
        self._session = SessionWriter(folder, {**description, "media": media}, started)
        self._folder, self._recorded = folder, False
        if source.keeps_media and isinstance(source, LiveSource):
            pictures, sound = "pictures" in materials, "sound" in materials
            try:
                self.media = MediaWriter(folder / MEDIA, pictures=pictures, sound=sound)
            except BaseException:
                self.discard()
                raise
            source.keep_media(self.media)
        if clock is not None:
            self.clock = self._followed(clock)
        source.arrivals = []

    def _followed(self, address: str) -> "LslClock":
        try:
            from .sources.lsl_clock import LslClock  # which needs pylsl

            if not isinstance(self._source, LiveSource):
                raise UserError("--clock: is for live devices")
            return LslClock(address, self._folder / CLOCK, self._source)
        except UserError:
            self.discard()
            raise

    def record(self, observation: Observation, estimate: Estimate) -> None:
        """Record a tick, and the samples that have come since the one before."""
        if not self._recorded and isinstance(self._source, LiveSource) and self._source.began is not None:
            self._session.began(self._source.began)
        self._recorded = True
        self._record_samples()
        self._session.observation(observation)
        self._session.estimate(estimate)
        if self.media is not None:
            self.media.check()

    def mark(self, time: int, label: str) -> None:
        """Record a mark at `time`, ns."""
        self._session.mark(time, label)

    def end(self, summary: Callable[[], dict[str, Any]], failure: type[BaseException] | None) -> None:
        """End the session, once its source is closed.

        After a `failure` other than Ctrl-C and user errors, or if interrupted, it counts as not ended.
        Without a tick nothing of it is left: the next start gets the folder.
        """
        if not self._recorded:
            self.discard()
            return
        try:
            self._record_samples()
            if failure is None or issubclass(failure, KeyboardInterrupt | UserError):
                self._session.close(summary())
        finally:
            self._session.__exit__(failure or KeyboardInterrupt, None, None)  # without effect once closed

    def discard(self) -> None:
        """Leave nothing; `media` and `clock` must be closed."""
        for name in (MEDIA, CLOCK):
            (self._folder / name).unlink(missing_ok=True)
        self._session.discard()

    def _record_samples(self) -> None:
        arrivals = self._source.arrivals
        assert arrivals is not None
        n = len(arrivals)  # devices append meanwhile
        for sample, arrived in arrivals[:n]:
            self._session.sample(sample, arrived)
        del arrivals[:n]
