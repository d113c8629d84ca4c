"""A recorded session: a folder with one Arrow IPC stream a table, and a `session.json`. Append-only.

`session.json`
    `version` of this format, `enrapt`, `started` (UTC; the wall-clock time of 0 s on the session's clock) and
    the caller's `description`. In it `started_by` says who knows that: `clock` (live), `recording` (its
    creation time), or `file` (changed last then, which is later); otherwise it is when the folder was made.
    `schemas` has the feature schema of each modality, null for a plain vector, and
    `dims` its number of values. A session that has ended also has `ended` (ns on the session's clock; its
    latest time) and the caller's `summary`.
`face.arrows`, `audio.arrows`, … one per modality
    The source's samples: `originating_time`, `arrived` (ns), `sequence`, `values` (float32, in the schema's
    order; null: the sensor worked, and there was nothing to measure).
`observations.arrows`
    `tick`, `time` (ns) and by modality the model's input vector and its `_age` (ns), null where missing.
`estimates.arrows`
    One row per tick, with the columns of CSV.
`marks.arrows`
    `time` (ns), `label` and `kind`: empty for text that somebody gave, `reset` where the model was reset,
    `calibrate` where a calibration began.

`clock.csv`, `media.mkv`, `labels/`
    Where they were asked for: another machine's clock (`sources.lsl_clock`), pictures and sound, ratings.

Columns are read by name; those that are not known are ignored. Each field has its unit as metadata. Reading
does not need enrapt::

    import json
    import pyarrow.ipc

    with open("session.json", encoding="utf-8") as file:
        schemas = json.load(file)["description"]["schemas"]
    with open("estimates.arrows", "rb") as file, pyarrow.ipc.open_stream(file) as stream:
        unit = stream.schema.field("engagement_mean").metadata[b"unit"]
        means = [mean for batch in stream for mean in batch["engagement_mean"].to_pylist()]
    with open("face.arrows", "rb") as file, pyarrow.ipc.open_stream(file) as stream:
        features = json.loads(stream.schema.field("values").metadata[b"features"])
        vectors = [vector for batch in stream for vector in batch["values"].to_pylist()]

A file that was cut within a batch gives plain Arrow the batches before it, then an error. `SessionReader`
stops there without an error and reports what is lost; it also detects a changed byte, which Arrow does not.
It validates every batch before use, and opens regular files only.
"""

import contextlib
import datetime
import importlib.metadata
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Generic, Self

import msgspec

from ...contracts.errors import UserError
from ...contracts.files import PartFile
from ..engine.estimate import Estimate
from ..streams.samples import SECOND, Observation, Sample
from ..streams.wall_clock import iso
from .messages import END, write_whole
from .private import make_private, private
from .tables import Encoder, Row, Table, Tables

VERSION: Final = 1
JSON: Final = "session.json"

_FLUSH: Final = SECOND * 4 // 5  # ns; rows are written with the first one that comes later: within a second


class Session(msgspec.Struct, omit_defaults=True):
    """The content of `session.json`."""

    version: int
    enrapt: str
    started: str
    description: dict[str, Any]
    ended: int | None = None
    summary: Any = None


def path_of(folder: Path, table: str) -> Path:
    """The file of a table."""
    return folder / f"{table}.arrows"


def _utc(time: datetime.datetime) -> str:
    return iso(time.astimezone(datetime.UTC))


class _Log(Generic[Row]):
    """A table being written, in batches of rows."""

    def __init__(self, path: Path, table: Table[Row]) -> None:
        self._table = table
        self._encoder = Encoder(table.schema)
        self._waiting: list[Any] = []
        self._file = io.FileIO(path, "x", opener=private)
        self.close = self._file.close

    def begin(self) -> None:
        self._write(self._encoder.begin)

    def append(self, row: Row) -> None:
        self._waiting.append(self._table.write(row))

    def flush(self) -> None:
        if self._waiting:
            self._write(self._encoder.batch(self._waiting))
            self._waiting.clear()

    def end(self) -> None:
        if self._file.closed:  # before Ctrl-C while the session was being closed
            return
        self.flush()
        self._write(END)
        self.close()

    def _write(self, message: bytes) -> None:
        write_whole(self._file, message, self._file.tell())


