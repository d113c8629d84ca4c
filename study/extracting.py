"""A recording becomes a session: features with their times, what the model sees, and its estimates.

The session is written in a hidden folder beside its place, `.NAME.part`, and gets its name when it is whole.
So a session that is there is complete; what an interrupted process has left is made again. A lock, which ends
with its process, keeps two of them from the same session.

The same recording gives the same bytes, whenever and beside whatever else it is extracted: latencies are left
out, and `started` is the recording's own time.
"""

import contextlib
import datetime
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from ..contracts.errors import UserError
from ..contracts.owned import claim
from ..realtime.people import Voice
from ..realtime.run import Run
from ..realtime.sources.container import created, open_container
from ..realtime.sources.source import Source, SourceFailure
from ..realtime.sources.xdf_file import is_xdf
from ..realtime.store.folder import JSON
from ..realtime.store.private import make_private
from ..realtime.store.reader import SessionReader
from ..realtime.streams.wall_clock import STARTED_BY

KEY: Final = "extracted"  # of the session's description: what it was made from

_NO_LOSS: Final = {"superseded", "after_end"}  # samples that no tick needed
_REPORT: Final = 250  # ticks between two reports of progress


@dataclass(frozen=True, slots=True)
class Extracted:
    """What became of a recording.

    Attributes:
        seconds: from the first tick to the last.
        presence: share of ticks at which each modality was present, 0 to 1.
        lost: samples by reason, over all modalities: damaged, twice there, without a time.
        problems: what could not be read, and ended it early.
        notes: what was mended or left out.
        kept: it was there already.
    """

    seconds: float
    ticks: int
    presence: dict[str, float]
    lost: dict[str, int]
    problems: list[str]
    notes: list[str]
    kept: bool = False


class _Counts(msgspec.Struct):
    dropped: dict[str, int]


class _Summary(msgspec.Struct):
    """What is needed of a run's summary; see `realtime.describe`."""

    ticks: int
    presence: dict[str, float]
    samples: dict[str, _Counts]
    notes: list[str]
    problems: list[str]


def extract(
    recording: Path,
    session: Path,
    bundle: str | Path,
    open_source: Callable[[], Source],
    *,
    settings: Mapping[str, Any],
    context: Mapping[str, Sequence[float]] | None = None,
    offsets: Mapping[str, float] | None = None,
    voice: Voice = "followed",
    progress: Callable[[float], None] = lambda share: None,
) -> Extracted:
    """Make a session of a recording, unless it is there already.

    Args:
        session: its folder; it must not exist, be empty, or be what this call would make.
        bundle: a file or a shipped bundle's name; says which features are taken.
        open_source: gives the recording as a source.
        settings: JSON values, all that the session depends on beside the recording.
        context, offsets, voice: see `Run`.
        progress: called with the share that is done, now and then.

    Raises:
        UserError: the recording cannot be read, or there is nothing in it; the folder cannot be written, is
            something else, which stays as it is, or another process is writing it.
    """
    made_from = _made_from(recording, settings)
    if (kept := _kept(session, made_from)) is not None:
        return kept
    source = open_source()  # before there is anything in the folder
    with _claimed(session) as part:
        if (kept := _kept(session, made_from)) is not None:  # another process has just ended
            return kept
        started, by = started_at(recording)
        run = Run(
            source,
            bundle,
            record=part,
            started=started,
            about={STARTED_BY: by, KEY: made_from},
            context=context,
            offsets=offsets,
            voice=voice,
            timing=False,
        )
        with run:
            length = (source.duration or 0.0) - source.start
            with contextlib.suppress(SourceFailure):  # which is in the summary
                for estimate in run:
                    if length > 0 and estimate.tick % _REPORT == 0:
                        progress(min((estimate.t - source.start) / length, 1.0))
        if not part.exists():
            raise UserError(str(run.broken or f"{recording}: there is not a single tick in it"))
        _finish(part, session)
    return _described(SessionReader(session))


