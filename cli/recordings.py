"""Which recordings a command line names: files, recorded sessions, folders of them, and patterns."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..contracts.errors import UserError

# A file with such a name is taken for a recording: one that cannot be read is reported, not left out.
_VIDEO: Final = ".mp4 .m4v .mov .mkv .webm .avi .wmv .flv .mpg .mpeg .mts .m2ts .ts .3gp .ogv .mxf .mjpeg"
_SOUND: Final = ".wav .mp3 .m4a .aac .flac .ogg .opus .wma .aif .aiff"
SUFFIXES: Final = frozenset(f"{_VIDEO} {_SOUND} .xdf .xdfz".split())
_BEGINNING: Final = 1024  # bytes that show whether a file is text


@dataclass(frozen=True, slots=True)
class Item:
    """A recording, and the name of its results: its path from the folder that all of them are in."""

    path: Path
    name: str


def names_one(argument: str) -> bool:
    """Whether an argument is one recording, rather than a folder of them or a pattern."""
    path = Path(argument)
    return _is_session(path) if path.is_dir() else path.exists() or not glob.has_magic(argument)


def find_recordings(arguments: Sequence[str], results: Path) -> tuple[list[Item], list[str]]:
    """The recordings of all arguments, each once, and the files in folders that are none.

    A folder is searched, except for hidden files, links to folders and the folder of `results`. A pattern
    (`*`, `?`, `[…]`, `**`) stands for the paths that it fits. What is named, and not found in a folder, is a
    recording whatever it contains.

    Raises:
        UserError: no such file, or there is no recording.
    """
    found: dict[Path, None] = {}  # in this order
    left_out: list[str] = []
    bases = []
    for path in map(_absolute, _expanded(arguments)):
        if path.is_dir() and not _is_session(path):
            found |= dict.fromkeys(_search(path, _absolute(results), left_out))
            bases.append(path)
        else:
            found[path] = None
            bases.append(path.parent)
    if not found:
        raise UserError(f"{' '.join(arguments)}: no recording in it, and it is not a session; give another")
    base = Path(os.path.commonpath(bases))
    return [Item(path, path.relative_to(base).as_posix()) for path in found], left_out


def _expanded(arguments: Sequence[str]) -> Iterator[Path]:
    for argument in arguments:
        if os.path.lexists(argument):
            yield Path(argument)
        elif not glob.has_magic(argument):
            raise UserError(f"{argument}: no such file; check its name")
        elif matches := sorted(glob.glob(argument, recursive=True)):  # noqa: PTH207 (may be absolute)
            yield from map(Path, matches)
        else:
            raise UserError(f"{argument}: no file fits this pattern; check it")


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 (keeps links)


def _search(folder: Path, results: Path, left_out: list[str]) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        left_out.append(f"{error.filename} ({error.strerror})")

    for root, folders, files in os.walk(folder, onerror=unreadable):
        here = Path(root)
        if _is_session(here):
            folders.clear()
            yield here
            continue
        folders[:] = sorted(name for name in folders if name[0] != "." and here / name != results)
        for name in sorted(name for name in files if name[0] != "."):
            if is_recording(here / name):
                yield here / name
            else:
                left_out.append((here / name).relative_to(folder).as_posix())


def _is_session(folder: Path) -> bool:
    """Whether it holds tables of a recorded session; see `store.folder`."""
    return next(folder.glob("*.arrows"), None) is not None


def is_recording(path: Path) -> bool:
    """Whether a file's name says so, or its content: text and pictures are none."""
    if path.suffix.lower() in SUFFIXES:
        return True
    if not path.is_file():  # a pipe, which would wait for its writer
        return False
    from ..realtime.sources.container import open_container
    from ..realtime.sources.xdf_file import is_xdf

    try:
        with path.open("rb") as file:
            beginning = file.read(_BEGINNING)
        if is_xdf(path):
            return True
        if _is_text(beginning):
            return False
        with open_container(path) as container:
            still = container.format.name.startswith("image2") or container.format.name.endswith("_pipe")
            return not still and any(stream.type in ("video", "audio") for stream in container.streams)
    except (UserError, OSError):
        return False


def _is_text(beginning: bytes) -> bool:
    try:
        text = beginning.decode()
    except UnicodeDecodeError as error:
        if error.start < len(beginning) - 3:  # else a character is cut
            return False
        text = beginning[: error.start].decode()
    return all(character.isprintable() or character.isspace() for character in text)
