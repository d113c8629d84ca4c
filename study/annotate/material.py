"""What is rated, and where the labels go: of a session, or of a media file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...contracts.errors import UserError, one_line
from ...realtime.recorder import MEDIA
from ...realtime.store.group import is_group, people_of
from .. import labels, ratings
from ..folders import SESSIONS, is_session
from ..readers.contents import Spans
from ..readers.file import read_file
from ..study import TOML, Dimension, read_study

USUAL: Final = "engagement"  # what is rated where no study says it


@dataclass(frozen=True, slots=True)
class Material:
    """A recording to rate.

    Attributes:
        title: for the rater.
        media: what is played.
        session: the session it is of, None without one.
        folder: of the labels.
        own_axis: whether times are those in the file; see `playable`.
    """

    title: str
    media: Path
    session: Path | None
    folder: Path
    own_axis: bool


def material_of(path: Path, study: Path | None, media: Path | None) -> Material:
    """What to play, and where its labels lie.

    A session's labels lie in it. Those of a media file lie in the study's session of the same name, if there
    is one, or else beside it in `FILE.labels/`.

    Args:
        path: a session, or a media file.
        media: the recording that the session was made of, if it has kept none itself.

    Raises:
        UserError: it is neither; the session has no pictures or sound.
    """
    if path.is_dir():
        if is_group(path):
            raise UserError(f"{path}: several people's; give {people_of(path)}")
        if not is_session(path):
            raise UserError(f"{path}: not a session; give a session's folder, or a video")
        own = path / MEDIA
        if media is None and not own.is_file():
            raise UserError(
                f"{path}: has no {MEDIA} to play; give what it was made of with --media FILE, or record with "
                "--keep-media"
            )
        title = path.resolve().name
        return Material(title, media or own, path, path / labels.FOLDER, own_axis=media is None)
    if media is not None:
        raise UserError(f"--media: is for a session; {path} is none")
    if not path.is_file():
        raise UserError(f"{path}: no such session or file")
    session = None if study is None else study / SESSIONS / path.stem
    if session is not None and is_session(session):
        return Material(path.name, path, session, session / labels.FOLDER, own_axis=False)
    return Material(path.name, path, None, path.with_name(f"{path.name}.labels"), own_axis=False)


def dimensions_of(path: Path, study: Path | None, names: Sequence[str]) -> list[Dimension]:
    """What to rate: these dimensions of the study that it belongs to, or all; without a study, traces.

    Raises:
        UserError: the study has no such dimension, or none.
    """
    folders = [study] if study is not None else list(path.absolute().parents)
    for folder in folders:
        if study is not None or (folder / TOML).is_file():
            found = read_study(folder)
            if not found.description.dimensions:
                raise UserError(f"{folder / TOML}: has no [[dimensions]]; say there what is rated")
            return [found.dimension(name) for name in names] or list(found.description.dimensions)
    return [Dimension(name) for name in (names or [USUAL])]


def given_intervals(path: Path, tier: str | None = None) -> list[tuple[float, float]]:
    """The stretches to rate, seconds: those of labels, or of a tier of another program's file.

    Raises:
        UserError: the file cannot be read, or has no intervals.
    """
    if path.suffix == ".csv":
        label = labels.read(path)
        if not isinstance(label, ratings.Intervals):
            raise UserError(f"{path}: is no file of intervals")
        rows = zip(label.start.tolist(), label.end.tolist(), strict=True)
    else:
        tracks = [
            track
            for track in read_file(path)
            if isinstance(track, Spans) and (tier is None or track.name == tier)
        ]
        if len(tracks) != 1:
            have = one_line(", ".join(track.name for track in tracks)) or "none"
            raise UserError(f"{path}: {len(tracks)} tiers of intervals ({have}); choose one with --tier")
        rows = zip(tracks[0].start.tolist(), tracks[0].end.tolist(), strict=True)
    result = sorted((start, end) for start, end in rows if start < end)
    if not result:
        raise UserError(f"{path}: no intervals in it")
    return result
