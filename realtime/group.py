"""Several people with devices of their own in one session: a run for each, on one clock, in one folder.

    people = {"anna": LiveSession(0, "lapel 1"), "ben": LiveSession(1, "lapel 2")}
    with Group(people, record=Path("pair")) as group:
        group.start()
        group.wait(60)

Each person has a model of their own, and their session is as it would be alone: what fails there ends it,
and disturbs no other.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..contracts.console import say
from ..contracts.errors import UserError, one_line
from .engine.estimate import Estimate
from .outputs.addresses import page_opening
from .outputs.output import Opening
from .run import Run
from .session import LiveSession
from .sources.live import LiveSource
from .store.group import JSON, Member, check_names, complete, write_group
from .store.private import make_private
from .streams.wall_clock import began_at

if TYPE_CHECKING:
    from .page.server import PageServer


class Group:
    """The sessions of several people at the same time. A context manager; `start` it within.

    Args:
        people: by name; not entered yet.
        record: a new folder for all of them, or None; see `store.group`.
        warn: called with a line when one of them has ended early, from any thread.
        to: the address of a page that shows all of them, as `ui`; None: no page.

    Attributes:
        people: as given.
        page: its server, None without one.
        failures: by name, what ended a session early.

    Raises:
        UserError: on entering, names that cannot be, the folder, or what does not open, whose it is first;
            nothing is left open then.
    """

    def __init__(
        self,
        people: Mapping[str, LiveSession],
        record: Path | None = None,
        warn: Callable[[str], None] = say,
        to: str | None = None,
    ) -> None:
        check_names(list(people))
        self._opening = None if to is None else page_opening(to, Opening(warn=warn), list(people))
        self.page: PageServer | None = None
        self.people, self.record = people, record
        self.failures: dict[str, str] = {}
        self._warn = warn
        self._threads: dict[str, threading.Thread] = {}
        self._made: list[Path] = []  # folders, the innermost first
        self._raised: BaseException | None = None
        for name, session in people.items():
            if record is not None:
                session.record = record / name

    def __enter__(self) -> Self:
        if self.record is not None:
            self._make_folder(self.record)
        with contextlib.ExitStack() as stack:
            stack.callback(self._discard)
            if self._opening is not None:
                self.page = self._opening.open()
                self.page.warn = self._warn
                stack.callback(self.page.close, False)
            for name, session in self.people.items():
                if self.page is not None:
                    session.views.append(self.page.views[name])
                try:
                    stack.enter_context(session)
                except UserError as error:
                    raise UserError(f"{name}: {error}") from None
            stack.pop_all()  # each is left in the thread of its own
        return self

    def start(self, each: Callable[[str, Estimate], None] = lambda name, estimate: None) -> None:
        """Let all begin at the same time zero; `each` is called with every estimate, in its person's thread.

        Raises:
            UserError: the folder cannot be written.
        """
        sources = [session.source for session in self.people.values()]
        zero = time.monotonic_ns()
        started = began_at(zero, time.monotonic_ns)
        for source in sources:
            assert isinstance(source, LiveSource)
            source.began, source.zero = started, zero  # in this order: with a zero media are kept
        if self.record is not None:
            try:
                write_group(self.record, [Member(name) for name in self.people], started)
            except OSError as error:
                raise UserError(f"{self.record}: cannot be written ({error.strerror})") from None
        for name, session in self.people.items():
            work = partial(self._run, name, session, each)
            self._threads[name] = threading.Thread(target=work, name=f"enrapt {name}", daemon=True)
        for thread in self._threads.values():
            thread.start()

    @property
    def running(self) -> list[str]:
        """Those whose session has not ended."""
        return [name for name, thread in self._threads.items() if thread.is_alive()]

    def wait(self, seconds: float | None = None) -> None:
        """Until all have ended, or for so long."""
        deadline = None if seconds is None else time.monotonic() + seconds
        for thread in self._threads.values():
            thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def stop(self) -> None:
        """End all of them after the current tick; also from a signal handler."""
        for session in self.people.values():
            session.stop()

    def mark(self, label: str) -> None:
        """A mark at this moment in the session of each."""
        for session in self.people.values():
            session.mark(label)

    def _run(self, name: str, session: Run, each: Callable[[str, Estimate], None]) -> None:
        try:
            with contextlib.ExitStack() as entered:
                entered.push(session)  # is left here: its devices are closed, its files finished
                for estimate in session:
                    each(name, estimate)
        except Exception as error:
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            self.failures[name] = one_line(f"{kind}{error}")
            self._warn(f"{name}: the session has ended: {self.failures[name]}")
        except BaseException as error:
            self._raised = error
        finally:
            if self.page is not None:
                self.page.views[name].end(self.failures.get(name, ""))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        with contextlib.ExitStack() as stack:
            stack.callback(self._discard)
            if self.page is not None:
                stack.callback(self.page.close, True)
            for name, session in self.people.items():
                if name not in self._threads:  # `start` was not called, or has failed
                    stack.push(session)
            self.wait()
        if self._raised is not None and error is None:
            raise self._raised

    def _make_folder(self, folder: Path) -> None:
        self._made = [each for each in (folder, *folder.parents) if not each.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise UserError(f"{folder}: is not empty; give a new folder for the session")
            make_private(folder)
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error.strerror}); give another folder") from None

    def _discard(self) -> None:
        """Leave no folder of a session in which there was no tick."""
        if self.record is None or complete(self.record, list(self.people)):
            return
        with contextlib.suppress(OSError):
            (self.record / JSON).unlink(missing_ok=True)
            for made in self._made:
                made.rmdir()
