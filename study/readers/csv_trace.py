"""A trace as a text table: a column of times, seconds, and one of values."""

from pathlib import Path
from typing import Final

from ...contracts.errors import UserError, one_line
from .contents import Samples
from .table import Table, column_like

_TIMES: Final = (
    *("time", "t", "time_s", "time (s)", "timestamp", "seconds", "sec", "time_sec", "onset", "zeit"),
    "column 1",
)


def read_csv_trace(path: Path, column: str | None = None) -> Samples:
    """The values of `column`, or of the only one beside the times.

    Raises:
        UserError: the file cannot be read; no column of times; several columns and no choice.
    """
    table = Table(path)
    time = column_like(table, *_TIMES)
    if time is None:
        names = one_line(", ".join(table.names[:8]))[:120]
        raise UserError(f"{path}: no column of times among {names}; give a --mapping")
    others = [name for name in table.names if name != time]
    if column is None and len(others) != 1:
        raise UserError(f"{path}: {len(others)} columns beside {one_line(time)}; choose with --column")
    name = column or others[0]
    numbers = table.numbers([time, name])
    return Samples(path.stem, numbers[:, 0], numbers[:, 1:], (name,))
