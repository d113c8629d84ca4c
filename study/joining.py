"""Sessions of several machines become one of several people: their times by the clock that all followed.

Each session has a `clock.csv` (`realtime.sources.lsl_clock`): at which time of its axis the followed clock
showed what. A line through it gives the offset and the drift of the session's axis.
"""

import csv
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..contracts.errors import UserError, one_line
from ..realtime.recorder import CLOCK
from ..realtime.store.group import JSON, Member, check_names, is_group, write_group
from ..realtime.store.reader import SessionReader
from .folders import is_session

Array = NDArray[np.float64]

MAX_BYTES: Final = 2**24  # of a clock.csv; a day has two million
LONG: Final = 30.0  # s; less says nothing of drift
MAX_DRIFT: Final = 1e-3  # crystals differ by a hundredth of that
APART: Final = 0.02  # s; median distance from the line, beyond which one of the clocks was set meanwhile
FAR: Final = 5.0  # median distances, beyond which a measurement is left out


@dataclass(frozen=True, slots=True)
class Followed:
    """A session's axis on the followed clock: `start + (1 + drift) · t`, s.

    Attributes:
        host: whose clock it is.
        error: s; median distance of what was measured from that line.
        measured: how often.
    """

    host: str
    start: float
    drift: float
    error: float
    measured: int


def join(folder: Path) -> list[tuple[Member, Followed]]:
    """Write a folder's `group.json`: its people are the sessions in it, by the names of their folders.

    The common axis begins where the earliest session does.

    Raises:
        UserError: there is one already; fewer than two sessions; one has followed no clock, or another than
            the rest, or its measurements are on no line; a name cannot be.
    """
    if is_group(folder):
        raise UserError(f"{folder / JSON}: exists and is kept: the sessions in {folder} are joined")
    try:
        sessions = sorted(path for path in folder.iterdir() if is_session(path) and path.name[0] != ".")
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror})") from None
    if len(sessions) < 2:
        raise UserError(f"{folder}: put the session of each person into it, in a folder of the person's name")
    check_names([session.name for session in sessions])
    readers = [SessionReader(session) for session in sessions]
    found = [followed(session) for session in sessions]
    hosts = {each.host for each in found}
    if len(hosts) > 1:
        raise UserError(
            f"{folder}: the sessions followed the clocks of {' and '.join(sorted(hosts))}, not of one"
        )
    zero = min(each.start for each in found)
    people = [
        Member(session.name, round(each.start - zero, 6), each.drift)
        for session, each in zip(sessions, found, strict=True)
    ]
    first = readers[[each.start for each in found].index(zero)]
    try:
        write_group(folder, people, datetime.fromisoformat(first.started))
    except OSError as error:
        raise UserError(f"{folder / JSON}: cannot be written ({error.strerror})") from None
    return list(zip(people, found, strict=True))


def followed(session: Path) -> Followed:
    """How a session's axis stands to the clock that it followed.

    Raises:
        UserError: it followed none; the file is not right; the measurements are on no line.
    """
    times, reference, host = _read(session / CLOCK)
    length = times[-1] - times[0]
    if length >= LONG:
        keep = np.ones(len(times), bool)
        for _ in range(3):
            drift, start = np.polyfit(times[keep], (reference - times)[keep], 1)
            distance = np.abs(reference - times - start - drift * times)
            keep = distance <= max(FAR * float(np.median(distance)), 1e-6)
    else:
        drift, start = 0.0, float(np.median(reference - times))
        distance = np.abs(reference - times - start)
    error = float(np.median(distance))
    if error > APART or abs(drift) > MAX_DRIFT:
        raise UserError(
            f"{session / CLOCK}: the two clocks do not go evenly (off by {1000 * error:.0f} ms, drift "
            f"{1e6 * drift:.0f} ppm): was one of the machines started again?"
        )
    return Followed(host, float(start), round(float(drift), 9), error, len(times))


def _read(path: Path) -> tuple[Array, Array, str]:
    if not path.exists():
        raise UserError(
            f"{path.parent}: has followed no clock: record on each machine with the same --clock lsl:NAME"
        )
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: larger than {MAX_BYTES >> 20} MiB")
        whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")  # the last line may have been cut
        lines = csv.DictReader(whole.splitlines())
        rows = [(float(row["time"]), float(row["reference"]), row["host"]) for row in lines]
        times, reference = (np.array([row[k] for row in rows], float) for k in (0, 1))
        hosts = {row[2] for row in rows}
        if not rows or not np.isfinite(times).all() or not np.isfinite(reference).all() or None in hosts:
            raise ValueError("a number is missing")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: not a session's, or damaged ({one_line(error)})") from None
    if len(hosts) > 1:
        raise UserError(f"{path}: the stream was on {' and '.join(sorted(hosts))}; their clocks differ")
    order = np.argsort(times)
    return times[order], reference[order], hosts.pop()
