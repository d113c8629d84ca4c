"""A study: a folder with `study.toml`, which says what is rated and who was recorded, and sessions.

```toml
name = "Job interviews"
description = ""
licence = ""
consent = "Written consent to research use, form of 2026-03-01"

[[dimensions]]
name = "engagement"
kind = "trace"        # or "interval": a value for each turn; "session": one for a whole session
low = 0.0
high = 1.0
levels = []           # names of equally distant values from low to high, for ordinal scales
question = "How engaged is the person?"

[[sessions]]          # optional: the person of a session, or a session that lies elsewhere
path = "sessions/anna_1"
person = "anna"
```

Every session below `sessions/` belongs to the study. Without an entry its person is the folder above it
(`sessions/anna/1`: anna), or, directly below `sessions/`, its own name. In a session of several people
(`realtime.store.group`) each has a session of their own name: of `sessions/pair/anna` it is anna.
"""

import os
import tomllib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from ..contracts.errors import UserError, one_line
from ..contracts.files import atomic_file
from ..contracts.regular import open_regular
from ..realtime.store.group import is_group
from ..realtime.store.private import make_private
from .folders import SESSIONS, has_tables, is_session

TOML: Final = "study.toml"
MAX_BYTES: Final = 2**22  # of a study.toml
MAX_SESSIONS: Final = 100_000

_Name = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,60}\Z")]
_Line = Annotated[str, Meta(max_length=1000)]
_Bound = Annotated[float, Meta(ge=-1e9, le=1e9)]


