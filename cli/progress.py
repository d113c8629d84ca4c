"""How far a command with several recordings is."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ..contracts.errors import one_line
from .batch import Result
from .recordings import Item
from .styled import StyledConsole

_NAMED: Final = 5  # of the files that are left out


def announce(items: Sequence[Item], left_out: Sequence[str], jobs: int, folder: Path) -> None:
    """What is going to be done, and which files are no recordings."""
    if left_out:
        more = f" and {len(left_out) - _NAMED} more" * (len(left_out) > _NAMED)
        print(f"no recordings, left out: {one_line(', '.join(left_out[:_NAMED]))}{more}", file=sys.stderr)
    print(f"recordings: {len(items)}, {min(jobs, len(items))} at a time, to {folder}", file=sys.stderr)


class BatchProgress:
    """A bar on a terminal, a line for each recording elsewhere; what failed is a line on both."""

    def __init__(self, items: int) -> None:
        self._items = items
        self._console = StyledConsole(sys.stderr)
        self._bar = Progress(
            *(
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
            ),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=items)
        self._done = 0
        self._running: dict[Item, float] = {}  # the share that is done

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, item: Item, share: float) -> None:
        self._running[item] = share
        self._bar.update(self._task, completed=self._done + sum(self._running.values()))

    def report(self, result: Result) -> None:
        self._done += 1
        self._running.pop(result.item, None)
        self._bar.update(self._task, completed=self._done + sum(self._running.values()))
        if result.row is None or not (result.kept or self._console.is_terminal):
            what = f"failed: {result.error}" if result.row is None else f"{result.row['ticks']} ticks"
            line = f"{self._done} of {self._items}: {one_line(result.item.name)}: {what}"
            self._console.print(line, markup=False, soft_wrap=True)
