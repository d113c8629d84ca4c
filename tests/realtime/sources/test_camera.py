"""A camera's delivery: OpenCV reads MJPEG over HTTP, and a stand-in extracts the face."""

import gc
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from enrapt.contracts.schemas import FACE
from enrapt.realtime.sources.camera import Picture
from enrapt.realtime.sources.camera_face import ENOUGH, FROZEN, CameraFace
from enrapt.realtime.streams.samples import SECOND
from tests.support import mjpeg
from tests.support.camera import NO_MODEL, Opened, StandIn, ages
from tests.support.inlet import FakeInlet, until

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    return StandIn.install(monkeypatch)


@pytest.fixture
def server() -> Iterator[mjpeg.Server]:
    with mjpeg.Server() as server:
        yield server


def test_the_newest_picture_becomes_a_sample(server, stand_in, capfd):
    with Opened(server.address) as (camera, inlet):
        assert not camera.lost
        time.sleep(3)
        description = camera.format
    (face,) = stand_in.made
    assert face.closed
    assert 70 <= inlet.captured <= 95
    assert np.median(ages(inlet)) < 0.02
    assert max(ages(inlet)) < 0.2
    times = np.array([sample.time for sample in inlet.samples])
    assert (np.diff(times) > 0).all()
    assert face.times == times.tolist()
    assert 4.9 * SECOND < times[0] < inlet.clock()
    image = face.image
    assert image.dtype == np.uint8
    assert image.shape == (240, 320, 3)
    assert image.flags.c_contiguous
    np.testing.assert_allclose(image[60:100].mean(axis=(0, 1)), (200, 0, 0), atol=8)  # red comes first
    size, codec = description.split(" at ")[0], description.split(", ")[1]
    assert (size, codec) == ("320×240", "MJPG")
    assert camera.size == (320, 240)
    assert 25 <= float(description.split(" at ")[1].split()[0]) <= 33
    delays = [(sample.arrived - sample.time) / 1e6 - sample.extract_ms for sample in inlet.samples]
    assert np.median(delays) < 5  # ms, from the process's capture to the sample, but for extraction
    assert tuple(capfd.readouterr()) == ("", "")


