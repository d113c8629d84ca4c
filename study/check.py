"""What is in a study, and what of it cannot be used and why."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from ..contracts.errors import UserError, one_line
from ..contracts.regular import open_regular
from ..realtime.store.folder import JSON
from ..realtime.store.reader import SessionReader
from ..realtime.streams.samples import SECOND
from . import labels
from .folders import ARROWS, has_tables, is_session
from .ratings import Label, Trace, Whole
from .readers.contents import content_of
from .study import Dimension, Study, StudySession, spelling

TOLERANCE: Final = 1.0  # s; by which labels may lie outside of a recording: media end a little later
_DIFFERENT: Final = 1e-6  # of the range; less from a level is rounding


@dataclass(frozen=True, slots=True)
class Rated:
    """What one rater says of a session: the share of the recording that is rated."""

    dimension: str
    rater: str
    share: float


@dataclass(slots=True)
class Checked:
    """A session and its labels.

    Attributes:
        start, end: s; of the recording, on its own axis. None if it cannot be read, or has nothing.
        schemas: of each modality; empty for a plain vector.
        dims: numbers of a vector, of each modality.
        labels: the labels that can be read.
        problems: what cannot be used, a line each.
        lost: those of them that say what the end of a session has lost; the rest of it can be used.
    """

    session: StudySession
    start: float | None = None
    end: float | None = None
    schemas: dict[str, str] = field(default_factory=dict)
    dims: dict[str, int] = field(default_factory=dict)
    rated: list[Rated] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return 0.0 if self.start is None or self.end is None else self.end - self.start


def check_study(study: Study) -> list[Checked]:
    """Every session with its problems; those that concern several sessions are at each of them."""
    sessions = check_sessions(study)
    _compare_schemas(sessions)
    _compare_names(sessions, "person", lambda one: [one.session.person])
    _compare_names(sessions, "rater", lambda one: [label.rater for label in one.labels])
    return sessions


def check_sessions(
    study: Study, progress: Callable[[int, int], None] = lambda done, of: None
) -> list[Checked]:
    """Every session with the problems that it has whatever the others are; and those that are copies.

    Args:
        progress: called with how many sessions of how many are checked.
    """
    found: list[Checked] = []
    for session in study.sessions:
        progress(len(found), len(study.sessions))
        found.append(check_session(session, study.description.dimensions))
    _find_copies(found)
    return found


def usable(checked: Iterable[Checked]) -> tuple[list[Checked], list[str]]:
    """The sessions that can be used, one that was cut up to there; and what cannot be, a line each."""
    found, left_out = [], []
    for one in checked:
        if wrong := [line for line in one.problems if line not in one.lost]:
            left_out.append(f"{one.session.name}: left out: {one_line(wrong[0])}")
        else:
            left_out += [f"{one.session.name}: {one_line(line)}" for line in one.lost]
            found.append(one)
    return found, left_out


def check_session(session: StudySession, dimensions: Iterable[Dimension]) -> Checked:
    """One session: reads all of it."""
    checked = Checked(session)
    if not is_session(session.folder):
        there = session.folder.is_dir() and has_tables(session.folder)
        missing = f"has no {JSON}, which every session has"
        checked.problems.append(missing if there else "no session there: check its path in study.toml")
        return checked
    try:
        reader = SessionReader(session.folder)
        checked.schemas = {name: schema.name for name, schema in reader.schemas.items()}
        checked.dims = {name: schema.dim for name, schema in reader.schemas.items()}
        checked.lost = reader.lost
        checked.problems += checked.lost
        span = span_of(reader)
    except UserError as error:
        checked.problems.append(_without(error, session.folder))
        return checked
    if span is None:
        checked.problems.append("empty: it has no sample and no tick")
    else:
        checked.start, checked.end = span
    by_name = {dimension.name: dimension for dimension in dimensions}
    try:
        paths = labels.paths(session.folder)
    except UserError as error:
        checked.problems.append(_without(error, session.folder))
        return checked
    _twice(paths, checked)
    for path in paths:
        try:
            label = labels.read(path)
        except UserError as error:
            checked.problems.append(_without(error, session.folder))
            continue
        checked.labels.append(label)
        checked.problems += [f"labels/{path.name}: {line}" for line in misfits(label, by_name, span)]
        share = label.rated / checked.seconds if checked.seconds > 0 else 0.0
        checked.rated.append(Rated(label.dimension, label.rater, min(share, 1.0)))
    return checked


def span_of(reader: SessionReader) -> tuple[float, float] | None:
    """Begin and end of a recording on its own axis, s: of samples and ticks. None without any.

    Of a session that has ended only the first rows are read.
    """
    first, last = [], [] if reader.ended is None else [reader.ended]
    columns = [(row.originating_time for row, _ in reader.samples(modality)) for modality in reader.schemas]
    for times in (*columns, (row.time for row in reader.observations())):
        if (begin := next(times, None)) is not None:
            first.append(begin)
            if reader.ended is None:
                last.append(max(times, default=begin))
    if not first:
        return None
    return min(first) / SECOND, max(last) / SECOND


def misfits(
    label: Label, dimensions: dict[str, Dimension], span: tuple[float, float] | None
) -> Iterator[str]:
    """Why labels cannot be used: each reason a line.

    Args:
        dimensions: of the study, by name.
        span: of the recording, s; None: not known.
    """
    if not isinstance(label, Whole):
        if label.span is None:
            yield "empty: nothing is rated"
            return
        if not label.rated:
            yield "its only value holds at one moment: say with another row how long"
        start, end = label.span
        if span is not None and (start < span[0] - TOLERANCE or end > span[1] + TOLERANCE):
            yield (
                f"rated from {start:.1f} to {end:.1f} s, outside of the recording, "
                f"{span[0]:.1f} to {span[1]:.1f} s: is the offset right?"
            )
    if (dimension := dimensions.get(label.dimension)) is None:
        have = ", ".join(dimensions) or "none"
        yield f"dimension {label.dimension} is not one of study.toml, which has {have}"
        return
    if label.kind != dimension.kind:
        yield f"is of kind {label.kind}, but {dimension.name} is of kind {dimension.kind} in study.toml"
    values = label.values if isinstance(label, Trace) else label.value
    values = values[~np.isnan(values)]
    lowest, highest = float(values.min()), float(values.max())
    if lowest < dimension.low or highest > dimension.high:
        yield (
            f"values of {lowest:g} to {highest:g}, outside of {dimension.low:g} to {dimension.high:g}, the "
            f"range of {dimension.name}"
        )
    elif len(dimension.levels):
        distance = np.abs(values[:, None] - dimension.values[None]).min(1)
        if (wrong := distance > _DIFFERENT * (dimension.high - dimension.low)).any():
            yield f"the value {values[np.argmax(wrong)]:g} is none of the {len(dimension.levels)} levels"


def _twice(paths: list[Path], checked: Checked) -> None:
    """Files whose names differ in their case only: one rater and dimension on some systems."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for path in paths:
        names[path.name.casefold()].append(path.name)
    for same in names.values():
        if len(same) > 1:
            checked.problems.append(f"labels/: {' and '.join(same)} are of one rater and dimension")


