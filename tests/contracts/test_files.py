"""A file has its name only when it is complete."""

import errno
import os

import pytest

from enrapt.contracts.errors import UserError
from enrapt.contracts.files import PartFile, atomic_file, write_atomically
from tests.support.full_disk import files_no_larger_than, needs_limits


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.bin"


def names(path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir())


def test_it_has_its_name_at_the_end(path):
    path.write_bytes(b"old")
    with atomic_file(path) as file:
        file.write(b"new")
        assert [name.endswith(".part") for name in names(path)] == [False, True]
        assert path.read_bytes() == b"old"
    assert names(path) == ["file.bin"]
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_after_an_exception_nothing_is_left_and_the_old_file_stays(path, error):
    path.write_bytes(b"old")

    def fail() -> None:
        with atomic_file(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(error):
        fail()
    assert names(path) == ["file.bin"]
    assert path.read_bytes() == b"old"


def test_the_content_is_on_the_disk_before_the_name(path, monkeypatch):
    seen = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (seen.append(names(path)), fsync(file)))
    write_atomically(path, b"content")
    [[part]] = seen
    assert part.startswith("file.bin.")
    assert part.endswith(".part")


@needs_limits
@pytest.mark.parametrize("size", [100, 100_000])  # within Python's buffer, and beyond it
def test_a_full_disk_is_a_user_error_and_leaves_nothing(path, size):
    with files_no_larger_than(50), pytest.raises(UserError, match=r"file\.bin: cannot be written \(File too"):
        write_atomically(path, bytes(size))
    assert names(path) == []


def test_a_folder_that_is_missing_is_a_user_error(path):
    with pytest.raises(UserError, match="cannot be written"):
        write_atomically(path / "in it", b"")


def test_a_part_can_be_left_for_the_user(path):
    file = PartFile(path)
    file.stream.write(b"half")
    file.abandon()
    assert (path.with_name("file.bin.part")).read_bytes() == b"half"
    file = PartFile(path)
    file.discard()
    file.discard()
    assert names(path) == []


def test_an_error_of_the_disk_is_an_os_error_without_the_wrapper(path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"), PartFile(path) as stream:
        stream.write(b"content")
    assert names(path) == []