def started_at(recording: Path) -> tuple[datetime.datetime, str]:
    """When a recording began, and who says so.

    `recording`: its creation time with a time zone, as its metadata have it. `file`: the time at which the
    file was changed last, which is later.
    """
    if not is_xdf(recording):
        with open_container(recording) as container:
            if (time := created(container.metadata)) is not None:
                return time, "recording"
    changed = min(max(recording.stat().st_mtime_ns, 0), 2**62) // 1_000_000
    return datetime.datetime.fromtimestamp(0, datetime.UTC) + datetime.timedelta(milliseconds=changed), "file"


def _made_from(recording: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    if recording.is_dir():
        raise UserError(f"{recording}: is a folder, not a recording")
    try:
        with recording.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{recording}: cannot be read ({error.strerror})") from None
    name = recording.name.encode(errors="replace").decode()  # which may have bytes that are no text
    made_from = {"file": name, "sha256": digest, **settings}
    read_back: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(made_from))
    return read_back


def _kept(session: Path, made_from: Mapping[str, Any]) -> Extracted | None:
    """What is there already; None if nothing is."""
    try:
        if not os.path.lexists(session) or not any(session.iterdir()):
            return None
    except OSError as error:
        raise UserError(f"{session}: exists and is kept ({error.strerror}); give another folder") from None
    if not os.path.lexists(session / JSON):
        raise UserError(f"{session}: exists, is not a session and is kept; give another folder")
    reader = SessionReader(session)
    found = reader.description.get(KEY)
    if found == made_from and reader.ended is not None:
        return _described(reader, kept=True)
    if not isinstance(found, dict) or reader.ended is None:
        what = "another session"
    elif found.get("sha256") != made_from["sha256"]:
        what = "a session of another recording"
    else:
        what = "a session made with another bundle or other options"
    raise UserError(f"{session}: is {what} and is kept; move it away, or give another folder")


def _described(reader: SessionReader, kept: bool = False) -> Extracted:
    try:
        summary = msgspec.convert(reader.summary, _Summary)
        rate = msgspec.convert(reader.description["rate"], int)
    except (msgspec.ValidationError, KeyError):
        raise UserError("its session.json is not what this program writes") from None
    lost: dict[str, int] = {}
    for counts in summary.samples.values():
        for reason in counts.dropped.keys() - _NO_LOSS:
            lost[reason] = lost.get(reason, 0) + counts.dropped[reason]
    seconds = max(summary.ticks - 1, 0) / rate
    problems, notes = summary.problems, summary.notes
    return Extracted(
        seconds, summary.ticks, summary.presence, dict(sorted(lost.items())), problems, notes, kept
    )


@contextlib.contextmanager
def _claimed(session: Path) -> Iterator[Path]:
    """The path of a folder to write the session to; nothing of it is left at the end.

    Raises:
        UserError: another process has it, or it cannot be written.
    """
    claimed = session.with_name(f".{session.name}.part")
    lock, part = claimed / "lock", claimed / "session"
    try:
        descriptor = _lock(claimed, lock)
    except OSError as error:
        raise UserError(f"{session}: cannot be written ({error.strerror}); give another folder") from None
    if descriptor is None:
        raise UserError(f"{session}: another process is making it")
    try:
        shutil.rmtree(part, ignore_errors=True)  # of a process that was interrupted
        yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(descriptor)
        with contextlib.suppress(OSError):  # the next process has it already
            claimed.rmdir()


def _lock(claimed: Path, lock: Path) -> int | None:
    while True:
        for folder in [each for each in (*reversed(claimed.parents), claimed) if not each.exists()]:
            folder.mkdir(exist_ok=True)
            make_private(folder)
        with contextlib.suppress(FileNotFoundError):  # its owner has just ended, and removed the folder
            return claim(lock)


def _finish(part: Path, session: Path) -> None:
    """Give a session its name, once its content is on the disk."""
    try:
        for path in part.iterdir():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        part.rename(session)  # replaces an empty folder at most
    except OSError as error:
        raise UserError(f"{session}: cannot be written ({error.strerror}); give another folder") from None
