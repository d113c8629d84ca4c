"""An output file belongs to one run: nothing of another run, or of an earlier one, is lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from enrapt.contracts.owned import OwnedFile, discard_left_over

OWNER = """
import sys
from pathlib import Path
from enrapt.contracts.owned import OwnedFile
file = OwnedFile(Path(sys.argv[1]), overwrite=False, lines=True, warn=print)
file.stream.write(sys.argv[2].encode())
file.stream.flush()
print("writing", file.path.name, flush=True)
sys.stdin.readline()
file.commit()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out.jsonl"


@pytest.fixture
def said():
    return []


@pytest.fixture
def own(path, said):
    def own(to: Path = path, overwrite: bool = False, lines: bool = True) -> OwnedFile:
        return OwnedFile(to, overwrite=overwrite, lines=lines, warn=said.append)

    return own


def write(file: OwnedFile, content: bytes) -> Path:
    with file as stream:
        stream.write(content)
    return file.path


def contents(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in path.parent.iterdir()}


def other_process(path: Path, content: str) -> "subprocess.Popen[str]":
    """A process that is writing `content` to the file, until it gets a line or is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path), content],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("writing out")
    return process


def test_a_file_that_exists_is_kept(path, own, said):
    assert [write(own(), content).name for content in (b"1", b"2", b"3")] == [
        "out.jsonl",
        "out_2.jsonl",
        "out_3.jsonl",
    ]
    assert contents(path) == {"out.jsonl": b"1", "out_2.jsonl": b"2", "out_3.jsonl": b"3"}
    assert [line.count("\n") for line in said] == [0, 0]
    assert "out.jsonl exists and is kept: this run writes out_2.jsonl" in said[0]


def test_one_that_is_to_be_replaced_stays_until_the_other_is_complete(path, own, said):
    path.write_bytes(b"old")
    file = own(overwrite=True)
    file.stream.write(b"new")
    assert path.read_bytes() == b"old"
    file.commit()
    assert contents(path) == {"out.jsonl": b"new"}
    assert said == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_another_process_writes_is_left_alone(path, own, said, overwrite):
    other = other_process(path, "theirs\n")
    path.with_name("out_2.jsonl").write_bytes(b"old")  # not the name that was to be replaced
    assert write(own(overwrite=overwrite), b"ours\n").name == "out_3.jsonl"
    other.communicate("\n", timeout=20)
    assert other.returncode == 0
    assert contents(path) == {"out.jsonl": b"theirs\n", "out_2.jsonl": b"old", "out_3.jsonl": b"ours\n"}
    assert "is being written by another run" in said[0]


def test_two_of_one_process_have_files_of_their_own(path, own):
    first, second = own(), own()
    write(second, b"second")
    write(first, b"first")
    assert contents(path) == {"out.jsonl": b"first", "out_2.jsonl": b"second"}


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_what_a_killed_process_wrote_is_finished(path, own, said):
    for content in ("1\n2\n", "a\nb"):
        other = other_process(path, content)
        other.send_signal(signal.SIGKILL)
        other.communicate()
        assert path.with_name("out.jsonl.part").exists()
        write(own(), b"new\n")
        path.unlink()
    assert contents(path) == {
        "out_recovered.jsonl": b"1\n2\n",
        "out_recovered_2.jsonl": b"a\n",  # without the incomplete line
    }
    assert len(said) == 2
    assert said[0].endswith("what it wrote is now out_recovered.jsonl")


def test_the_left_over_of_a_second_name_is_finished_too(path, own):
    path.with_name("out_2.jsonl.part").write_bytes(b"1\n")
    path.with_name("out_x.jsonl.part").write_bytes(b"of others\n")
    write(own(), b"new\n")
    assert contents(path) == {
        "out.jsonl": b"new\n",
        "out_2_recovered.jsonl": b"1\n",
        "out_x.jsonl.part": b"of others\n",
    }


@pytest.mark.parametrize(("left", "kept"), [(b"", None), (b"{", None), (b"x" * 200_000 + b"\ny", 200_001)])
def test_only_whole_lines_are_finished(path, own, said, left, kept):
    path.with_name("out.jsonl.part").write_bytes(left)
    own().discard()
    assert [len(content) for content in contents(path).values()] == ([] if kept is None else [kept])
    assert len(said) == (kept is not None)


def test_what_is_no_text_is_finished_as_it_is(path, own):
    path.with_name("out.jsonl.part").write_bytes(b"PAR1\n\0")
    own(lines=False).discard()
    assert contents(path) == {"out_recovered.jsonl": b"PAR1\n\0"}


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
def test_a_part_that_is_no_file_of_ours_is_left_alone(path, own, kind, tmp_path):
    part = path.with_name("out.jsonl.part")
    target = tmp_path / "precious"
    target.write_bytes(b"precious")
    if kind == "link":
        part.symlink_to(target)
    elif kind == "folder":
        part.mkdir()
    else:
        os.mkfifo(part)
    assert write(own(), b"new\n").name == "out_2.jsonl"
    assert target.read_bytes() == b"precious"
    assert part.is_symlink() or not part.is_file()


def test_a_file_that_appears_meanwhile_is_kept(path, own, said):
    file = own()
    file.stream.write(b"ours")
    path.write_bytes(b"of another program")
    file.commit()
    assert contents(path) == {"out.jsonl": b"of another program", "out_2.jsonl": b"ours"}
    assert "out_2.jsonl" in said[0]


def test_a_file_system_without_links_and_locks(path, own, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr("enrapt.contracts.owned._lock", refuse)
    path.write_bytes(b"old")
    path.with_name("out_2.jsonl.part").write_bytes(b"perhaps of another run\n")
    assert write(own(), b"new").name == "out_3.jsonl"
    assert contents(path) == {
        "out.jsonl": b"old",
        "out_2.jsonl.part": b"perhaps of another run\n",
        "out_3.jsonl": b"new",
    }


def test_a_discarded_file_leaves_nothing_of_its_own_only(path, own):
    file = own()
    file.discard()
    other = own()
    file.discard()
    write(other, b"other")
    assert contents(path) == {"out.jsonl": b"other"}
    discard_left_over(path)
    assert contents(path) == {}


def test_a_left_over_can_be_removed_unless_it_is_being_written(path, own):
    path.with_name("out.jsonl.part").write_bytes(b"left")
    discard_left_over(path)
    assert contents(path) == {}
    file = own()
    discard_left_over(path)
    write(file, b"whole")
    assert contents(path) == {"out.jsonl": b"whole"}
