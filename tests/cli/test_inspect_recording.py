"""`enrapt inspect` of recordings: tracks, streams, modalities, their times, and what is taken."""

import gzip
import json

import numpy as np
import pytest

from enrapt.cli.main import main
from enrapt.contracts.schemas import FACE
from tests.support.hard_cases import Track, multi_track
from tests.support.xdf_files import Stream, encoded

TRACKS = [
    Track("video", 50, title="screen"),
    Track("video", 200, title="camera", default=True, seconds=4),
    Track("audio", 100, title="room"),
    Track("audio", 300, title="empty one", default=True, seconds=0),
    Track("audio", 500, title="microphone", default=True),
]


@pytest.fixture
def film(tmp_path):
    return multi_track(tmp_path / "film.mkv", TRACKS)


def inspected(capsys, *arguments: object, status: int = 0) -> dict:
    assert main(["inspect", *map(str, arguments), "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_the_tracks_of_a_film(film, capsys):
    content = inspected(capsys, film)
    assert (content["path"], content["kind"], content["problems"]) == (str(film), "media", [])
    assert content["duration"] == pytest.approx(4, abs=0.1)
    parts = content["parts"]
    assert [part["name"].split(":")[0] for part in parts] == [
        "video 1",
        "video 2",
        "audio 1",
        "audio 2",
        "audio 3",
    ]
    assert [part["taken"] for part in parts] == [False, True, False, False, True]
    assert "ffv1, 32×24 at 25 frames/s" in parts[1]["name"]
    assert parts[1]["start"] == 0


@pytest.mark.parametrize("columns", ["60", "200"])
def test_it_is_printed_as_a_table(film, capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["inspect", str(film)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{film}: media, ")
    assert lines[2].split() == ["from", "to", "samples", "taken"]
    assert "camera" in lines[4]
    assert lines[4].split()[-1] == "yes"
    assert lines[5].split()[-1] == "no"


def test_the_modalities_of_a_session(command, sound, tiny_bundle, tmp_path, capsys):
    command("replay", sound, "--bundle", tiny_bundle, "--record", "session")
    content = inspected(capsys, "session")
    assert content["kind"] == "session"
    assert content["duration"] == 4.0
    audio = {part["name"]: part for part in content["parts"]}["audio: 44 numbers, audio/1"]
    assert audio == {
        "name": "audio: 44 numbers, audio/1", "start": 0.04, "end": 4.0, "samples": 100, "taken": True,
    }  # fmt: skip
    (tmp_path / "session" / "audio.arrows").write_bytes(
        (tmp_path / "session" / "audio.arrows").read_bytes()[:-100]
    )
    assert "audio.arrows" in inspected(capsys, "session", status=1)["problems"][0]


@pytest.mark.parametrize("name", ["lsl.xdf", "lsl.xdfz"])
def test_the_streams_of_an_xdf_file(tmp_path, tiny_bundle, capsys, name):
    pytest.importorskip("pyxdf")
    at = 1000 + np.arange(100) / 25
    face = Stream("tracker", at, np.zeros((100, FACE.dim)), 25)
    gaze = Stream("gaze", at + 1, np.zeros((100, 3)), 25)
    data = b"".join(encoded([gaze, face]))
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("z") else data)
    content = inspected(capsys, tmp_path / name, "--bundle", tiny_bundle)
    assert content["kind"] == "XDF"
    first, second = content["parts"]
    assert first["name"] == "stream 1: gaze (3 channels at 25 Hz)"
    assert second["name"].startswith("stream 2: tracker")
    assert [part["taken"] for part in (first, second)] == [False, True]
    assert [part["samples"] for part in (first, second)] == [100, 100]
    assert (first["start"], second["start"]) == (pytest.approx(1), 0)
    other = Stream("other", at, np.zeros((100, FACE.dim)), 25)
    (tmp_path / name).write_bytes(b"".join(encoded([face, other])))
    problems = inspected(capsys, tmp_path / name, "--bundle", tiny_bundle, status=1)["problems"]
    assert "several streams fit face" in problems[-1]


def test_what_is_neither(tmp_path, capsys):
    np.save(tmp_path / "numbers.npy", np.zeros(100))
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    for name, complaint in (
        ("numbers.npy", "not an ONNX file"),
        ("empty.mp4", "the file is empty"),
        ("nowhere.mp4", "no such file"),
        ("folder", "not a session"),
        ("nowhere", "no such bundle"),
    ):
        assert main(["inspect", str(tmp_path / name)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert complaint in line
