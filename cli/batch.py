"""Runs a function over many recordings, in processes, and resumes where it was stopped.

A recording that fails, or crashes its process, does not stop the others. What the function returns for each
is kept as JSON, with what it was made from; a recording whose JSON is there and is made from the same is not
done again.
"""

import contextlib
import json
import multiprocessing
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final

from ..contracts.errors import UserError, one_line
from ..contracts.files import write_atomically
from .recordings import Item

Row = dict[str, Any]  # JSON values
Function = Callable[[Item, Callable[[float], None]], Row]

_LOOK: Final = 0.2  # s between two looks at whether to stop
_context = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a recording: a row, or one line with the error; kept if it was there already."""

    item: Item
    row: Row | None
    error: str = ""
    kept: bool = False


def run_batch(
    function: Function,
    items: Sequence[Item],
    folder: Path,
    settings: Mapping[str, Any],
    jobs: int,
    stop: threading.Event,
    progress: Callable[[Item, float], None],
) -> Iterator[Result]:
    """The result of each recording: first of those that are done already, then as they come.

    Processes stay alive from one recording to the next. They end with this iteration; call it in the main
    thread.

    Args:
        function: gives the row of a recording, and may call its second argument with the share that is done.
            It is pickled once for each process.
        folder: gets `NAME.summary.json` for each recording, and those folders that NAME has.
        settings: JSON values that the row depends on, beside the recording.
        jobs: processes at the same time.
        stop: when it is set the iteration ends soon; what is running is lost.
        progress: called with the share of a running recording that is done.
    """
    left = []
    for item in items:
        if (row := _kept(item, folder, settings)) is not None:
            yield Result(item, row, kept=True)
        else:
            left.append(item)
    for item in left:
        with contextlib.suppress(OSError):  # which writing meets again
            summary_path(folder, item).parent.mkdir(parents=True, exist_ok=True)
            summary_path(folder, item).unlink(missing_ok=True)  # of other content, or other settings
    made_from = {item: _made_from(item, settings) for item in left}  # before they are read
    for result in run_each(function, left, jobs, stop, progress):
        if result.row is not None:
            content = {"made_from": made_from[result.item]} | result.row
            data = json.dumps(content, indent=2).encode() + b"\n"
            try:
                write_atomically(summary_path(folder, result.item), data)
            except UserError as error:
                result = Result(result.item, None, str(error))
        yield result


def summary_path(folder: Path, item: Item) -> Path:
    return folder / f"{item.name}.summary.json"


def _kept(item: Item, folder: Path, settings: Mapping[str, Any]) -> Row | None:
    try:
        row = json.loads(summary_path(folder, item).read_bytes())
        return row if row.pop("made_from") == _made_from(item, settings) else None
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        return None


def _made_from(item: Item, settings: Mapping[str, Any]) -> Any:
    stats = []
    with contextlib.suppress(OSError):  # which reading it meets again
        files = item.path.iterdir() if item.path.is_dir() else [item.path]
        stats = [file.stat() for file in files]
    size, modified = sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)
    made_from = {"path": str(item.path), "bytes": size, "modified_ns": modified, **settings}
    return json.loads(json.dumps(made_from))  # as it is read back


class _Worker:
    """A process that applies a function to one recording after the other."""

    def __init__(self, function: Function) -> None:
        self.connection, theirs = _context.Pipe()
        self.process = _context.Process(target=_work, args=(theirs, function), daemon=True)
        # Ignored signals are inherited: those to the group of all processes are for this one, which kills.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.process.start()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        theirs.close()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()

    def crash(self) -> str:
        """What ended it."""
        self.process.join()
        code = self.process.exitcode or 0
        return f"its process crashed ({signal.Signals(-code).name if code < 0 else f'status {code}'})"


def _work(connection: Connection, function: Function) -> None:
    while True:
        try:
            item = connection.recv()
        except EOFError:  # the parent has ended
            return
        try:
            connection.send(attempt(function, item, connection.send))
        except OSError:
            return


def attempt(function: Function, item: Item, progress: Callable[[float], None]) -> Result:
    """The result of a recording, in this process."""
    try:
        return Result(item, function(item, progress))
    except UserError as error:
        return Result(item, None, " ".join(str(error).split()).removeprefix(f"{item.path}: "))
    except Exception as error:
        return Result(item, None, f"{type(error).__name__}: {one_line(error)}")


def run_each(
    function: Function,
    items: Sequence[Item],
    jobs: int,
    stop: threading.Event,
    progress: Callable[[Item, float], None],
) -> Iterator[Result]:
    """The result of each recording, as they come; keeps nothing. See `run_batch`."""
    left = list(reversed(items))
    idle: list[_Worker] = []
    busy: dict[Connection, tuple[_Worker, Item]] = {}
    try:
        while (left or busy) and not stop.is_set():
            while left and len(busy) < jobs:
                worker = idle.pop() if idle else _Worker(function)
                item = left.pop()
                busy[worker.connection] = worker, item
                worker.connection.send(item)
            for connection in wait(list(busy), _LOOK):
                assert isinstance(connection, Connection)
                worker, item = busy[connection]
                try:
                    answer = connection.recv()
                except (EOFError, OSError):
                    answer = Result(item, None, worker.crash())
                    worker.kill()
                else:
                    if not isinstance(answer, Result):
                        progress(item, answer)
                        continue
                    idle.append(worker)
                del busy[connection]
                yield answer
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.kill()
