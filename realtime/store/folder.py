"""A recorded session: a folder with one Arrow IPC stream a table, and a `session.json`. Append-only.

`session.json`
    `version` of this format, `enrapt`, `started` (UTC; the only wall-clock time), the caller's `description`,
    of which `schemas` says the feature schema of each modality. Once the session has ended also `ended` (ns
    on the session's clock; the latest time in it) and the caller's `summary`.
`face.arrows`, `audio.arrows`, … one a modality
    The source's samples: `originating_time`, `arrived` (ns), `sequence`, `values` (float32, in the schema's
    order; null: looked, and nothing was there).
`observations.arrows`
    `tick`, `time` (ns) and by modality the vector that the model was shown and its `_age` (ns), null where
    missing.
`estimates.arrows`
    A row a tick, its columns as in CSV.
`marks.arrows`
    `time` (ns) and `label`: what a person noted.

Fields say their units in their metadata. Enrapt is not needed to read them::

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
stops there instead and says what is lost; it also notices a changed byte, which Arrow does not.
"""

import contextlib
import datetime
import importlib.metadata
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Generic, Self

import msgspec

from ...contracts.errors import UserError
from ..engine.estimate import Estimate
from ..streams.samples import SECOND, Observation, Sample
from .messages import END, MessageFile
from .tables import Encoder, Row, Table, Tables

VERSION: Final = 1
JSON: Final = "session.json"

_FLUSH: Final = SECOND * 4 // 5  # ns; with the wait for the row that notices it, less than a second


class Session(msgspec.Struct, omit_defaults=True):
    """What `session.json` says."""

    version: int
    enrapt: str
    started: str
    description: dict[str, Any]
    ended: int | None = None
    summary: Any = None


def path_of(folder: Path, table: str) -> Path:
    """The file of a table."""
    return folder / f"{table}.arrows"


class _Log(Generic[Row]):
    """A table being written; rows wait to be written together."""

    def __init__(self, path: Path, table: Table[Row]) -> None:
        self._table = table
        self._encoder = Encoder(table.schema)
        self._waiting: list[Any] = []
        self._file = MessageFile(path)
        self.close = self._file.close

    def begin(self) -> None:
        self._file.write(self._encoder.begin)

    def append(self, row: Row) -> None:
        self._waiting.append(self._table.flat(row))

    def flush(self) -> None:
        if self._waiting:
            self._file.write(self._encoder.batch(self._waiting))
            self._waiting.clear()

    def end(self) -> None:
        if self._file.closed:  # Ctrl-C came while the session was being closed
            return
        self.flush()
        self._file.write(END)
        self.close()


class SessionWriter:
    """Records a session. A context manager, used by one thread.

    What it is told is with the operating system at most a second of session time later, in whole batches: a
    killed process loses no more. It is not synchronised with the disk, so a machine without power can lose
    what its system had not written yet.

    Leaving the context without an exception closes the session, if `close` has not. After an exception what
    waits is written, too, but the session counts as one that was not ended.

    After an error of writing (see `Raises`), which is raised once, nothing more is recorded: all that was
    written before stays readable, and further calls do nothing.

    Args:
        folder: made if it is not there; otherwise empty.
        description: what `session.json` is to say, and JSON can. `schemas` in it is needed: by modality, in
            the order in which observations name them, the name of its feature schema.

    Raises:
        UserError: the folder has something in it or cannot be written; an unknown feature schema. Later,
            from any call: the disk is full, or the files have become unwritable.
        ValueError: a sample, observation or estimate is not as the schemas say; nothing has changed then.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any]) -> None:
        tables = Tables(description["schemas"])
        self._folder = folder
        self._modalities = tables.samples.keys()
        self._logs: dict[str, _Log[Any]] = {}
        self._flushed = 0  # ns
        self._now = 0  # ns; the latest time told
        self._open = True
        self._session = Session(
            version=VERSION,
            enrapt=importlib.metadata.version("enrapt"),
            started=datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
            description=dict(description),
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise UserError(f"{folder}: is not empty; give a new folder for the session")
            try:
                for table in tables:
                    log = self._logs[table.name] = _Log(path_of(folder, table.name), table)
                    log.begin()
                self._write_json()
            except BaseException:
                self._close_files()
                for name in self._logs:
                    path_of(folder, name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error.strerror}); give another folder") from None

    def sample(self, sample: Sample, arrived: int) -> None:
        """Record what a source gave, and when it came (ns)."""
        if sample.modality not in self._modalities:
            raise ValueError(f"a sample of {sample.modality!r}, which the session's schemas do not name")
        self._add(sample.modality, (sample, arrived), arrived)

    def observation(self, observation: Observation) -> None:
        """Record what the model is shown."""
        self._add("observations", observation, observation.time)

    def estimate(self, estimate: Estimate) -> None:
        """Record what the model says."""
        self._add("estimates", estimate, round(estimate.t * SECOND))

    def mark(self, time: int, label: str) -> None:
        """Record what a person notes at that time (ns)."""
        self._add("marks", (time, label), time)

    def close(self, summary: Any = None) -> None:
        """End the session; a second time does nothing.

        Args:
            summary: for `session.json`; what JSON can say.
        """
        if not self._logs:
            return
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
        # Either way, for one absurd time must not put off all that comes.
        if abs(time - self._flushed) >= _FLUSH:
            with self._errors():
                for log in self._logs.values():
                    log.flush()
            self._flushed = time

    def _write_json(self) -> None:
        text = msgspec.json.format(msgspec.json.encode(self._session), indent=2) + b"\n"
        part = self._folder / f"{JSON}.part"
        try:
            with part.open("wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())  # or the name could come to the disk before the text
            part.replace(self._folder / JSON)
        except OSError:
            part.unlink(missing_ok=True)
            raise

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            told = not self._open
            self._open = False
            self._close_files()
            if not told:
                raise UserError(
                    f"{self._folder}: cannot be written any more ({error.strerror}); "
                    "the session up to here is kept, nothing after it"
                ) from None

    def _close_files(self) -> None:
        for log in self._logs.values():
            log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._open:
            self._open = False  # whatever goes wrong now, another error is on its way
            with self._errors():
                for log in self._logs.values():
                    log.end()
        self._logs = {}
