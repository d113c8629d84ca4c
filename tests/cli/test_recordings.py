"""Which recordings a command line names."""

import errno
import os
from pathlib import Path

import av
import numpy as np
import pytest

from enrapt.cli.recordings import find_recordings, names_one
from enrapt.contracts.errors import UserError
from tests.support.recordings import every, write

HERE = Path("results")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*paths: str, content: bytes = b"x") -> None:
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def names(*arguments: str, results: Path = HERE) -> list[str]:
    items, _ = find_recordings(arguments, results)
    assert all(item.path.is_absolute() for item in items)
    return [item.name for item in items]


def test_files_are_named_from_the_folder_that_all_are_in():
    touch("a/x.mp4", "b/x.mp4", "b/c/y.wav")
    assert names("a/x.mp4") == ["x.mp4"]
    assert names("a/x.mp4", "b/x.mp4") == ["a/x.mp4", "b/x.mp4"]
    assert names("b/c/y.wav", "b/x.mp4", "b/../b/x.mp4", str(Path("b/x.mp4").absolute())) == [
        "c/y.wav",
        "x.mp4",
    ]


def test_a_folder_is_searched_in_order_and_what_is_no_recording_left_out():
    touch("d/b.mp4", "d/a/z.WAV", "d/a/10.xdf", "d/.hidden.mp4", "d/.cache/x.mp4", "d/a/notes.txt", "d/table")
    items, left_out = find_recordings(["d"], HERE)
    assert [item.name for item in items] == ["b.mp4", "a/10.xdf", "a/z.WAV"]
    assert left_out == ["table", "a/notes.txt"]


def test_what_is_no_recording_is_told_by_content(folder):
    write(folder / "d.mkv", pictures=every(0.04, 10))
    touch("d/film", content=Path("d.mkv").read_bytes())
    touch("d/lsl", content=b"XDF:")
    touch("d/empty", content=b"")
    touch("d/subtitles.srt", "d/estimates.jsonl", content="1\n00:00 → Wörter.\n".encode() * 100)
    touch("d/noise.bin", content=np.random.default_rng(0).bytes(100_000))
    with av.open("d/picture.png", "w", format="image2") as container:
        stream = container.add_stream("png")
        stream.width, stream.height, stream.pix_fmt = 32, 24, "rgb24"
        frame = av.VideoFrame.from_ndarray(np.zeros((24, 32, 3), np.uint8), "rgb24")
        container.mux(stream.encode(frame))
    items, left_out = find_recordings(["d"], HERE)
    assert [item.name for item in items] == ["film", "lsl"]
    assert len(left_out) == 5
    # One that is named is taken, whatever it contains.
    assert names("d/picture.png", "d/empty") == ["picture.png", "empty"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_in_a_folder_is_left_out():
    touch("d/a.mp4")
    os.mkfifo("d/pipe")
    assert names("d") == ["a.mp4"]


def test_a_recorded_session_is_one_recording():
    touch("d/one/session.json", "d/one/face.arrows", "d/one/media.mkv", "d/film.mp4")
    touch("d/other/session.json", "d/other/film.mp4")  # of another program
    assert names("d") == ["film.mp4", "one", "other/film.mp4"]
    assert names("d/one", "d/film.mp4") == ["one", "film.mp4"]


def test_results_of_before_are_left_out():
    touch("d/a.mp4", "d/results/a.mp4.summary.json", "d/results/kept.mp4")
    assert names("d", results=Path("d/results")) == ["a.mp4"]


@pytest.mark.parametrize("pattern", ["d/*.mp4", "d/**/*.mp4", "{here}/d/[ab].mp4"])
def test_patterns(folder, pattern):
    touch("d/b.mp4", "d/a.mp4", "d/c.wav")
    assert names(pattern.format(here=folder)) == ["a.mp4", "b.mp4"]


def test_a_name_that_looks_like_a_pattern():
    touch("talk [1].mp4")
    assert names("talk [1].mp4") == ["talk [1].mp4"]
    assert names_one("talk [1].mp4")


def test_links_to_folders_are_not_followed():
    touch("d/a.mp4")
    Path("d/loop").symlink_to("../d")
    Path("d/link.mp4").symlink_to("a.mp4")
    assert names("d") == ["a.mp4", "link.mp4"]


def test_a_folder_that_cannot_be_read_is_left_out_by_name(monkeypatch):
    touch("d/a.mp4", "d/closed/b.mp4")
    scandir = os.scandir

    def refused(path):  # root may read everything
        if Path(path).name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    _, (left_out,) = find_recordings(["d"], HERE)
    assert "closed (Permission denied)" in left_out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["a.mp4", "nowhere.mp4"], "nowhere.mp4: no such file"),
        (["*.avi"], "no file fits this pattern"),
        (["empty"], "no recording in it"),
    ],
)
def test_a_mistake_is_one_line(arguments, complaint):
    touch("a.mp4")
    Path("empty").mkdir()
    with pytest.raises(UserError, match=complaint):
        find_recordings(arguments, HERE)


def test_what_is_one_recording():
    touch("a.mp4", "session/face.arrows", "folder/a.mp4")
    assert names_one("a.mp4")
    assert names_one("session")
    assert names_one("nowhere.mp4")
    assert not names_one("folder")
    assert not names_one("*.mp4")