def test_pictures_that_no_tick_would_use_are_not_extracted(server):
    """At 30 pictures and 25 ticks a second every sixth is superseded before its tick."""
    with Opened(server.address) as (_, inlet):
        inlet.wait(40)
        before = inlet.captured, len(inlet.samples)
        time.sleep(2)
        captured, used = inlet.captured - before[0], len(inlet.samples) - before[1]
    assert used == pytest.approx(captured * 25 / 30, abs=4)
    assert inlet.dropped.keys() == {"superseded"}
    later = [sample.reached - sample.time for sample in inlet.samples[-20:]]
    assert all(0 < ns < SECOND // 30 for ns in later)  # no other is expected sooner


def test_a_slow_extraction_always_gets_the_newest_picture(server, stand_in):
    """Three periods long: each picture is at most one period old, and what the transfer takes."""
    stand_in.delay = 0.1
    with Opened(server.address) as (camera, inlet):
        time.sleep(3)
        assert not camera.lost
        description = camera.format
    assert 25 <= len(inlet.samples) <= 30
    assert np.median(ages(inlet)) < 1 / 30 + 0.01  # the one before it would be older
    assert np.percentile(ages(inlet), 90) < 2 / 30
    assert np.median([sample.extract_ms for sample in inlet.samples]) == pytest.approx(100, abs=10)
    assert inlet.captured == pytest.approx(90, abs=6)
    assert inlet.dropped == {"superseded": inlet.captured - len(inlet.samples)}
    assert 28 <= float(description.split(" at ")[1].split()[0]) <= 32  # the camera's, not the extraction's


def test_a_very_slow_extraction_is_not_a_lost_camera(server, stand_in):
    stand_in.delay = 1.5 * FROZEN
    with Opened(server.address) as (camera, inlet):
        inlet.wait(3)
        assert camera.restarts == 0
        assert not camera.lost
        began = time.monotonic()
    assert time.monotonic() - began < stand_in.delay + 0.5
    assert max(ages(inlet)) < 1 / 30 + 0.05


def test_frozen_while_a_picture_is_extracted_it_is_noticed_after_it(server, stand_in):
    stand_in.delay = 1.0
    with Opened(server.address) as (camera, inlet):
        inlet.wait(2)  # its rate is known then
        server.stop()
        until(lambda: camera.lost, 2 * stand_in.delay + FROZEN + 0.5)
        stand_in.delay = 0.0
        server.resume()
        until(lambda: not camera.lost, 5)


def test_every_picture_is_kept_and_the_newest_extracted(server, stand_in):
    stand_in.delay = 0.1
    kept: list[Picture] = []
    with Opened(server.address, keep=kept.append) as (_, inlet):
        time.sleep(2)
        moment = time.monotonic_ns()
    assert len(kept) == inlet.captured == pytest.approx(60, abs=9)
    times = np.array([picture.originating_time for picture in kept])
    assert times.min() > 0
    assert np.median(np.diff(times)) < 0.04 * SECOND  # none is left out
    assert {sample.time for sample in inlet.samples} <= set(times.tolist())
    assert np.median(ages(inlet)) < 1 / 30 + 0.01  # the one before it would be older
    assert np.percentile(ages(inlet), 90) < 2 / 30
    assert all(isinstance(picture.data, bytes) for picture in kept)  # as they came
    assert mjpeg.age(kept[-1].image, moment) < 0.5  # s; a queue of them would make it grow


@pytest.mark.parametrize("reason", ["before_start", "paused", "after_end"])
def test_unwanted_pictures_are_counted_and_neither_extracted_nor_kept(server, stand_in, reason):
    kept: list[Picture] = []
    with Opened(server.address, unwanted=reason, keep=kept.append) as (camera, inlet):
        assert not camera.lost
        until(lambda: inlet.captured > 10, 2)
        assert not kept
        assert inlet.dropped == {reason: inlet.captured}
        inlet.unwanted = None
        inlet.wait(2)
    assert len(kept) >= 2


def test_face_every(server):
    with Opened(server.address, face_every=3) as (_, inlet):
        inlet.wait(10)
    assert inlet.dropped["skipped"] == pytest.approx(2 * len(inlet.samples), abs=2)


def test_an_error_of_the_extraction_ends_the_device(server, stand_in, monkeypatch):
    def extract(self, picture, at):
        raise RuntimeError("network")

    monkeypatch.setattr(stand_in, "extract", extract)
    camera, inlet = CameraFace(server.address, faces=NO_MODEL), FakeInlet(FACE.dim)
    camera.open(inlet)
    until(lambda: inlet.errors and camera.lost, 2)
    time.sleep(0.2)
    assert not [c for c in psutil.Process().children() if "camera_process" in " ".join(c.cmdline())]
    camera.close()
    (error,) = inlet.errors
    assert str(error) == "network"
    assert inlet.dropped["failed"] == 1


def test_an_error_of_the_watching_thread_ends_the_device(server, monkeypatch):
    camera, inlet = CameraFace(server.address, faces=NO_MODEL), FakeInlet(FACE.dim)

    def watch():
        raise OSError("no more")

    monkeypatch.setattr(camera, "_watch", watch)
    camera.open(inlet)  # it does not hang
    until(lambda: inlet.errors and camera.lost, 2)
    camera.close()
    assert str(inlet.errors[0]) == "no more"


def unplug(camera: CameraFace, inlet: FakeInlet, server: mjpeg.Server, kill: bool) -> tuple[float, float]:
    """How long it took to notice it, and to come back after its return, s."""
    (server.kill if kill else server.stop)()
    noticed = until(lambda: camera.lost, 2)
    samples = len(inlet.samples)
    time.sleep(0.3)
    assert len(inlet.samples) == samples
    (server.start if kill else server.resume)()
    returned = inlet.clock()
    back = until(lambda: not camera.lost, 5)
    until(lambda: len(inlet.samples) > samples, 0.5)
    assert inlet.samples[samples].time >= returned - SECOND // 10
    assert inlet.samples[samples].values[0] < 0.5  # not a picture from before
    return noticed, back


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.long)])
def test_unplugged_and_back(server, times, capfd):
    me = psutil.Process()

    def resources() -> tuple[int, int, int]:
        time.sleep(0.2)
        gc.collect()  # decoders are in cycles
        return me.num_threads(), me.num_fds(), len(me.children(recursive=True))

    nothing = resources()
    with Opened(server.address) as (camera, inlet):
        before, memory = resources(), me.memory_info().rss
        for k in range(times):
            noticed, back = unplug(camera, inlet, server, kill=k % 2 == 0)
            assert noticed < 1
            assert back < 3
            assert resources() == before
        assert me.memory_info().rss - memory < 8 << 20
        began = time.monotonic()
    assert time.monotonic() - began < 1
    assert resources() == nothing
    assert camera.restarts >= times
    assert tuple(capfd.readouterr()) == ("", "")


