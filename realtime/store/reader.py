"""Reads a recorded session; the docstring of `folder` describes the format."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from ...contracts.errors import UserError, one_line
from ...contracts.regular import open_regular
from ...contracts.schemas import SCHEMAS
from ..engine.estimate import Estimate
from ..streams.samples import SECOND, Observation, Sample
from ..streams.wall_clock import STARTED_BY, parsed
from .decoder import Decoder
from .folder import JSON, VERSION, Session, path_of
from .group import is_group, people_of
from .messages import END, messages
from .tables import MAX_TIME, Row, Table, Tables

_MAX_JSON: Final = 2**24  # bytes; a session.json is some thousand


class _Description(msgspec.Struct):
    """What a reader needs of a description; callers may have written more."""

    schemas: dict[str, str | None]
    dims: dict[str, int] = {}
    rate: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    context: dict[str, list[float]] | None = None


class SessionReader:
    """Reads a session, also one that was cut off, is damaged, or is being recorded.

    Attributes:
        schemas: by modality, in the order of the recording.
        began: the wall-clock time of 0 s; None if nobody knows.
        description, started, ended, summary: see `folder`. The last two are None where the session was not
            ended: the program was killed, has failed, or still records.

    Raises:
        UserError: not a session, or of another version; it was recorded without `dims` and has a feature
            schema that is not known; later, a file cannot be read, or its checksums are right and its
            content is not what a session can have.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        path = folder / JSON
        try:
            with open_regular(path) as file:
                text = file.read(_MAX_JSON + 1)
        except (FileNotFoundError, NotADirectoryError):
            if is_group(folder):
                raise UserError(f"{folder}: several people's; give {people_of(folder)}") from None
            raise UserError(f"{folder}: not a session: it has no {JSON}") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        try:
            if len(text) > _MAX_JSON:
                raise UserError(f"larger than {_MAX_JSON // 2**20} MiB")
            session, self._tables = described(text)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise UserError(f"{path}: not a session's, or damaged") from None
        self.schemas = self._tables.schemas
        self.description, self.started = session.description, session.started
        self.ended, self.summary = session.ended, session.summary
        known = self.description.get(STARTED_BY) in ("clock", "recording") or self.description.get("devices")
        self.began = parsed(self.started) if known else None

    def samples(self, modality: str) -> Iterator[tuple[Sample, int]]:
        """The samples of a modality in the order of their arrival, each with its arrival time, ns.

        Raises:
            UserError: the session has no such modality.
        """
        if modality not in self._tables.samples:
            raise UserError(f"{self._folder}: has no {modality!r}, only {', '.join(self._tables.samples)}")
        return self._read(self._tables.samples[modality])

    def observations(self) -> Iterator[Observation]:
        return self._read(self._tables.observations)

    def estimates(self) -> Iterator[Estimate]:
        """The estimates, with the same JSON to the byte."""
        return self._read(self._tables.estimates)

    def marks(self) -> Iterator[tuple[int, str]]:
        """Time, ns, and label."""
        return self._read(self._tables.marks)

    @property
    def lost(self) -> list[str]:
        """What is lost, one line a file; empty if nothing is. Reads everything.

        Raises:
            UserError: a file belongs to another session, or cannot be read.
        """
        lines, latest = [], 0
        for table in self._tables:
            size, last, decoder = 0, b"", None
            for message in self._messages(table):
                if decoder is None:
                    decoder = self._decoder(message, table)
                else:
                    last = message
                size += len(message)
            rows = self._rows(decoder, last, table) if decoder and last else ()
            time = max(map(table.time, rows), default=None)
            latest = max(latest, time or 0)
            if wrong := self._wrong(path_of(self._folder, table.name), size):
                since = "all of it" if time is None else f"what came after {time / SECOND:.3f} s"
                lines.append(f"{table.name}.arrows: {wrong}; {since} is lost")
        if self.ended is None:
            lines.insert(
                0,
                f"{JSON}: the session was not ended (the program was killed, has failed, or still records); "
                f"what came after {latest / SECOND:.3f} s, at most a second, is lost",
            )
        return lines

    def _wrong(self, path: Path, size: int) -> str | None:
        """What is wrong with a file after that many bytes of complete messages."""
        with _readable(path), open_regular(path) as file:
            left = os.fstat(file.fileno()).st_size - size
            file.seek(size)
            if file.read(len(END) + 1) == END or (not left and self.ended is None):
                return None
            return f"{left} bytes cannot be read" if left else "cut"
        return "is missing"

    def _read(self, table: Table[Row]) -> Iterator[Row]:
        found = self._messages(table)
        if (begin := next(found, None)) is not None:
            decoder = self._decoder(begin, table)
            for message in found:
                yield from self._rows(decoder, message, table)

    def _rows(self, decoder: Decoder[Row], message: bytes, table: Table[Row]) -> Iterator[Row]:
        try:
            yield from decoder.rows(message)
        except ValueError as error:
            path = path_of(self._folder, table.name)
            raise UserError(f"{path}: damaged, though its checksum is right ({one_line(error)})") from None

    def _decoder(self, begin: bytes, table: Table[Row]) -> Decoder[Row]:
        try:
            return Decoder(begin, table)
        except ValueError as error:
            path = path_of(self._folder, table.name)
            raise UserError(
                f"{path}: is not of the session that {JSON} describes ({one_line(error)})"
            ) from None

    def _messages(self, table: Table[Any]) -> Iterator[bytes]:
        path = path_of(self._folder, table.name)
        with _readable(path), open_regular(path) as file:
            yield from messages(file, os.fstat(file.fileno()).st_size)


def described(text: bytes) -> tuple[Session, Tables]:
    """The content of a `session.json`, and the tables that it describes.

    Raises:
        UserError: of another version, or of a feature schema that is not known.
        msgspec.DecodeError, ValueError, RecursionError: anything else.
    """
    version = msgspec.json.decode(text, type=dict[str, Any]).get("version")
    if version != VERSION and isinstance(version, int):
        raise UserError(
            f"a session of version {version}; this version of enrapt reads {VERSION}, "
            "take the one that recorded it"
        )
    session = msgspec.json.decode(text, type=Session)
    described = msgspec.convert(session.description, _Description)
    if session.ended is not None and abs(session.ended) > MAX_TIME:
        raise ValueError("it ended at an impossible time")
    names, dims = described.schemas, described.dims
    if unknown := {m for m, name in names.items() if name not in SCHEMAS} - dims.keys():
        modality = min(unknown)
        raise UserError(
            f"{one_line(modality)} is of feature schema {names[modality]!r:.200}, and this enrapt "
            f"knows {', '.join(SCHEMAS)}; read it with enrapt {one_line(session.enrapt)}, which recorded it"
        )
    return session, Tables(names, dims)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """A missing file counts as empty; `lost` reports it."""
    try:
        yield
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
