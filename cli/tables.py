"""Tables on standard output."""

import sys
from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from .styled import StyledConsole


def print_table(first: str, numbers: Sequence[str], last: str, rows: Iterable[Sequence[str | Text]]) -> None:
    """A column of text, columns of numbers, another of text; folded to a terminal, whole elsewhere."""
    console = StyledConsole(sys.stdout)
    if not console.is_terminal:
        console.width = 1000
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(last, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    console.print(table)