def _find_copies(sessions: list[Checked]) -> None:
    """Report sessions that are a copy of an earlier one: of another name, its person could be tested on."""
    first: dict[bytes, str] = {}
    for one in sessions:
        if one.start is None:  # with nothing in it, or not to be read
            continue
        try:
            digest = hashlib.sha256(content_of(one.session.folder / JSON))
            for modality in sorted(one.schemas):
                with open_regular(one.session.folder / f"{modality}{ARROWS}") as file:
                    while piece := file.read(1 << 20):
                        digest.update(piece)
        except (OSError, UserError):  # it is being changed; what is wrong with it is said elsewhere
            continue
        name = first.setdefault(digest.digest(), one.session.name)
        if name != one.session.name:
            one.problems.append(f"is a copy of {name}")


def _compare_schemas(sessions: list[Checked]) -> None:
    """Report modalities whose schema, or size without one, is another than in most sessions."""
    by_modality: defaultdict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
    for one in sessions:
        for modality, schema in one.schemas.items():
            by_modality[modality][schema, one.dims[modality]] += 1
    for one in sessions:
        for modality, schema in one.schemas.items():
            own = schema, one.dims[modality]
            (usual, _), *_ = by_modality[modality].most_common(1)
            if own != usual:
                shown = [name or f"a plain vector of {dim} numbers" for name, dim in (own, usual)]
                one.problems.append(f"{modality} is {shown[0]}; in most sessions it is {shown[1]}")


def _compare_names(sessions: list[Checked], what: str, names_of: Callable[[Checked], list[str]]) -> None:
    """Report names that differ in their spelling only."""
    spellings: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in sessions:
        for name in set(names_of(one)):
            spellings[spelling(name)][name] += 1
    for one in sessions:
        for name in sorted(set(names_of(one))):
            (usual, _), *_ = spellings[spelling(name)].most_common(1)
            if name != usual:
                one.problems.append(f"the {what} {name!r} is {usual!r} elsewhere: is it the same?")


def _without(error: UserError, folder: Path) -> str:
    """The error's text without the path of the session."""
    return str(error).removeprefix(f"{folder}/").removeprefix(f"{folder}: ")
