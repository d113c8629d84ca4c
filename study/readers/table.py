"""Text tables: separators, headers and decimal commas are recognised; columns are read by name."""

import csv
import itertools
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np

from ...contracts.errors import UserError, one_line
from ...contracts.regular import open_regular
from .contents import MAX_NUMBERS, Array, decoded, readable

MAX_LINE: Final = 2**17  # bytes; 700 columns of OpenFace have 2¹³
MAX_COLUMNS: Final = 2**13
_BLOCK: Final = 4096  # rows that are Python's numbers at once
_SHOWN: Final = 20  # lines that decide what the separator is
_SEPARATORS: Final = "\t;,| "


class Table:
    """A table, read anew for each question, so that a large one need not fit into memory.

    Args:
        separator: a character; None: the one that cuts the first lines into equally many cells.

    Attributes:
        names: of the columns; `column 1`, … where the first line has numbers only.
        separator: between cells.

    Raises:
        UserError: the file cannot be read, or is no table.
    """

    def __init__(self, path: Path, separator: str | None = None) -> None:
        self.path = path
        with closing(_lines(path)) as lines:
            first = [line for line in itertools.islice(lines, _SHOWN) if line.strip()]
        if not first:
            raise UserError(f"{path}: empty")
        self.separator = separator or _separator(first)
        cells = next(self._cells(iter(first[:1])), [])
        if len(cells) > MAX_COLUMNS:
            raise UserError(f"{path}: more than {MAX_COLUMNS} columns")
        self._headed = not all(_is_number(cell) for cell in cells)
        unnamed = (f"column {k + 1}" for k in range(len(cells)))
        self.names = [c.strip().strip("'\"") for c in cells] if self._headed else list(unnamed)

    def texts(self, names: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
        """The cells of some columns in each row, with the number of its line.

        Raises:
            UserError: there is no such column; a row has too few cells.
        """
        places = [self._place(name) for name in names]
        with readable(self.path), closing(_lines(self.path)) as lines:
            rows = self._cells(line for line in lines if line.strip())
            for number, row in enumerate(rows, 1):
                if number == 1 and self._headed:
                    continue
                if len(row) <= max(places, default=0):
                    raise UserError(f"{self.path}: row {number} has {len(row)} cells of {len(self.names)}")
                yield number, [row[place].strip() for place in places]

    def numbers(self, names: Sequence[str]) -> Array:
        """Those columns as float64 `[n, len(names)]`; empty cells and `nan` become NaN.

        Raises:
            UserError: as `texts`; a cell is not a number.
        """
        blocks, found = [np.empty((0, len(names)))], list[list[float]]()
        for number, cells in self.texts(names):
            try:
                found.append([_number(cell) for cell in cells])
            except ValueError:
                raise UserError(
                    f"{self.path}: row {number}: {one_line(cells)[:60]}: expected numbers in "
                    f"{one_line(', '.join(names))[:60]}"
                ) from None
            if number * max(len(names), 1) > MAX_NUMBERS:
                raise UserError(f"{self.path}: more than {MAX_NUMBERS} numbers")
            if len(found) == _BLOCK:
                blocks.append(np.array(found))
                found.clear()
        blocks.append(np.array(found, float).reshape(-1, len(names)))
        return np.concatenate(blocks)

    def _place(self, name: str) -> int:
        same = [k for k, each in enumerate(self.names) if each == name]
        same = same or [k for k, each in enumerate(self.names) if each.casefold() == name.casefold()]
        if len(same) != 1:
            what = "no column" if not same else f"{len(same)} columns"
            raise UserError(f"{self.path}: {what} {one_line(name)[:60]!r}; it has {self._shown}")
        return same[0]

    @property
    def _shown(self) -> str:
        more = ", …" if len(self.names) > 12 else ""
        return one_line(", ".join(name[:40] for name in self.names[:12]))[:150] + more

    def _cells(self, lines: Iterator[str]) -> Iterator[list[str]]:
        try:
            reader = csv.reader(lines, delimiter=self.separator, skipinitialspace=True, strict=False)
            yield from reader
        except csv.Error as error:
            raise UserError(f"{self.path}: not a table ({one_line(error)})") from None


def column_like(table: Table, *names: str) -> str | None:
    """The first of the table's columns with one of these names, of which earlier ones are better."""
    found = {name.casefold(): name for name in reversed(table.names)}
    return next((found[name] for name in names if name in found), None)


def _lines(path: Path) -> Generator[str]:
    with readable(path), open_regular(path) as file:
        wide = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
        if wide:
            raise UserError(f"{path}: in UTF-16; save it in UTF-8")
        file.seek(0)
        while line := file.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE or b"\0" in line:
                raise UserError(f"{path}: not a table of text")
            yield decoded(line)


def _separator(lines: Sequence[str]) -> str:
    """The one with the most cells of those that every line has equally often; a comma if none."""
    best, most = ",", 0
    for separator in _SEPARATORS:
        counts = {line.strip("\r\n").strip(" ").count(separator) for line in lines}
        if len(counts) == 1 and (count := counts.pop()) > most:
            best, most = separator, count
        if most and separator == ";":  # then a comma is a decimal one
            break
    return best


def _is_number(cell: str) -> bool:
    try:
        _number(cell)
    except ValueError:
        return False
    return True


def _number(cell: str) -> float:
    text = cell.strip().strip("'\"")
    if not text:
        return float("nan")
    if "_" in text:  # which Python's numbers may have
        raise ValueError(text)
    return float(text.replace(",", ".", 1) if text.count(",") == 1 else text)
