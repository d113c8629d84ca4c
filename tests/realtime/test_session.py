"""`LiveSession` with a camera on the loopback, and the example of docs/live.md."""

import re
import threading
import time
from pathlib import Path

import psutil
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime import LiveSession
from enrapt.realtime.controls import RESET
from enrapt.realtime.features.face import FaceOptions
from enrapt.realtime.run import Run
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.store.reader import SessionReader
from tests.support.mjpeg import Server

pytestmark = pytest.mark.live

PAGE = Path(__file__).parents[2] / "docs" / "live.md"


@pytest.fixture(scope="module")
def server():
    with Server() as server:
        yield server


def test_a_recorded_session_replays_with_the_same_estimates_and_has_its_marks(server, face_model, tmp_path):
    folder = tmp_path / "session"
    session = LiveSession(server.address, None, faces=FaceOptions(face_model), record=folder)
    estimates = []
    with session:
        for estimate in session:
            estimates.append(estimate)
            if estimate.tick == 10:
                session.mark("smiles")
            if estimate.tick == 20:
                session.reset()
            if estimate.tick == 30:
                break
    reader = SessionReader(folder)
    assert list(reader.estimates()) == estimates
    assert reader.summary == session.summary()
    (time, label), reset = reader.marks()
    assert label == "smiles"
    assert estimates[9].t * 1e9 < time < estimates[12].t * 1e9
    assert reset == (round(estimates[21].t * 1e9), RESET)
    face = session.counts["face"]
    assert face.used <= len(list(reader.samples("face"))) <= face.used + face.dropped["superseded"]
    assert face.captured == face.used + face.dropped.total()
    assert not reader.lost
    with Run(folder) as replay:
        assert [e.without_timing() for e in replay] == [e.without_timing() for e in estimates]


def test_pictures_are_kept_only_if_asked_for_and_are_a_recording_with_the_same_times(
    server, face_model, tmp_path
):
    with pytest.raises(UserError, match="give one"):
        LiveSession(server.address, None, keep_media=True)
    folder = tmp_path / "session"
    session = LiveSession(server.address, None, faces=FaceOptions(face_model), record=folder, keep_media=True)
    with session:
        for estimate in session:
            if estimate.tick == 30:
                break
    reader = SessionReader(folder)
    kept = session.summary()["media"]["pictures"]
    assert kept["captured"] == kept["used"] + sum(kept["dropped"].values()) > 25
    recording = Recording(folder / "media.mkv")
    frames = list(recording)
    assert len(frames) == kept["used"]
    moments = {round(sample.originating_time / 1e6) for sample, _ in reader.samples("face")}
    shown = {round((frame.originating_time - frames[0].originating_time) / 1e6) for frame in frames}
    first = min(moment for moment in moments if moment >= 0)
    assert {moment - first for moment in moments if moment > first} <= shown
    # When the first picture was, to the millisecond: time 0 of the file as a recording.
    assert abs((recording.created - reader.began).total_seconds() * 1000 - first) <= 1


def test_paused_no_picture_is_kept_and_no_password_ever(server, face_model, tmp_path):
    folder = tmp_path / "session"
    address = server.address.replace("http://", "http://anna:secret@")
    session = LiveSession(address, None, faces=FaceOptions(face_model), record=folder, keep_media=True)
    with session:
        for estimate in session:
            if estimate.tick == 25:
                session.pause()
            if estimate.tick == 60:
                session.resume()
            if estimate.tick == 90:
                break
    labels = {label: time for time, label in SessionReader(folder).marks()}
    frames = [frame.originating_time for frame in Recording(folder / "media.mkv")]
    zero = frames[0] - min(
        s.originating_time for s, _ in SessionReader(folder).samples("face") if s.originating_time >= 0
    )
    between = [t for t in frames if labels["paused"] + 10**8 < t - zero < labels["resumed"] - 10**8]
    assert not between
    assert len(frames) > 40
    for file in folder.iterdir():
        assert b"secret" not in file.read_bytes()


def test_leaving_ends_everything_also_by_an_error(server, face_model):
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}, threading.active_count()

    def fail():
        with LiveSession(server.address, None, faces=FaceOptions(face_model)) as session:
            for _ in session:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with pytest.raises(UserError, match="no such camera"):
        LiveSession("/dev/video77", None, faces=FaceOptions(face_model)).__enter__()
    assert ({child.pid for child in me.children(recursive=True)}, threading.active_count()) == before


def test_a_session_that_was_not_entered_raises():
    with pytest.raises(RuntimeError, match="enter the run first"):
        next(iter(LiveSession()))
    with pytest.raises(UserError, match="at least 1"):
        LiveSession(face_every=0)


def test_what_goes_wrong_in_a_callback_is_raised_at_the_end(server, face_model):
    called = []

    def fail(estimate):
        called.append(estimate.tick)
        if len(called) == 3:
            raise ZeroDivisionError

    def run():
        with LiveSession(server.address, None, faces=FaceOptions(face_model)) as session:
            session.start(fail)
            time.sleep(0.6)

    with pytest.raises(ZeroDivisionError):
        run()
    assert called == [0, 1, 2]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("enrapt")]


@pytest.mark.parametrize("example", [0, 1])
def test_the_pages_examples_run(server, face_model, monkeypatch, capsys, example):
    program = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[example]
    assert 'camera=0, mic="default"' in program
    monkeypatch.setenv("ENRAPT_FACE_MODEL", str(face_model))
    there = f'camera="{server.address}", mic=None'
    shorter = program.replace("> 10", "> 2").replace("sleep(10)", "sleep(2)")
    exec(shorter.replace('camera=0, mic="default"', there), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) > 10
    assert re.fullmatch(r"0\.00 0\.\d\d", printed[0])
