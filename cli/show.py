"""Runs a `Run` on the terminal: view, signals, summary, exit status."""

import atexit
import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from ..contracts.console import say
from .stats import StatsFile

if TYPE_CHECKING:
    from ..realtime.engine.estimate import Estimate
    from ..realtime.run import Run
    from ..realtime.sources.source import SourceFailure
    from ..realtime.truth import Truth


_HANGUP: Final = getattr(signal, "SIGHUP", None)  # not on Windows


def show(
    run: "Run",
    *,
    duration: float | None = None,
    stats: Path | None = None,
    each: "Callable[[Estimate], None]" = lambda estimate: None,
    truth: "Truth | None" = None,
) -> int:
    """Run until the end, a signal, or for `duration` seconds; print the summary; give the exit status.

    0: done. 1: the recording is damaged, and the estimates are of what could be read, or an output has lost
    some. 130: interrupted.

    Args:
        stats: where to write the summary as JSON, too.
        each: called with every estimate.
        truth: what engagement is known to be.
    """
    from ..realtime.outputs.output import OutputFailure
    from ..realtime.sources.source import SourceFailure
    from .summary import summary
    from .view import View, devices

    live = bool(run.source.devices) or run.source.name == "live"
    broken: SourceFailure | None = None
    wall, page = 0.0, None
    with contextlib.ExitStack() as end, StatsFile(stats, [run]) as stats_file:
        # A failure of an output is among the problems.
        with contextlib.suppress(OutputFailure), contextlib.ExitStack() as stack:
            stack.enter_context(run)
            if live:
                say(f"live: {devices(run)}; Ctrl-C ends it")
            else:
                say(_plan(run))
            if run.profile is not None:
                say(f"profile {run.profile.name}: of {run.profile.made_of}, {run.profile.made}")
            if run.page is not None:
                say(f"page: {run.page.invitation}")
            view = stack.enter_context(View(run, truth))
            began = time.perf_counter()
            with signals(run.stop) as received:
                try:
                    for estimate in run:
                        assert run.observation is not None
                        view.update(estimate, run.observation)
                        each(estimate)
                        if duration is not None and estimate.tick >= duration * run.rate:
                            break
                except SourceFailure as error:
                    broken = error
                except OutputFailure:
                    pass
            end.enter_context(closing())
            wall = time.perf_counter() - began
            page = None if live or received else run.outputs.keep_page()
        lines = problems(run, broken)
        status = 130 if received and not live else 0
        try:
            stats_file.write(run.summary() | {"problems": lines})
        except OSError as error:
            warn(f"--stats {stats}: cannot be written ({error.strerror})")
            status = status or 1
    for line in run.source.notes:
        say(f"enrapt: {run.source.name}: {line}")
    for line in lines:
        of_source = "" if line in run.outputs.failures else f"{run.source.name}: "
        say(f"enrapt: {of_source}{line}")
        status = 1 if broken is not None else status or 1
    # Not between the estimates, where they go to standard output.
    stream = sys.stderr if any(address.split(":")[-1] == "-" for address in run.to) else sys.stdout
    say(summary(run, wall), stream)
    if page is not None:
        say(f"\nthe replay is over; {page.invitation} stays until Ctrl-C")
        over = threading.Event()
        with signals(over.set):
            over.wait()
        page.close(True)
    return status


def problems(run: "Run", failure: "SourceFailure | None") -> list[str]:
    """What of the source or an output failed, or could not be read, a line each.

    Args:
        failure: what ended the iteration early.
    """
    last = [] if failure is None else [f"{failure}; the estimates are of what came before"]
    return [*run.source.problems, *run.outputs.failures, *last]


def _plan(run: "Run") -> str:
    """What a replay is going to do."""
    source = run.source
    length = "of unknown duration"
    if source.duration is not None and source.start <= source.duration < math.inf:
        ticks = math.floor((source.duration - source.start) * run.rate + 1e-6) + 1
        length = f"{source.start:.1f} to {source.duration:.1f} s, about {ticks} ticks"
    lacking = [w.name for w in run.wanted if w.offer is None]
    taken = [f"{name} from {text}" for name, text in source.taken.items()]
    inputs = "; ".join([*taken, *(f"{name} missing" for name in lacking)])
    return f"replay: {source.name}, {length}" + (f"\n{inputs}" if inputs else "")


def warn(line: str) -> None:
    """A line for the user about an output."""
    say(f"enrapt: {line}")


@contextlib.contextmanager
def signals(end_with: Callable[[], None]) -> Iterator[list[int]]:
    """Ctrl-C, SIGTERM and SIGHUP, which it yields, call `end_with`; a second one ends the program.

    Further ones of a terminal that is closed (SIGHUP) do not: it sends several. Under nohup there are none.
    """
    received: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        received.append(number)
        end_with()
        restore()
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_DFL)  # no traceback of a second one then

    def restore() -> None:
        for name, handler in before.items():
            signal.signal(name, signal.SIG_IGN if name == _HANGUP and received else handler)

    names = [signal.SIGINT, signal.SIGTERM]
    if _HANGUP is not None and signal.getsignal(_HANGUP) != signal.SIG_IGN:
        names.append(_HANGUP)
    before: dict[int, Any] = {name: signal.signal(name, end) for name in names}
    try:
        yield received
    finally:
        restore()


@contextlib.contextmanager
def interrupts_kept() -> Iterator[None]:
    """Ctrl-C within a callback of the interpreter, a weak reference's for instance, comes again after it.

    Python would only report it there.
    """
    before = sys.unraisablehook

    def report(unraisable: Any) -> None:
        if unraisable.exc_type is KeyboardInterrupt:
            threading.Timer(0.01, signal.raise_signal, [signal.SIGINT]).start()
        else:
            before(unraisable)

    sys.unraisablehook = report
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextlib.contextmanager
def closing() -> Iterator[None]:
    """While files are being finished, a terminal that is closed does not end the program."""
    if _HANGUP is None:
        yield
        return
    before = signal.signal(_HANGUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(_HANGUP, before)
