"""Wall-clock times beside those of a session: ISO 8601 with its offset, to the millisecond.

Only display and files use them: the wall clock may be set at any moment, and nothing is timed by it.
"""

import datetime
import time
from collections.abc import Callable
from typing import Final

STARTED_BY: Final = "started_by"  # of a session's description; see `store.folder`


def at(began: datetime.datetime | None, seconds: float) -> datetime.datetime | None:
    """The wall-clock time at a second of an axis that was at 0 s when it `began`; None if nobody knows."""
    if began is None:
        return None
    try:
        return began + datetime.timedelta(milliseconds=round(seconds * 1000))
    except OverflowError:
        return None


def began_at(zero: int, clock: Callable[[], int]) -> datetime.datetime:
    """When a clock (ns) was at `zero`, by the wall clock of now."""
    nanoseconds = time.time_ns() - (clock() - zero)
    return datetime.datetime.fromtimestamp(0, datetime.UTC) + datetime.timedelta(
        milliseconds=nanoseconds // 1_000_000
    )


def iso(time: datetime.datetime) -> str:
    """As text: `2026-03-01T09:00:00.040+00:00`."""
    return time.isoformat(timespec="milliseconds")


def parsed(text: str) -> datetime.datetime | None:
    """The time that a text has, to the millisecond; None if it is none, or has no time zone."""
    try:
        found = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if found.tzinfo is None:
        return None
    return found.replace(microsecond=found.microsecond // 1000 * 1000)
