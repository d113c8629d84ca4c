"""What a run leaves in a session's folder: features, observations, estimates, and media if asked for."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from ..contracts.errors import UserError
from .engine.estimate import Estimate
from .sources.live import LiveSource
from .sources.source import Source
from .store.folder import SessionWriter
from .store.media import MediaWriter
from .streams.counts import conservation
from .streams.samples import Observation

MEDIA: Final = "media.mkv"  # in a session's folder


class Recorder:
    """Records a run; see `store.folder`. Used by the run's thread; a context manager, then `end`.

    Args:
        folder: a new one.
        description: for `session.json`.
        source: whose samples, and pictures and sound if it is to keep them, are recorded; it is open.

    Raises:
        UserError: the folder cannot be written, or there is nothing to keep; later, from any call, writing
            has failed: what was written before stays readable.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any], source: Source) -> None:
        self._source = source
        self._media: MediaWriter | None = None
        materials = source.materials if isinstance(source, LiveSource) else set()
        if source.keeps_media and not materials:
            raise UserError("there are no pictures and no sound to keep: features are kept anyway")
        media = MEDIA if source.keeps_media else None
        self._session = SessionWriter(folder, {**description, "media": media})
        if source.keeps_media and isinstance(source, LiveSource):
            self._media = MediaWriter(
                folder / MEDIA, pictures="pictures" in materials, sound="sound" in materials
            )
            source.keep_media(self._media)
        source.arrivals = []

    def record(self, observation: Observation, estimate: Estimate) -> None:
        """Record a tick, and the samples that have come since the one before."""
        self._record_samples()
        self._session.observation(observation)
        self._session.estimate(estimate)
        if self._media is not None:
            self._media.check()

    def mark(self, time: int, label: str) -> None:
        """Record a mark at that time, ns."""
        self._session.mark(time, label)

    @property
    def media_counts(self) -> dict[str, Any]:
        """What became of pictures and sound, for the summary."""
        return {} if self._media is None else {"media": conservation(self._media.counts)}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._media is not None:
            self._media.__exit__(kind, error, trace)

    def end(self, summary: Callable[[], dict[str, Any]], failure: type[BaseException] | None) -> None:
        """End the session, once its source is closed. After a `failure` other than those that a person
        causes or can mend, it counts as one that was not ended; so it does where this is interrupted."""
        try:
            self._record_samples()
            if failure is None or issubclass(failure, KeyboardInterrupt | UserError):
                self._session.close(summary())
        finally:
            self._session.__exit__(failure or KeyboardInterrupt, None, None)  # without effect once closed

    def _record_samples(self) -> None:
        arrivals = self._source.arrivals
        assert arrivals is not None
        n = len(arrivals)  # devices append meanwhile
        for sample, arrived in arrivals[:n]:
            self._session.sample(sample, arrived)
        del arrivals[:n]