class Dimension(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is rated.

    Attributes:
        kind: `trace` changes over time, `interval` has a value for each of some stretches of time, `session`
            one for the whole.
        low, high: the range of its values.
        levels: for ordinal scales, the names of equally distant values, from `low` to `high`.
        question: what the rater is asked.
    """

    name: _Name
    kind: Literal["trace", "interval", "session"] = "trace"
    low: _Bound = 0.0
    high: _Bound = 1.0
    levels: Annotated[tuple[_Line, ...], Meta(max_length=1000)] = ()
    question: _Line = ""

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"dimension {self.name}: low must be less than high")
        if len(self.levels) == 1 or len({spelling(level) for level in self.levels}) < len(self.levels):
            raise ValueError(f"dimension {self.name}: give two or more levels, each once")

    @property
    def values(self) -> NDArray[np.float64]:
        """The values of the levels; empty without levels."""
        return np.linspace(self.low, self.high, len(self.levels))

    def value_of(self, level: str) -> float | None:
        """The value of the level of that name; None if there is none."""
        names = [spelling(each) for each in self.levels]
        wanted = spelling(level)
        return float(self.values[names.index(wanted)]) if wanted in names else None


class SessionEntry(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A session by its path from the study's folder, and its person."""

    path: Annotated[str, Meta(min_length=1, max_length=1000)]
    person: Annotated[str, Meta(min_length=1, max_length=200)]


class Description(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The content of a `study.toml`."""

    name: _Line
    description: Annotated[str, Meta(max_length=100_000)] = ""
    licence: _Line = ""
    consent: Annotated[str, Meta(max_length=100_000)] = ""
    dimensions: tuple[Dimension, ...] = ()
    sessions: tuple[SessionEntry, ...] = ()

    def __post_init__(self) -> None:
        for what, names in (
            ("dimensions", [d.name.casefold() for d in self.dimensions]),
            ("sessions", [os.path.normpath(s.path) for s in self.sessions]),
        ):
            if twice := next((name for k, name in enumerate(names) if name in names[:k]), None):
                raise ValueError(f"{what}: {twice} is there twice")


@dataclass(frozen=True, slots=True)
class StudySession:
    """A session of a study.

    Attributes:
        name: its path from the study's folder, without `sessions/`.
        person: who was recorded.
    """

    name: str
    folder: Path
    person: str


@dataclass(frozen=True, slots=True)
class Study:
    """A study as it is on the disk; the sessions in the order of their names."""

    folder: Path
    description: Description
    sessions: tuple[StudySession, ...]

    def dimension(self, name: str) -> Dimension:
        """The dimension of that name.

        Raises:
            UserError: the study has none.
        """
        for dimension in self.description.dimensions:
            if dimension.name == name:
                return dimension
        have = ", ".join(d.name for d in self.description.dimensions) or "none"
        raise UserError(f"{self.folder / TOML}: no dimension {one_line(name)[:60]}; it has {have}")


def read_study(folder: Path) -> Study:
    """The study in a folder.

    Raises:
        UserError: it has no `study.toml`, or one that is not right.
    """
    path = folder / TOML
    try:
        with open_regular(path) as file:
            content = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{folder}: not a study: it has no {TOML}; make one with enrapt study new") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    if len(content) > MAX_BYTES:
        raise UserError(f"{path}: larger than {MAX_BYTES >> 20} MiB")
    try:
        description = described(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    return Study(folder, description, tuple(_sessions(folder, description)))


def described(content: bytes) -> Description:
    """The content of a `study.toml`.

    Raises:
        UserError: it is not right.
    """
    try:
        values: dict[str, Any] = tomllib.loads(content.decode("utf-8-sig"))
        return msgspec.convert(values, Description)
    except UnicodeDecodeError:
        raise UserError("not UTF-8 text") from None
    except (ValueError, RecursionError) as error:  # msgspec's and tomllib's errors are ValueErrors
        raise UserError(one_line(error)) from None


def new_study(folder: Path) -> Path:
    """Make a folder with a `study.toml` to fill in, and an empty `sessions/`; give the file.

    Raises:
        UserError: there is a study already, or it cannot be written.
    """
    path = folder / TOML
    if os.path.lexists(path):
        raise UserError(f"{path}: exists and is kept; edit it, or give another folder")
    try:
        made = not folder.exists()
        (folder / SESSIONS).mkdir(parents=True, exist_ok=True)
        make_private(folder / SESSIONS)
        if made:
            make_private(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror})") from None
    with atomic_file(path) as stream:
        make_private(Path(stream.name))
        stream.write(_TEMPLATE.format(name=_quoted(folder.resolve().name)).encode())
        if os.path.lexists(path):
            raise UserError(f"{path}: exists and is kept; edit it, or give another folder")
    return path


def spelling(name: str) -> str:
    """What names have in common that differ in capitals, spaces, or how accents are coded only."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def recorded_together(sessions: Iterable[StudySession]) -> list[set[str]]:
    """The people of each session of several people."""
    groups: defaultdict[Path, set[str]] = defaultdict(set)
    for session in sessions:
        groups[session.folder.parent].add(session.person)
    return [people for folder, people in groups.items() if len(people) > 1 and is_group(folder)]


def _sessions(folder: Path, description: Description) -> list[StudySession]:
    """Those below `sessions/`, and those that have an entry, also if there is nothing at their path."""
    top = folder / SESSIONS
    found: dict[Path, str] = {}  # person by folder
    for root, folders, _ in os.walk(top):
        here = Path(root)
        folders[:] = sorted(name for name in folders if name[0] != ".")
        if here != top and (is_session(here) or has_tables(here)):
            folders.clear()
            relative = here.relative_to(top).parts
            own = len(relative) == 1 or is_group(here.parent)
            found[here] = relative[-1] if own else relative[-2]
        if len(found) > MAX_SESSIONS:
            raise UserError(f"{top}: more than {MAX_SESSIONS} sessions")
    there = {path.resolve(): path for path in found} if description.sessions else {}
    named: dict[Path, str] = {}  # entries by what their path leads to
    for entry in description.sessions:
        path = Path(os.path.normpath(folder / entry.path))
        if (other := named.setdefault(path.resolve(), entry.path)) is not entry.path:
            raise UserError(f"{folder / TOML}: {one_line(entry.path)} and {one_line(other)} are one session")
        found[there.get(path.resolve(), path)] = entry.person
    return sorted(
        (StudySession(_name(path, folder), path, person) for path, person in found.items()),
        key=lambda session: session.name,
    )


def _name(path: Path, folder: Path) -> str:
    relative = Path(os.path.relpath(path, folder))
    parts = relative.parts[1:] if relative.parts[0] == SESSIONS else relative.parts
    return "/".join(parts) or str(relative)


def _quoted(text: str) -> str:
    """A TOML string."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return '"{}"'.format(plain.replace("\\", "\\\\").replace('"', '\\"'))


_TEMPLATE: Final = """\
name = {name}
description = ""
licence = ""
consent = ""  # what the people agreed to, and where the forms are

[[dimensions]]
name = "engagement"
kind = "trace"  # changes over time; "interval": a value for each turn; "session": one for all of it
low = 0.0
high = 1.0
question = "How engaged is the person?"

# The person of each session below sessions/, where its folder does not say it.
# [[sessions]]
# path = "sessions/first"
# person = "anna"
"""
