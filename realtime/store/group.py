"""Several people in one session: a folder with a plain session for each of them, and a `group.json`.

```
pair/
  group.json      who is in it, and where the time zero of each session lies on the axis that all share
  anna/           a session, see `folder`
  ben/
```

Each session is complete without the others. At second t of its own axis the group's is
`offset + (1 + drift) · t`. Both are 0 where one machine recorded everybody, on one clock.
"""

import contextlib
import datetime
import importlib.metadata
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ...contracts.errors import UserError, one_line
from ...contracts.files import PartFile
from ...contracts.regular import open_regular
from ..streams.wall_clock import iso
from .folder import JSON as SESSION
from .private import make_private

VERSION: Final = 1
JSON: Final = "group.json"

_MAX_JSON: Final = 2**20  # bytes
_NAME: Final = r"\A[^\W_][\w.-]{0,59}\Z"

_Name = Annotated[str, Meta(pattern=_NAME)]


class Member(msgspec.Struct, frozen=True):
    """A person of a group.

    Attributes:
        person: the name; that of the session's folder, too.
        offset: s; of the session's time zero on the group's axis.
        drift: by how much more than a second of the session's the group's axis advances meanwhile, s.
    """

    person: _Name
    offset: Annotated[float, Meta(ge=-1e9, le=1e9)] = 0.0
    drift: Annotated[float, Meta(ge=-0.01, le=0.01)] = 0.0

    def common(self, t: float) -> float:
        """Seconds on the group's axis at second `t` of the session's, to the microsecond."""
        return round(self.offset + (1 + self.drift) * t, 6)


class Group(msgspec.Struct, frozen=True):
    """The content of `group.json`.

    Attributes:
        started: when the group's axis was at 0 s, ISO 8601.
    """

    version: int
    enrapt: str
    started: str
    people: Annotated[tuple[Member, ...], Meta(min_length=1, max_length=100)]


def is_group(folder: Path) -> bool:
    """Whether a folder is a session of several people."""
    return (folder / JSON).is_file()


def read_group(folder: Path) -> Group:
    """Who is in a session of several people.

    Raises:
        UserError: it is none, or its `group.json` is not right.
    """
    path = folder / JSON
    try:
        with open_regular(path) as file:
            group = msgspec.json.decode(file.read(_MAX_JSON), type=Group)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{folder}: not a session of several people: it has no {JSON}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise UserError(f"{path}: not a group's, or damaged ({one_line(error)})") from None
    if group.version != VERSION:
        raise UserError(f"{path}: of version {group.version}; this version of enrapt reads {VERSION}")
    try:
        check_names([member.person for member in group.people])
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return group


def write_group(folder: Path, people: Sequence[Member], started: datetime.datetime) -> None:
    """Write a `group.json`, of mode 600, atomically; raises OSError."""
    group = Group(
        VERSION, importlib.metadata.version("enrapt"), iso(started.astimezone(datetime.UTC)), tuple(people)
    )
    with PartFile(folder / JSON) as stream:
        make_private(Path(stream.name))
        stream.write(msgspec.json.format(msgspec.json.encode(group), indent=2) + b"\n")


def check_names(names: Sequence[str]) -> None:
    """Refuse names of people that cannot be those of folders beside each other.

    Raises:
        UserError: one of them, or two of them on some systems.
    """
    for k, name in enumerate(names):
        if not re.fullmatch(_NAME, name):
            raise UserError(
                f"{one_line(name)[:60]!r} cannot be a person's name here: it is a folder's; "
                "give letters, digits, _, - and ., at most 60"
            )
        if other := next((one for one in names[:k] if one.casefold() == name.casefold()), None):
            raise UserError(f"two people are called {other} and {name}; give each a name of their own")


def people_of(folder: Path) -> str:
    """The sessions in a group's folder, for an error that asks for one of them."""
    with contextlib.suppress(UserError):
        names = [str(folder / member.person) for member in read_group(folder).people]
        return f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
    return "one of those in it"


def complete(folder: Path, people: Sequence[str]) -> list[str]:
    """Those of the people of whom there is a session."""
    return [name for name in people if (folder / name / SESSION).is_file()]
