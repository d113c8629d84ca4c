"""A device whose thread ends with an error: the session goes on without it, and says so."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from statistics import median

import psutil
import pytest

from enrapt.cli.show import show
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import FACE
from enrapt.realtime.run import Run
from enrapt.realtime.sources import camera as camera_module
from enrapt.realtime.sources.camera_face import CameraFace
from enrapt.realtime.sources.device import Device
from enrapt.realtime.sources.live import LiveSource
from enrapt.realtime.sources.offer import FACES
from enrapt.realtime.sources.pushed import Pushed
from enrapt.realtime.sources.source import SourceFailure
from tests.support import mjpeg
from tests.support.camera import NO_MODEL, StandIn
from tests.support.devices import camera, microphone
from tests.support.inlet import until

pytestmark = pytest.mark.live

COMMAND = """
import signal, sys
from enrapt.cli import view
from enrapt.realtime.features.face import FaceOptions
view.find_face_model_visibly = lambda *_: None
FaceOptions.open = lambda options: type("Face", (), {"close": lambda *_: None})()
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background
from enrapt.cli.main import main
sys.exit(main())
"""
LINE = "camera: stopped: ValueError: 31 is not a valid Type"


def failing(device, at):
    """Called with each estimate, it lets the device fail at that tick."""

    def fail(estimate):
        if estimate.tick == at:
            device.failure = ValueError("31 is not\n a valid Type")

    return fail


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("enrapt")]


def test_the_session_continues_without_it(tiny_bundle, tmp_path):
    devices, lines, estimates = [camera(), microphone()], [], []
    to, fail = tmp_path / "a.jsonl", failing(devices[0], 10)
    with Run(LiveSource(devices), tiny_bundle, to=[f"jsonl:{to}"], warn=lines.append) as run:
        for estimate in run:
            estimates.append(estimate)
            fail(estimate)
            if estimate.tick == 50:
                break
    assert lines == [f"{LINE}; the session continues without it"]
    assert run.source.problems == run.summary()["problems"] == [LINE]
    later = [estimate.present for estimate in estimates[25:]]
    assert later == [{"face": False, "audio": True}] * len(later)
    assert median(e.latency_ms.tick for e in estimates[25:]) < 45  # no tick waits for it
    assert len(to.read_text().splitlines()) == 51
    assert run.counts["face"].waiting == 0
    assert not threads()


def test_after_the_last_one_the_run_ends_with_its_files_finished(tiny_bundle, tmp_path, capsys):
    devices = [camera(), microphone()]
    to, stats = tmp_path / "a.jsonl", tmp_path / "stats.json"
    first, second = failing(devices[0], 5), failing(devices[1], 15)
    run = Run(LiveSource(devices), tiny_bundle, to=[f"jsonl:{to}"])
    assert show(run, stats=stats, each=lambda estimate: (first(estimate), second(estimate))) == 1
    last = "microphone: stopped: ValueError: 31 is not a valid Type; no device is left"
    lines = capsys.readouterr().err.splitlines()
    assert f"enrapt: live: {LINE}" in lines
    assert f"enrapt: live: {last}; the estimates are of what came before" in lines
    assert not [line for line in lines if "Traceback" in line]
    assert len(to.read_text().splitlines()) == json.loads(stats.read_text())["ticks"] > 15
    assert not threads()


def test_the_run_ends_with_source_failure(tiny_bundle):
    device = camera()
    device.failure = ValueError("31 is not a valid Type")
    with (
        Run(LiveSource([device]), tiny_bundle) as run,
        pytest.raises(SourceFailure, match="no device is left"),
    ):
        list(run)


@pytest.mark.parametrize("end", ["duration", signal.SIGINT, signal.SIGTERM])
def test_a_session_with_a_dead_device_ends_when_it_is_told_to(tiny_bundle, end):
    devices = [camera(), microphone()]
    began = time.monotonic()
    if end != "duration":
        threading.Timer(1, os.kill, (os.getpid(), end)).start()
    duration = 1.0 if end == "duration" else None
    assert show(Run(LiveSource(devices), tiny_bundle), duration=duration, each=failing(devices[0], 5)) == 1
    assert 0.9 < time.monotonic() - began < 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
def test_interrupted_while_a_camera_is_opened(number, status):
    with mjpeg.Server("silent") as server:
        command = ["live", "--camera", server.address, "--mic", "none", "--no-page"]
        process = subprocess.Popen([sys.executable, "-c", COMMAND, *command], stderr=subprocess.PIPE)
        with process:
            until(lambda: psutil.Process(process.pid).children(), 10)
            time.sleep(0.2)
            process.send_signal(number)
            began = time.monotonic()
            assert process.wait(10) == status
            assert time.monotonic() - began < 1
            assert process.stderr is not None
            assert process.stderr.read() == b""


class Dead(Device):
    """It fails while it is opened: in its thread, or in the caller's."""

    name, offer = "camera", FACES

    def __init__(self, thread: bool) -> None:
        super().__init__()
        self.thread, self.closed = thread, False

    def _open(self) -> None:
        error = ValueError("31 is not a valid Type")
        if not self.thread:
            raise error
        self._inlet.fail(error)

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("thread", [True, False])
def test_at_opening_it_is_one_line(tiny_bundle, thread):
    device, other = Dead(thread), microphone()
    with pytest.raises(UserError) as error:
        Run(LiveSource([other, device]), tiny_bundle).__enter__()
    assert str(error.value) == (LINE if thread else LINE.replace("stopped", "cannot be opened"))
    assert device.closed
    assert not threads()


