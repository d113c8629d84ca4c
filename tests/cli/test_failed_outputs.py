"""An output that lost estimates by a failure is in the exit status, and delays nothing."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from enrapt.cli.show import show
from enrapt.realtime.run import Run
from enrapt.realtime.session import LiveSession
from enrapt.realtime.sources.pushed import Pushed
from tests.support.bundles import make_bundle
from tests.support.full_disk import files_no_larger_than, needs_limits
from tests.support.mjpeg import free_port

FULL = Path("/dev/full")
needs_full_device = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")


@pytest.fixture
def live(tmp_path, monkeypatch):
    """Runs two seconds of pushed features, and gives the exit status."""
    monkeypatch.chdir(tmp_path)
    bundle = make_bundle(tmp_path / "three.onnx", [("gaze", 3, "gaze/1", None)])

    def run(*to: str, stats: Path | None = None) -> int:
        pushed = Pushed("gaze", schema="gaze/1", dim=3)
        session = LiveSession(None, None, devices=[pushed], bundle=bundle, to=to)
        return show(session, duration=2, stats=stats)

    return run


@needs_full_device
@pytest.mark.live
def test_live_the_others_are_whole(live, tmp_path, capsys):
    assert live("jsonl:a.jsonl", "csv:/dev/full", stats=tmp_path / "stats.json") == 1
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 51
    line = "csv:/dev/full: of 51 estimates and marks 1 failed, 50 unreachable"
    assert f"enrapt: {line}\n" in capsys.readouterr().err
    assert json.loads((tmp_path / "stats.json").read_text())["problems"] == [line]


@pytest.mark.live
def test_live_a_server_that_was_never_reached(live, capsys):
    pytest.importorskip("paho")
    address = f"mqtt://127.0.0.1:{free_port()}/room"
    assert live(address) == 1
    assert f"{address}: of 51 estimates and marks 51 unreachable" in capsys.readouterr().err


@pytest.mark.live
def test_live_what_could_not_be_completed(live, tmp_path, capsys, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("enrapt.contracts.owned.os.fsync", full)
    assert live("jsonl:a.jsonl") == 1
    assert "enrapt: jsonl:a.jsonl: it could not be completed" in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob("a*")] == ["a.jsonl.part"]


@pytest.mark.live
@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
def test_live_a_pipe_without_a_reader_holds_up_nothing(live, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    began = time.monotonic()
    assert live("jsonl:pipe", "jsonl:a.jsonl") == 1
    assert time.monotonic() - began < 6
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 51
    assert "jsonl:pipe: of 51 estimates and marks 51 unreachable" in capsys.readouterr().err


@needs_full_device
def test_a_replay(sound, tiny_bundle, tmp_path, capsys):
    to = [f"jsonl:{tmp_path / 'a.jsonl'}", "csv:/dev/full"]
    assert show(Run(sound, tiny_bundle, to=to)) == 1
    captured = capsys.readouterr()
    assert (
        captured.err.splitlines()[-1] == "enrapt: csv:/dev/full: cannot be written (No space left on device)"
    )
    assert "ticks in" in captured.out
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 1  # it ended there


@needs_limits
def test_a_replay_whose_disk_is_full(sound, tiny_bundle, tmp_path, capsys):
    with files_no_larger_than(5000):
        assert show(Run(sound, tiny_bundle, to=[f"jsonl:{tmp_path / 'a.jsonl'}"])) == 1
    assert "cannot be written (File too large)" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl.part"]


def test_a_replay_whose_file_cannot_be_completed(sound, tiny_bundle, tmp_path, capsys, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("enrapt.contracts.owned.os.fsync", full)
    assert show(Run(sound, tiny_bundle, to=[f"csv:{tmp_path / 'a.csv'}"]), stats=tmp_path / "s.json") == 1
    captured = capsys.readouterr()
    assert "a.csv: cannot be written (No space left on device)" in captured.err
    assert "s.json: cannot be written (No space left on device)" in captured.err
    assert "101 ticks in" in captured.out


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
def test_a_replay_into_a_pipe_without_a_reader(sound, tiny_bundle, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    to = [f"jsonl:{tmp_path / 'pipe'}", f"jsonl:{tmp_path / 'a.jsonl'}"]
    began = time.monotonic()
    assert show(Run(sound, tiny_bundle, to=to)) == 1
    assert time.monotonic() - began < 5
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 101
    assert "pipe: no program reads it; trying again" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes")
def test_a_replay_into_a_pipe_whose_reader_comes_late(sound, tiny_bundle, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["sh", "-c", f"sleep 0.5; cat {pipe}"], stdout=subprocess.PIPE, text=True)
    read: list[str] = []
    thread = threading.Thread(target=lambda: read.append(reader.communicate()[0]))
    thread.start()
    assert show(Run(sound, tiny_bundle, to=[f"jsonl:{pipe}"])) == 0
    thread.join(10)
    assert len(read[0].splitlines()) == 101