def test_one_thread_delivers_and_another_watches(server):
    before = {*threading.enumerate()}
    with Opened(server.address):
        names = {thread.name for thread in {*threading.enumerate()} - before}
    assert names == {"enrapt camera", "enrapt camera watch"}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_was_killed_or_hangs_is_replaced(server, number):
    with Opened(server.address) as (camera, inlet):
        inlet.wait(2 * ENOUGH)
        (child,) = (c for c in psutil.Process().children() if "camera_process" in " ".join(c.cmdline()))
        child.send_signal(number)
        assert until(lambda: camera.lost, 2) < FROZEN + 0.3
        until(lambda: not camera.lost, 3)
        inlet.wait(3)
        assert camera.restarts == 1
        assert not child.is_running()


def test_closed_while_the_camera_is_away(server):
    with Opened(server.address) as (camera, inlet):
        inlet.wait(2 * ENOUGH)
        server.stop()
        until(lambda: camera.lost, 1)
        time.sleep(0.5)  # it waits for an answer now
        began = time.monotonic()
    assert time.monotonic() - began < 1


def test_a_picture_that_stays_is_noticed():
    with mjpeg.Server("freezing") as server, Opened(server.address) as (camera, inlet):
        time.sleep(0.6)
        assert not camera.lost
        until(lambda: inlet.dropped["repeated"] > 0, 2)
        assert until(lambda: camera.lost, 1) > FROZEN - 0.3
        until(lambda: not camera.lost, 3)  # opened again, it moves


PARENT = """
import sys, time
from enrapt.realtime.sources.camera_face import CameraFace
from enrapt.realtime.streams.samples import View
from tests.support.faces import FacesFrom
from tests.support.inlet import FakeInlet

class Nothing:
    landmarks = None
    def extract(self, picture, at): return None, View(0)

camera = CameraFace(sys.argv[1], faces=FacesFrom(extractor=Nothing()))
if sys.argv[2] == "all":
    camera.keep = id
camera.open(FakeInlet(57))
print("open", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("policy", ["latest", "all"])
def test_the_process_ends_with_its_parent(server, policy):
    command = [sys.executable, "-c", PARENT, server.address, policy]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"open\n"
        (child,) = psutil.Process(parent.pid).children()
        server.stop()  # it waits for a picture, and writes nothing that could fail
        parent.send_signal(signal.SIGKILL)
        until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 1)


def test_a_broken_jpeg_writes_nothing_on_the_terminal(capfd):
    with mjpeg.Server("damaged") as server, Opened(server.address) as (_, inlet):
        until(lambda: inlet.captured > 10, 2)
    assert tuple(capfd.readouterr()) == ("", "")