@pytest.mark.parametrize("pictures", [0, 20])
def test_a_camera_whose_pictures_cannot_be_decoded(tiny_bundle, monkeypatch, pictures):
    """At its first picture, when it is opened, or later."""
    StandIn.install(monkeypatch)
    left, decode = [None] * pictures, camera_module.decode_jpeg

    def decoded(data):
        if not left:
            raise ValueError("31 is not a valid Type")
        left.pop()
        return decode(data)

    monkeypatch.setattr(camera_module, "decode_jpeg", decoded)
    with mjpeg.Server() as server:
        run = Run(LiveSource([CameraFace(server.address, faces=NO_MODEL)]), tiny_bundle)
        with pytest.raises(UserError, match=LINE), run:
            list(run)
    assert run.statistics.ticks > 10 if pictures else run.statistics.ticks == 0
    assert not threads()


# Offsets


@pytest.mark.parametrize("offset", [0.3, -0.1])
def test_an_offset_moves_samples_and_stalls_no_tick(tiny_bundle, offset):
    devices, estimates = [camera(every_ms=40.0), microphone()], []
    with Run(LiveSource(devices), tiny_bundle, offsets={"face": offset}) as run:
        run.source.arrivals = []
        for estimate in run:
            estimates.append(estimate)
            if estimate.tick == 50:
                break
        arrivals = [
            (sample.originating_time, at) for sample, at in run.source.arrivals if sample.modality == "face"
        ]
    assert all(abs(time - at - offset * 1e9) < 0.04e9 for time, at in arrivals)
    assert all(e.present["face"] for e in estimates[15:])
    assert median(e.latency_ms.tick for e in estimates) < 80
    if offset > 0:
        assert not any(e.present["face"] for e in estimates[:7])
        assert all(e.age_ms["face"] < 45 for e in estimates[15:])
    else:
        # A tick waits 50 ms for pictures: of those that came by then the newest is at least 50 ms before it.
        assert all(45 < e.age_ms["face"] < 200 for e in estimates[15:])
    counts = run.counts["face"]
    assert counts.captured == counts.used + counts.dropped.total() == devices[0].captured


def test_an_offset_brings_a_pushed_clock_to_ours(tiny_bundle):
    face, lines = Pushed("face", schema="face/1"), []
    with Run(LiveSource([face]), tiny_bundle, offsets={"face": 40.0}, warn=lines.append) as run:
        present = []
        for estimate in run:
            face.push([0.5] * FACE.dim, time.monotonic_ns() - 40 * 10**9)
            present.append(estimate.present["face"])
            if estimate.tick == 20:
                break
    assert not lines
    assert sum(present) > 15


def test_an_offset_beyond_a_minute_is_refused(tiny_bundle):
    run = Run(LiveSource([camera()]), tiny_bundle, offsets={"face": -3600.0})
    with pytest.raises(UserError, match="--offset face=-3600: live, at most 60 s"):
        run.__enter__()


def test_what_each_modality_is_taken_from(tiny_bundle):
    with Run(LiveSource([camera(), microphone()]), tiny_bundle) as run:
        assert run.summary()["taken"] == {"face": "simulated", "audio": "simulated"}
