"""Output files that belong to one run: locked while they are written, and never in place of another's."""

import contextlib
import os
import re
import stat
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # beyond the content, which others may read
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            raise BlockingIOError from None
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class OwnedFile:
    """A file that is `FILE.part`, locked, while it is written, and `FILE` after `commit`.

    A file that exists is kept: this one is then `FILE_2`, …, also if another run is writing `FILE`. What a
    killed run left is finished first, as `FILE_recovered`. Each of these is said in a line. As a context
    manager it commits, or discards after an exception.

    Args:
        overwrite: replace an existing `path` at the end; never a file that is being written.
        lines: it is text: of one that is recovered, an incomplete last line is dropped.
        warn: called with a line for people.

    Attributes:
        path: the name that it will have.
        stream: to write to.

    Raises:
        OSError: at construction and from `commit`.
    """

    def __init__(self, path: Path, *, overwrite: bool, lines: bool, warn: Callable[[str], None]) -> None:
        self._asked, self._overwrite, self._lines, self._warn = path, overwrite, lines, warn
        for part in _parts(path):
            with contextlib.suppress(OSError):  # then it stays as it is
                self._recover(part)
        self.path, descriptor = self._claim()
        self.stream: BinaryIO = os.fdopen(descriptor, "wb")

    def commit(self) -> None:
        """Complete the file. Its content is on the disk before its name is."""
        self.stream.flush()
        os.fsync(self.stream.fileno())
        if sys.platform == "win32":  # which renames no open file; elsewhere it is locked until then
            self.stream.close()
        part, wanted = part_of(self.path), self.path
        if self._replaces(wanted):
            part.replace(wanted)
        elif not _rename(part, wanted):
            self.path = _rename_to_free(part, self._asked)
            self._warn(f"{wanted} has been made by another program; the estimates are in {self.path.name}")
        self.stream.close()

    def abandon(self) -> None:
        """Leave what was written as `FILE.part`."""
        with contextlib.suppress(OSError):  # closing flushes, which a full disk refuses again
            self.stream.close()

    def discard(self) -> None:
        """Leave nothing, unless it is complete already."""
        if self.stream.closed:  # `FILE.part` may be another run's by now
            return
        if sys.platform == "win32":
            self.abandon()
        with contextlib.suppress(OSError):
            part_of(self.path).unlink(missing_ok=True)
        self.abandon()

    def __enter__(self) -> BinaryIO:
        return self.stream

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and not self.stream.closed:
                self.commit()
        finally:
            self.discard()

    def _claim(self) -> tuple[Path, int]:
        """The first name that is free, and its locked `.part`."""
        path, reason = self._asked, ""
        numbers = count(2)
        while (descriptor := self._claim_name(path)) is None:
            why = "is being written by another run" if self._is_free(path) else "exists and is kept"
            reason, path = reason or why, _numbered(self._asked, next(numbers))
        if reason:
            hint = "; --overwrite replaces it" if reason.startswith("exists") else ""
            self._warn(f"{self._asked} {reason}: this run writes {path.name}{hint}")
        return path, descriptor

    def _claim_name(self, path: Path) -> int | None:
        if not self._is_free(path) or (descriptor := claim(part_of(path))) is None:
            return None
        written = os.fstat(descriptor).st_size  # and could not be recovered
        if not written and self._is_free(path):  # not so if its last owner has just completed it
            return descriptor
        if not written:
            part_of(path).unlink()
        os.close(descriptor)
        return None

    def _is_free(self, path: Path) -> bool:
        return self._replaces(path) or not os.path.lexists(path)

    def _replaces(self, path: Path) -> bool:
        return self._overwrite and path == self._asked

    def _recover(self, part: Path) -> None:
        descriptor = claim(part)
        if descriptor is None:
            return
        try:
            size = _whole_lines(descriptor) if self._lines else os.fstat(descriptor).st_size
            os.ftruncate(descriptor, size)
            if sys.platform == "win32":
                os.close(descriptor)
            if not size:
                part.unlink()
                return
            name = part.with_name(part.name.removesuffix(".part"))
            kept = _rename_to_free(part, name.with_name(f"{name.stem}_recovered{name.suffix}"))
        finally:
            if sys.platform != "win32":
                os.close(descriptor)
        self._warn(f"{part} is of a run that did not end: what it wrote is now {kept.name}")


def part_of(path: Path) -> Path:
    """Its name while it is written."""
    return path.with_name(f"{path.name}.part")


def discard_left_over(path: Path) -> None:
    """Remove `path` and what a killed run left of it, unless another run is writing it."""
    path.unlink(missing_ok=True)
    if os.path.lexists(part_of(path)) and (descriptor := claim(part_of(path))) is not None:
        part_of(path).unlink(missing_ok=True)
        os.close(descriptor)


def _numbered(path: Path, number: int) -> Path:
    return path if number == 1 else path.with_name(f"{path.stem}_{number}{path.suffix}")


def _parts(path: Path) -> list[Path]:
    """Files that runs with this path write, or have left."""
    ours = re.compile(rf"{re.escape(path.stem)}(_\d+)?{re.escape(path.suffix)}\.part")
    try:
        return sorted(each for each in path.parent.iterdir() if ours.fullmatch(each.name))
    except OSError:  # a folder that cannot be listed
        return []


def claim(part: Path) -> int | None:
    """A locked descriptor of a file, which is made if it is missing; None if it is not ours to take."""
    flags = os.O_RDWR
    for name in ("O_CLOEXEC", "O_BINARY", "O_NOFOLLOW", "O_NONBLOCK"):
        flags |= getattr(os, name, 0)
    try:
        descriptor, made = os.open(part, flags | os.O_CREAT | os.O_EXCL, 0o666), True
    except FileExistsError:
        try:
            descriptor, made = os.open(part, flags), False
        except OSError:  # another user's, a folder, a link; or it has just got its name
            return None
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode):
            try:
                _lock(descriptor)
            except BlockingIOError:
                pass
            except OSError:  # a file system without locks: only what we made is ours
                if made:
                    return descriptor
            else:  # is it still this file?
                if os.path.samestat(found, part.lstat()):
                    return descriptor
    except FileNotFoundError:
        pass
    os.close(descriptor)
    return None


def _rename(part: Path, path: Path) -> bool:
    """Rename, unless there is such a file."""
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links
        try:
            path.open("xb").close()
        except FileExistsError:
            return False
        part.replace(path)
    else:
        part.unlink()
    return True


def _rename_to_free(part: Path, path: Path) -> Path:
    """Rename to the first of `path`, `path_2`, … that is free."""
    return next(name for number in count(1) if _rename(part, name := _numbered(path, number)))


def _whole_lines(descriptor: int) -> int:
    """How many bytes there are up to the last end of a line."""
    end = os.fstat(descriptor).st_size
    while end:
        begin = max(end - (1 << 16), 0)
        os.lseek(descriptor, begin, os.SEEK_SET)
        block = os.read(descriptor, end - begin)
        if b"\n" in block:
            return begin + block.rindex(b"\n") + 1
        end = begin
    return 0