class SessionWriter:
    """Records a session. A context manager, used by one thread.

    Rows are given to the operating system within a second of session time, in complete batches: a killed
    process loses no more. A power failure can also lose what the system had not written yet.

    Leaving the context without an exception closes the session. After an exception the rows are written, too,
    but the session counts as not ended. After a write error, which is raised once, further calls do nothing.

    Args:
        folder: created if missing; otherwise it must be empty. It gets mode 700, and its files 600.
        description: JSON content for `session.json`, with `schemas` and, for a schema that is not known,
            `dims`: see above; in the order of observations.
        started: when that was, with its time zone; None: now.

    Raises:
        UserError: the folder is not empty or cannot be written; an unknown feature schema without dims; a
            modality whose name a session cannot hold. Later, from any call: the disk is full, or the files
            have become unwritable.
        ValueError: a sample, observation or estimate does not match the schemas; nothing has changed then.
    """

    def __init__(
        self, folder: Path, description: Mapping[str, Any], started: datetime.datetime | None = None
    ) -> None:
        try:
            tables = Tables(description["schemas"], description.get("dims", {}))
        except ValueError as error:
            raise UserError(f"cannot be recorded: {error}") from None
        self._folder = folder
        self._modalities = tables.samples.keys()
        self._logs: dict[str, _Log[Any]] = {}
        self._flushed = 0  # ns
        self._now = 0  # ns; the latest time of a row
        self._open = True
        self._session = Session(
            version=VERSION,
            enrapt=importlib.metadata.version("enrapt"),
            started=_utc(started or datetime.datetime.now(datetime.UTC)),
            description=dict(description),
        )
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        self._made = missing  # folders, the innermost first
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise UserError(f"{folder}: is not empty; give a new folder for the session")
            make_private(folder)
            try:
                for table in tables:
                    log = self._logs[table.name] = _Log(path_of(folder, table.name), table)
                    log.begin()
                self._write_json()
            except BaseException:
                self.discard()
                raise
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error.strerror}); give another folder") from None

    def began(self, started: datetime.datetime) -> None:
        """Correct `started`, which is known better once a live session runs."""
        self._session.started = _utc(started)
        if self._open:
            with self._errors():
                self._write_json()

    def sample(self, sample: Sample, arrived: int) -> None:
        """Record a sample and its arrival time, ns."""
        if sample.modality not in self._modalities:
            raise ValueError(f"a sample of {sample.modality!r}, which the session's schemas do not name")
        self._add(sample.modality, (sample, arrived), arrived)

    def observation(self, observation: Observation) -> None:
        self._add("observations", observation, observation.time)

    def estimate(self, estimate: Estimate) -> None:
        self._add("estimates", estimate, round(estimate.t * SECOND))

    def mark(self, time: int, label: str) -> None:
        """Record a mark at `time`, ns."""
        self._add("marks", (time, label), time)

    def close(self, summary: Any = None) -> None:
        """End the session with that JSON content for `session.json`; a second call does nothing.

        Ctrl-C takes effect when it has ended.
        """
        if not self._logs:
            return
        try:
            self._end(summary)
        except KeyboardInterrupt:
            self._end(summary)
            raise

    def discard(self) -> None:
        """Leave nothing of the session, which has not ended: no file, and no folder that it made."""
        self._open = False
        self._close_files()
        with contextlib.suppress(OSError):  # the caller's files are in it
            for path in (path_of(self._folder, name) for name in self._logs):
                path.unlink(missing_ok=True)
            if self._logs:  # otherwise another session was quicker
                (self._folder / JSON).unlink(missing_ok=True)
            for made in self._made:
                made.rmdir()
        self._logs = {}

    def _end(self, summary: Any) -> None:
        with self._errors():
            if self._open:
                for log in self._logs.values():
                    log.end()
            self._session.ended, self._session.summary = self._now, summary
            self._write_json()
        self._open = False
        self._logs = {}

    def _add(self, name: str, row: Any, time: int) -> None:
        if not self._open:
            return
        self._logs[name].append(row)
        self._now = max(self._now, time)
        # Either way, so that one wrong time in the future does not stop flushing.
        if abs(time - self._flushed) >= _FLUSH:
            with self._errors():
                for log in self._logs.values():
                    log.flush()
            self._flushed = time

    def _write_json(self) -> None:
        text = msgspec.json.format(msgspec.json.encode(self._session), indent=2) + b"\n"
        with PartFile(self._folder / JSON) as stream:
            make_private(Path(stream.name))  # before there is anything in it
            stream.write(text)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            first, self._open = self._open, False
            self._close_files()
            if first:
                raise UserError(
                    f"{self._folder}: cannot be written any more ({error.strerror}); "
                    "the session up to here is kept, nothing after it"
                ) from None

    def _close_files(self) -> None:
        for log in self._logs.values():
            log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        elif self._open:
            self._open = False  # a write error does not replace the exception that is being raised
            with self._errors():
                for log in self._logs.values():
                    log.end()
        self._logs = {}
