"""Reads a recorded session; `folder` says what is in it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ...contracts.errors import UserError
from ...contracts.schemas import SCHEMAS
from ..engine.estimate import Estimate
from ..streams.samples import SECOND, Observation, Sample
from .folder import JSON, VERSION, Session, path_of
from .messages import END, messages
from .tables import Row, Table, Tables, is_of, rows


class _Version(msgspec.Struct):
    version: int


class SessionReader:
    """Reads a session, also one that was cut off, is damaged, or is being recorded.

    Attributes:
        description: the caller's, as it was recorded.
        started: UTC, ISO 8601.
        ended: ns on the session's clock; None where the session was not ended: the program was killed, has
            failed, or still records.
        summary: the caller's, None where the session was not ended.

    Raises:
        UserError: not a session, of another version, with feature schemas that this version of enrapt does
            not know; later, a file cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        path = folder / JSON
        try:
            text = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{folder}: not a session: it has no {JSON}") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        try:
            version = msgspec.json.decode(text, type=_Version).version
            if version != VERSION:
                raise UserError(
                    f"{path}: a session of version {version}; this version of enrapt reads {VERSION}, "
                    "take the one that recorded it"
                )
            session = msgspec.json.decode(text, type=Session)
            names = msgspec.convert(session.description.get("schemas"), dict[str, str])
            if unknown := names.keys() - {m for m, name in names.items() if name in SCHEMAS}:
                modality = min(unknown)
                raise UserError(
                    f"{path}: {modality} is of feature schema {names[modality]!r}, and this enrapt "
                    f"knows {', '.join(SCHEMAS)}; read it with enrapt {session.enrapt}, which recorded it"
                )
            self._tables = Tables(names)
            self.schemas = {m: SCHEMAS[name] for m, name in names.items()}
        except (msgspec.DecodeError, ValueError, RecursionError):
            raise UserError(f"{path}: not a session's, or damaged") from None
        self.description = session.description
        self.started = session.started
        self.ended = session.ended
        self.summary = session.summary

    def samples(self, modality: str) -> Iterator[tuple[Sample, int]]:
        """The samples of a source in the order in which they came, each with the time at which it did, ns.

        Raises:
            UserError: the session has no such modality.
        """
        if modality not in self._tables.samples:
            raise UserError(f"{self._folder}: has no {modality!r}, only {', '.join(self._tables.samples)}")
        return self._read(self._tables.samples[modality])

    def observations(self) -> Iterator[Observation]:
        """What the model was shown, tick by tick."""
        return self._read(self._tables.observations)

    def estimates(self) -> Iterator[Estimate]:
        """What it said, the same to the byte."""
        return self._read(self._tables.estimates)

    def marks(self) -> Iterator[tuple[int, str]]:
        """What a person noted, each with its time, ns."""
        return self._read(self._tables.marks)

    @property
    def lost(self) -> list[str]:
        """What is lost, in a line a file; empty where nothing is. Reads everything.

        Raises:
            UserError: a file belongs to another session, or cannot be read.
        """
        told, latest = [], 0
        for table in self._tables:
            whole, last = 0, b""
            for message in self._messages(table):
                last = message if whole else b""  # the first has no rows
                whole += len(message)
            time = max(map(table.time, rows(last, table))) if last else None
            latest = max(latest, time or 0)
            if wrong := self._wrong(path_of(self._folder, table.name), whole):
                since = "all of it" if time is None else f"what came after {time / SECOND:.3f} s"
                told.append(f"{table.name}.arrows: {wrong}; {since} is lost")
        if self.ended is None:
            told.insert(
                0,
                f"{JSON}: the session was not ended (the program was killed, has failed, or still records); "
                f"what came after {latest / SECOND:.3f} s, at most a second, is lost",
            )
        return told

    def _wrong(self, path: Path, whole: int) -> str | None:
        """What is wrong with a file after that many bytes of whole messages."""
        with _readable(path), path.open("rb") as file:
            file.seek(whole)
            tail = file.read()
            if tail == END or (not tail and self.ended is None):
                return None
            return f"{len(tail)} bytes cannot be read" if tail else "cut"
        return "is not there"

    def _read(self, table: Table[Row]) -> Iterator[Row]:
        found = self._messages(table)
        next(found, None)  # the schema
        for message in found:
            yield from rows(message, table)

    def _messages(self, table: Table[Any]) -> Iterator[bytes]:
        path = path_of(self._folder, table.name)
        with _readable(path), path.open("rb") as file:
            found = messages(file, os.fstat(file.fileno()).st_size)
            begin = next(found, None)
            if begin is None:
                return
            if not is_of(begin, table.schema):
                raise UserError(f"{path}: is not of the session that {JSON} describes")
            yield begin
            yield from found


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """A file that is not there is empty: `lost` tells."""
    try:
        yield
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
