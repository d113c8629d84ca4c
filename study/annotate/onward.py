"""The sessions of a study that a rater has not rated, one after the other."""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from ...contracts.errors import UserError
from ...realtime.recorder import MEDIA
from .. import labels
from ..ratings import check_names
from ..study import Dimension, StudySession, read_study
from .material import dimensions_of, material_of
from .playable import playable
from .task import Task, Wanted, task_of


class Onward:
    """Goes from session to session. The next one is made playable while one is rated, by one thread.

    A session counts as rated when the rater has a label in each dimension; it can be rated again by itself.
    Sessions without `media.mkv`, and those that cannot be opened, are passed over, with a line.

    Args:
        wanted: of a study; stretches are not offered.
        folder: for copies that browsers play; two at a time.
        warn: called with a line, from any thread.

    Attributes:
        tasks: that were rated, the newest last.

    Raises:
        UserError: the study has no session to play; a name cannot be.
    """

    def __init__(self, study: Path, wanted: Wanted, folder: Path, warn: Callable[[str], None]) -> None:
        self._wanted = dataclasses.replace(wanted, study=study, offer=False)
        self._dimensions = dimensions_of(study, study, wanted.dimensions)
        check_names(wanted.rater, self._dimensions[0].name)
        sessions = read_study(study).sessions
        self._sessions = [one for one in sessions if (one.folder / MEDIA).is_file()]
        if not self._sessions:
            raise UserError(f"{study}: has no session with {MEDIA} to play; record with --keep-media")
        if silent := [one.name for one in sessions if one not in self._sessions]:
            more = ", …" if len(silent) > 5 else ""
            warn(f"without {MEDIA}, passed over: {', '.join(silent[:5])}{more} ({len(silent)} sessions)")
        self._folder, self._warn = folder, warn
        self._passed: set[Path] = set()
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "enrapt annotate next")
        self._next: _Preparation | None = None
        self.tasks: list[Task] = []

    def after(self, task: Task | None) -> Task | float | None:
        """The next task; or the share of its copy that is made; None if no other session is left.

        Args:
            task: that was rated until now; its copy is deleted when the next one is given.
        """
        with self._lock:
            here = None if task is None else task.material.session
            while (session := next(self._left(here), None)) is not None:
                if self._next is None or self._next.session is not session:
                    self._prepare(session)
                assert self._next is not None
                if not self._next.result.done():
                    return self._next.share
                try:
                    found = self._next.result.result()
                except UserError as error:
                    self._warn(f"{session.name}: passed over: {error}")
                    self._passed.add(session.folder)
                    continue
                finally:
                    self._next = None
                if task is not None and task.played.path.parent.parent == self._folder:
                    with contextlib.suppress(OSError):  # still open, on some systems
                        task.played.path.unlink()
                self.tasks.append(found)
                if (then := next(self._left(found.material.session), None)) is not None:
                    self._prepare(then)
                return found
        return None

    def first(self, progress: Callable[[str, float], None]) -> Task | None:
        """The first session that is not rated, once it is playable; None if all are.

        Args:
            progress: called with its name and the share of its copy that is made.
        """
        while isinstance(found := self.after(None), float):
            assert self._next is not None
            progress(self._next.session.name, found)
            with contextlib.suppress(Exception):  # which the next look at it raises
                self._next.result.exception(0.5)
        return found

    @property
    def rated(self) -> tuple[int, int]:
        """How many sessions the rater has rated, and of how many."""
        return sum(map(self._is_rated, self._sessions)), len(self._sessions)

    def close(self) -> None:
        """End a copy that is being made."""
        if self._next is not None:
            self._next.over.set()
        self._worker.shutdown(cancel_futures=True)

    def _left(self, here: Path | None) -> Iterator[StudySession]:
        """Sessions that are not rated: those after this one, then those before it."""
        folders = [one.folder for one in self._sessions]
        begin = folders.index(here) + 1 if here in folders else 0
        for session in self._sessions[begin:] + self._sessions[:begin]:
            if session.folder not in self._passed and session.folder != here and not self._is_rated(session):
                yield session

    def _is_rated(self, session: StudySession) -> bool:
        return all(_has(session.folder, dimension, self._wanted.rater) for dimension in self._dimensions)

    def _prepare(self, session: StudySession) -> None:
        if self._next is not None:
            self._next.over.set()
        preparation = _Preparation(session)
        folder = self._folder / f"{len(self.tasks)}-{len(self._passed)}"
        preparation.result = self._worker.submit(preparation.make, self._wanted, folder)
        self._next = preparation


class _Over(Exception):
    """Nobody wants the copy any more."""


class _Preparation:
    """A session that is made playable."""

    def __init__(self, session: StudySession) -> None:
        self.session, self.share, self.over = session, 0.0, threading.Event()
        self.result: Future[Task] = Future()

    def make(self, wanted: Wanted, folder: Path) -> Task:
        material = material_of(self.session.folder, None, None)
        material = dataclasses.replace(material, title=self.session.name)
        task_of(wanted, material)  # whatever does not fit is refused before a copy is made, which takes long
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot be made ({error.strerror})") from None
        played = playable(material.media, folder, own_axis=material.own_axis, progress=self._progress)
        return task_of(wanted, material, played)

    def _progress(self, share: float) -> None:
        self.share = share
        if self.over.is_set():
            raise _Over


def _has(folder: Path, dimension: Dimension, rater: str) -> bool:
    """Whether that rater has rated something there, in labels that can be read."""
    try:
        label = labels.read(labels.path_of(folder, dimension.name, rater))
    except UserError:
        return False
    return label.kind == dimension.kind and label.rated > 0
