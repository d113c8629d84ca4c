"""What a file of another program holds, whatever its format: spans of time with a text, and samples."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...contracts.errors import UserError, one_line
from ...contracts.regular import open_regular

MAX_BYTES: Final = 2**26  # of a file that is read as a whole
MAX_SPANS: Final = 2**20  # in a file
MAX_NUMBERS: Final = 2**25  # in a file's samples: 256 MiB

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """Stretches of time: the turns of a speaker, the tier of an annotation.

    Attributes:
        name: of the tier; empty if the file has no names.
        start, end: float64 `[n]`, seconds; in the order of the file.
        text: of each.
        confidence: float64 `[n]`, NaN where not given.
        rater: who made them, where the file says so.
    """

    name: str
    start: Array
    end: Array
    text: list[str]
    confidence: Array
    rater: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Vectors at times: a trace, if they have one number, or features.

    Attributes:
        name: of the stream or its file.
        times: float64 `[n]`, seconds; in the order of the file.
        values: float64 `[n, D]`; a row of NaN: nothing was measured.
        features: the name of each dimension.
        schema: the feature schema that they follow; None: a plain vector.
        rater: who made them, where the file says so.
        notes: what was left out, a line each.
    """

    name: str
    times: Array
    values: Array
    features: tuple[str, ...]
    schema: str | None = None
    rater: str = ""
    notes: tuple[str, ...] = field(default=())


Track = Spans | Samples


def spans(name: str, rows: list[tuple[float, float, str]], rater: str = "") -> Spans:
    """Spans of rows of start, end and text."""
    return Spans(
        name,
        np.array([row[0] for row in rows], float),
        np.array([row[1] for row in rows], float),
        [row[2] for row in rows],
        np.full(len(rows), np.nan),
        rater,
    )


def content_of(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The bytes of a file.

    Raises:
        UserError: it cannot be read, or is larger than `limit`.
    """
    with readable(path), open_regular(path) as file:
        content = file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)  # which takes that much memory
    if len(content) > limit:
        raise UserError(f"{path}: larger than {limit >> 20} MiB")
    return content


def text_of(path: Path) -> str:
    """The text of a file: UTF-8, or UTF-16 with its mark, or else Latin-1.

    Raises:
        UserError: as `content_of`.
    """
    return decoded(content_of(path))


def decoded(content: bytes) -> str:
    """Text of bytes; see `text_of`."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


@contextlib.contextmanager
def readable(path: Path) -> Iterator[None]:
    """Errors of reading a file become the user's."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


@contextlib.contextmanager
def damaged(path: Path, kind: str) -> Iterator[None]:
    """Values that cannot be what they should become the user's error: the file is not of that kind."""
    try:
        yield
    except (ValueError, KeyError, IndexError, OverflowError, TypeError) as error:
        raise UserError(f"{path}: not {kind}, or damaged ({one_line(error)[:80]})") from None
