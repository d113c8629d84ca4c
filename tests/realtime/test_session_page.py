"""Commands of the page take effect in the run, and the page gets its status."""

import json

import psutil
import pytest
from websockets.sync.client import connect

from enrapt.realtime import LiveSession
from enrapt.realtime.controls import RESET
from enrapt.realtime.features.face import FaceOptions
from enrapt.realtime.sources.camera_face import CameraFace
from enrapt.realtime.sources.live import LiveSource
from enrapt.realtime.store.reader import SessionReader
from tests.support.mjpeg import Server

pytestmark = pytest.mark.live


@pytest.fixture
def server():
    with Server() as server:
        yield server


def test_commands_of_the_page_take_effect_and_are_recorded(server, face_model, tmp_path):
    folder = tmp_path / "session"
    session = LiveSession(server.address, None, faces=FaceOptions(face_model), record=folder, to=["ui:0"])
    asked = {10: "mark", 20: "pause", 45: "resume", 55: "reset"}
    paused = []
    with session:
        assert session.page is not None
        with connect(session.page.address.replace("http", "ws") + "page") as page:
            for estimate in session:
                paused.append(session.paused)
                if what := asked.get(estimate.tick):
                    page.send(json.dumps({"do": what, "label": "smiles" if what == "mark" else ""}))
                if estimate.tick == 80:
                    break
            received = []
            while not received or received[-1].get("tick") != 80:
                received.append(json.loads(page.recv(timeout=2)))
    hello = received[0]
    assert hello["type"] == "hello"
    assert (hello["kind"], hello["sources"], hello["recording"]) == ("live", ["face"], str(folder))
    assert (hello["can"][-1], hello["people"]) == ("follow", 1)
    assert "no human" in hello["bundle"]["not_for"]
    statuses = [message for message in received if message["type"] == "status"]
    assert {message["paused"] for message in statuses} == {False, True}
    assert statuses[-1]["devices"][0]["name"] == "camera"
    assert statuses[-1]["latency_ms"]["step"]["p50"] > 0
    assert not paused[19]
    assert all(paused[25:44])
    assert not paused[52]
    marks = list(SessionReader(folder).marks())
    assert [label for _, label in marks] == ["smiles", "paused", "resumed", RESET]
    assert [message["label"] for message in received if message["type"] == "mark"] == [
        "smiles",
        "paused",
        "resumed",
        RESET,
    ]
    assert session.counts["face"].dropped["paused"] > 10


def test_ticks_go_on_whatever_becomes_of_the_page(server, face_model):
    lines, ticks = [], []
    session = LiveSession(server.address, None, faces=FaceOptions(face_model), to=["ui:0"], warn=lines.append)
    with session:
        for estimate in session:
            ticks.append(estimate.tick)
            if estimate.tick == 20:
                _process(session).suspend()
            elif estimate.tick == 60:
                _process(session).kill()
            elif estimate.tick == 100:
                last = _process(session)
                last.suspend()
            elif estimate.tick == 120:
                break
    assert not last.is_running()
    assert ticks == list(range(121))
    assert lines == ["the page has ended: signal 9; it is started again"]
    counts = session.outputs.counts["ui:0"]
    assert counts.captured == counts.used + counts.dropped.total() == 121


def _process(session):
    return psutil.Process(session.page._process.pid)


@pytest.mark.parametrize(("backend", "can"), [("litert", True), ("mediapipe", False)])
def test_a_person_can_be_chosen_where_the_source_chooses(backend, can):
    camera = CameraFace(0, faces=FaceOptions(backend=backend))
    source = LiveSource([camera])
    assert not source.chooses  # it is not open
    source._running = {"face": camera}
    assert source.chooses == can
