"""The camera with FFmpeg's and OpenCV's real reading of MJPEG over HTTP; its face is extracted by a
stand-in."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import FACE
from enrapt.realtime.sources import camera_face
from enrapt.realtime.sources.camera import Camera, Picture, Received
from enrapt.realtime.sources.camera_diagnosis import camera_of, diagnose_camera
from enrapt.realtime.sources.camera_face import FROZEN, CameraFace
from enrapt.realtime.sources.camera_process import (
    HEADER,
    Captured,
    capture,
    mailbox,
    originating,
    send_pictures,
)
from enrapt.realtime.streams.samples import SECOND, Frame
from tests.support import mjpeg
from tests.support.inlet import FakeInlet, until

MODEL = Path("no such model")


class StandIn:
    """Extracts the age of the picture, s, and its originating time, in as much time as it is given.

    Attributes:
        delay: s.
        frames: what was extracted.
    """

    made: list["StandIn"]
    delay = 0.0

    def __init__(self, model: Path, landmarks: bool) -> None:
        self.landmarks, self.frames, self.closed = None, [], False
        StandIn.made.append(self)

    def extract(self, frame: Frame) -> np.ndarray:
        assert not self.closed
        values = np.zeros(FACE.dim, np.float32)
        values[0] = mjpeg.age(frame.image, time.monotonic_ns())
        self.frames.append(frame)
        time.sleep(self.delay)
        assert not self.closed
        return values

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    monkeypatch.setattr(StandIn, "made", [], raising=False)
    monkeypatch.setattr(StandIn, "delay", 0.0)
    monkeypatch.setattr(camera_face, "FaceFeatures", StandIn)
    return StandIn


@pytest.fixture
def server() -> Iterator[mjpeg.Server]:
    with mjpeg.Server() as server:
        yield server


class Opened:
    """A context manager: a camera and its inlet."""

    def __init__(self, source: str | int, unwanted: str | None = None, **options) -> None:
        keep = options.pop("keep", None)
        self.camera = CameraFace(source, model=MODEL, **options)
        self.camera.keep = keep
        self.inlet = FakeInlet(FACE.dim, FACE.name, unwanted=unwanted)

    def __enter__(self) -> tuple[CameraFace, FakeInlet]:
        self.camera.open(self.inlet)
        return self.camera, self.inlet

    def __exit__(self, *_: object) -> None:
        self.camera.close()
        captured = self.inlet.captured
        time.sleep(0.05)
        assert self.inlet.captured == captured  # nothing is delivered after it
        assert not self.inlet.errors


def ages(inlet: FakeInlet) -> np.ndarray:
    """s; how old pictures were when their extraction began."""
    return np.array([sample.values[0] for sample in inlet.samples])


def test_the_newest_picture_becomes_a_sample(server, stand_in, capfd):
    with Opened(server.address) as (camera, inlet):
        assert camera.state.name == "open"
        time.sleep(3)
        description = camera.format
    (face,) = stand_in.made
    assert face.closed
    assert 70 <= inlet.captured <= 95
    assert np.median(ages(inlet)) < 0.02
    assert max(ages(inlet)) < 0.2
    times = np.array([sample.time for sample in inlet.samples])
    assert (np.diff(times) > 0).all()
    assert [frame.originating_time for frame in face.frames] == times.tolist()
    assert 4.9 * SECOND < times[0] < inlet.clock()
    image = face.frames[-1].image
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
    """Ten times too slow: the age of each is at most one period and what the transfer takes."""
    stand_in.delay = 0.1
    with Opened(server.address) as (camera, inlet):
        time.sleep(3)
        assert camera.state.name == "open"
        description = camera.format
    assert 25 <= len(inlet.samples) <= 30
    assert np.percentile(ages(inlet), 90) < 1 / 30 + 0.01
    assert np.median([sample.extract_ms for sample in inlet.samples]) == pytest.approx(100, abs=10)
    assert inlet.captured == pytest.approx(90, abs=6)
    assert inlet.dropped == {"superseded": inlet.captured - len(inlet.samples)}
    assert 28 <= float(description.split(" at ")[1].split()[0]) <= 32  # the camera's, not the extraction's


def test_a_very_slow_extraction_is_not_a_lost_camera(server, stand_in):
    stand_in.delay = 1.5 * FROZEN
    with Opened(server.address) as (camera, inlet):
        inlet.wait(3)
        assert camera.restarts == 0
        assert camera.state.name == "open"
        began = time.monotonic()
    assert time.monotonic() - began < stand_in.delay + 0.5
    assert max(ages(inlet)) < 1 / 30 + 0.05


def test_frozen_while_a_picture_is_extracted_it_is_noticed_after_it(server, stand_in):
    stand_in.delay = 1.0
    with Opened(server.address) as (camera, inlet):
        inlet.wait(1)
        server.stop()
        until(lambda: camera.state.name == "lost", 2 * stand_in.delay + FROZEN + 0.5)
        stand_in.delay = 0.0
        server.carry_on()
        until(lambda: camera.state.name == "open", 5)


def test_every_picture_is_kept_and_the_newest_extracted(server, stand_in):
    stand_in.delay = 0.1
    kept: list[Picture] = []
    with Opened(server.address, keep=kept.append) as (_, inlet):
        time.sleep(2)
        moment = time.monotonic_ns()
    assert len(kept) == inlet.captured == pytest.approx(60, abs=6)
    times = np.array([picture.originating_time for picture in kept])
    assert times.min() > 0
    assert np.diff(times).max() < 0.08 * SECOND  # none is left out
    assert {sample.time for sample in inlet.samples} <= set(times.tolist())
    assert np.percentile(ages(inlet), 90) < 1 / 30 + 0.01
    assert all(isinstance(picture.data, bytes) for picture in kept)  # as they came
    assert mjpeg.age(kept[-1].image, moment) < 0.2


@pytest.mark.parametrize("reason", ["before_start", "paused", "after_end"])
def test_unwanted_pictures_are_counted_and_neither_extracted_nor_kept(server, stand_in, reason):
    kept: list[Picture] = []
    with Opened(server.address, unwanted=reason, keep=kept.append) as (camera, inlet):
        assert camera.state.name == "open"
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


def test_an_error_of_the_extraction_ends_the_run(server, stand_in, monkeypatch):
    def extract(self, frame):
        raise RuntimeError("network")

    monkeypatch.setattr(stand_in, "extract", extract)
    camera, inlet = CameraFace(server.address, model=MODEL), FakeInlet(FACE.dim)
    camera.open(inlet)
    until(lambda: inlet.errors, 2)
    camera.close()
    (error,) = inlet.errors
    assert str(error) == "network"


def unplug(camera: CameraFace, inlet: FakeInlet, server: mjpeg.Server, kill: bool) -> tuple[float, float]:
    """How long it took to notice it, and to come back after its return, s."""
    (server.kill if kill else server.stop)()
    noticed = until(lambda: camera.state.name == "lost", 2)
    assert camera.state.since <= inlet.clock() - noticed * SECOND + SECOND // 10
    samples = len(inlet.samples)
    time.sleep(0.3)
    assert len(inlet.samples) == samples
    (server.start if kill else server.carry_on)()
    returned = inlet.clock()
    back = until(lambda: camera.state.name == "open", 5)
    until(lambda: len(inlet.samples) > samples, 0.5)
    assert inlet.samples[samples].time >= returned - SECOND // 10
    assert inlet.samples[samples].values[0] < 0.5  # not a picture from before
    return noticed, back


@pytest.mark.parametrize("times", [5, pytest.param(20, marks=pytest.mark.long)])
def test_unplugged_and_back(server, times, capfd):
    me = psutil.Process()

    def resources() -> tuple[int, int, int]:
        time.sleep(0.2)
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
        (child,) = psutil.Process().children()[1:]
        child.send_signal(number)
        assert until(lambda: camera.state.name == "lost", 2) < FROZEN + 0.3
        until(lambda: camera.state.name == "open", 3)
        inlet.wait(3)
        assert camera.restarts == 1
        assert not child.is_running()


def test_closed_while_the_camera_is_away(server):
    with Opened(server.address) as (camera, _):
        server.stop()
        until(lambda: camera.state.name == "lost", 1)
        time.sleep(0.5)  # it waits for an answer now
        began = time.monotonic()
    assert time.monotonic() - began < 1


def test_a_picture_that_stays_is_noticed():
    with mjpeg.Server("freezing") as server, Opened(server.address) as (camera, inlet):
        time.sleep(0.6)
        assert camera.state.name == "open"
        until(lambda: inlet.dropped["repeated"] > 0, 2)
        assert until(lambda: camera.state.name == "lost", 1) > FROZEN - 0.3
        assert inlet.clock() - camera.state.since < SECOND
        until(lambda: camera.state.name == "open", 3)  # opened again, it moves


PARENT = """
import sys, time
from pathlib import Path
from enrapt.realtime.sources import camera_face
from tests.support.inlet import FakeInlet

class Nothing:
    landmarks = None
    def __init__(self, *_): pass
    def extract(self, frame): return None

camera_face.FaceFeatures = Nothing
camera = camera_face.CameraFace(sys.argv[1], model=Path("none"))
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


# Mistakes of users


def refusal(source: int | str) -> str:
    began = time.monotonic()
    with pytest.raises(UserError) as refused, Opened(source):
        pass
    assert time.monotonic() - began < 10
    text = str(refused.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("source", [99, "99", "/dev/video99"])
def test_no_such_camera(source, capfd):
    threads = threading.enumerate()
    assert refusal(source).startswith("camera /dev/video99: no such camera; there ")
    assert threading.enumerate() == threads
    assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("html", "answers with text/html, not with pictures; give the address of the MJPEG stream itself"),
        ("missing", "answers “404 Not Found”; check the path"),
        ("locked", "answers “401 Unauthorized”; check user and password (http://user:password@…)"),
        ("silent", "does not answer; is the camera switched on and in this network?"),
    ],
)
def test_address_that_answers_otherwise(kind, said, capfd):
    with mjpeg.Server(kind) as server:
        assert refusal(server.address) == f"camera {server.address}: {said}"
    assert tuple(capfd.readouterr()) == ("", "")


def test_nobody_listens_and_passwords_are_not_shown():
    port = mjpeg.free_port()
    for scheme in ("http", "rtsp"):
        place = f"127.0.0.1:{port}/video"
        said = "connection refused; is the camera's server running, and is this its port?"
        assert refusal(f"{scheme}://me:secret@{place}") == f"camera {scheme}://{place}: {said}"


def test_password_reaches_the_camera_and_no_list_of_processes():
    with mjpeg.Server("locked") as server:
        address = server.address.replace("http://", "http://me:secret@")
        with Opened(address) as (camera, inlet):
            inlet.wait(1)
            assert "secret" not in camera.source
            for child in psutil.Process().children():
                assert "secret" not in " ".join(child.cmdline())


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://nosuch.invalid/", "nosuch.invalid/: unknown host; check the address and the network"),
        ("http://127.0.0.1:99999/", "the port is not a number from 0 to 65535"),
        ("http:///video", "the address has no host"),
    ],
)
def test_impossible_addresses(address, said):
    assert said in diagnose_camera(address, "closed")


def test_recordings_are_not_cameras(tmp_path):
    recording = tmp_path / "talk.mp4"
    recording.touch()
    with pytest.raises(UserError, match=f"{recording}: a recording, .* enrapt replay {recording}"):
        CameraFace(str(recording), model=MODEL)
    with pytest.raises(UserError, match="camera garden: give an index"):
        CameraFace("garden", model=MODEL)
    with pytest.raises(UserError, match="give an index"):
        CameraFace(-1, model=MODEL)


@pytest.mark.skipif(sys.platform != "linux", reason="devices are files")
def test_index_in_digits_is_a_device():
    assert camera_of(2) == camera_of("2") == camera_of("02") == "/dev/video2"


# A terminal stands for a device: it has an owner, and can be open elsewhere.


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_busy():
    there, device = pty.openpty()
    path = os.ttyname(device)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=device) as other:
        try:
            until(lambda: "python" in psutil.Process(other.pid).name(), 2)
            text = refusal(path)
        finally:
            os.close(device)
            os.close(there)
            other.kill()
    assert text.startswith(f"camera {path}: busy; close ")
    assert f"(process {other.pid})" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_permission_denied():
    there, device = pty.openpty()
    path = os.ttyname(device)
    os.chmod(path, 0o600)  # noqa: PTH101  (a device)
    asking = os.fork()
    if asking == 0:
        os.seteuid(0)
        os.setuid(65534)
        said = diagnose_camera(path, "closed")
        os._exit(said != f"camera {path}: permission denied; sudo usermod -aG video $USER, and log in again")
    _, status = os.waitpid(asking, 0)
    os.close(device)
    os.close(there)
    assert os.waitstatus_to_exitcode(status) == 0


# What the process sends


def message(moment: int, stamp: int, gray: int, superseded: int = 0, waiting: int = 0) -> bytes:
    """A picture of one gray; −1 is a broken one."""
    size = (0, 0) if gray < 0 else (4, 2)
    pixels = bytes([max(gray, 0)]) * (3 * size[0] * size[1])
    return HEADER.pack(moment, stamp, *size, len(pixels), superseded, waiting) + pixels


def read(camera: Camera, data: bytes) -> list[Received]:
    """All that one process sends, on the pipe of which is `data`."""
    pipe = io.BytesIO(data)
    camera.restart({"codec": "MJPG", "rate": 30.0})
    received = []
    while (one := camera.read(pipe)) is not None:
        received.append(one)
    return received


def problems(*processes: list[tuple[int, int, int]]) -> list[str | None]:
    camera = Camera()
    data = [b"".join(message(*picture) for picture in pictures) for pictures in processes]
    return [received.problem for each in data for received in read(camera, each)]


def test_stale_buffer_and_closed_shutter_differ_by_the_stamp():
    assert problems([(1, 10, 0), (2, 20, 0), (3, 30, 0)]) == [None] * 3  # black, and the stamp advances
    assert problems([(1, 10, 0), (2, 10, 0), (3, 10, 0)]) == [None, "repeated", "repeated"]
    assert problems([(1, -1, 7), (2, -1, 7), (3, -1, 8)]) == [None, "repeated", None]


def test_the_same_picture_after_a_restart_is_still_the_same_without_a_stamp():
    assert problems([(1, -1, 7)], [(2, -1, 7)]) == [None, "repeated"]
    assert problems([(1, 900, 7)], [(2, 5, 7)]) == [None, None]


def test_a_picture_cut_by_the_end_of_the_process_was_never_captured():
    whole = message(1, -1, 7) + message(2, -1, 8)
    for cut in range(1, len(message(2, -1, 8)) + 1):
        assert len(read(Camera(), whole[:-cut])) == 1


def test_format_by_the_driver_before_there_is_anything_to_measure():
    camera = Camera()
    read(camera, message(1, 10, 0))
    assert camera.format == "4×2 at 30 frames/s, MJPG"
    every_third = [message(k * SECOND // 10, k, 0, superseded=2) for k in range(60)]
    read(camera, b"".join(every_third))
    assert camera.format == "4×2 at 30 frames/s, MJPG"
    read(camera, b"".join(message(k * SECOND // 12, k, 0) for k in range(60)))
    assert camera.format == "4×2 at 12 frames/s, MJPG"


PICTURES = st.tuples(
    st.integers(0, 50),
    st.sampled_from([-1, 1, 2, 3]),
    st.integers(-1, 2),
    st.integers(0, 3),
    st.integers(0, 1),
)


@settings(max_examples=50)
@given(st.lists(st.tuples(PICTURES, st.sampled_from([None, "paused"])), max_size=30))
def test_conservation(pictures):
    camera, inlet = CameraFace(0, model=MODEL), FakeInlet(FACE.dim)
    camera._inlet, camera._face = inlet, StandIn(MODEL, False)
    camera._face.extract = lambda frame: None
    for picture, inlet.unwanted in pictures:
        camera._read({"codec": "MJPG", "rate": 30.0}, io.BytesIO(message(*picture)))
    assert inlet.captured == sum(1 + superseded for (_, _, _, superseded, _), _ in pictures)
    assert inlet.dropped["broken"] == sum(gray < 0 for (_, _, gray, _, _), _ in pictures)
    times = [sample.time for sample in inlet.samples]
    assert times == sorted(set(times))


# The process itself


def captured(gray: int) -> Captured:
    return Captured(gray, -1, (4, 2), bytes([gray]) * 24)


def received_from(pipe: int, camera: Camera) -> Received:
    with os.fdopen(os.dup(pipe), "rb", buffering=0) as file:
        received = camera.read(file)
    assert received is not None
    return received


@pytest.mark.parametrize("keep_all", [False, True])
def test_one_picture_for_each_credit(keep_all):
    pictures, credit, camera = mailbox(keep_all), threading.Semaphore(0), Camera()
    pipe, out = os.pipe()
    sender = threading.Thread(target=send_pictures, args=(pictures, credit, out))
    sender.start()
    for gray in range(3):
        pictures.put(captured(gray))
    credit.release()
    first = received_from(pipe, camera)
    assert (first.superseded, first.waiting) == ((0, 2) if keep_all else (2, 0))
    assert first.picture is not None
    assert first.picture.originating_time == (0 if keep_all else 2)
    os.set_blocking(pipe, False)
    time.sleep(0.05)
    with pytest.raises(BlockingIOError):
        os.read(pipe, 1)  # nothing without credit
    os.set_blocking(pipe, True)
    pictures.close()
    for waiting in (1, 0) if keep_all else ():
        credit.release()
        assert received_from(pipe, camera).waiting == waiting
    credit.release()
    sender.join(1)
    assert not sender.is_alive()
    os.close(out)
    os.close(pipe)


def test_pictures_beyond_the_room_are_dropped_and_counted(monkeypatch):
    monkeypatch.setattr("enrapt.realtime.sources.camera_process.ROOM", 5 * 24)
    pictures, camera = mailbox(keep_all=True), Camera()
    for gray in range(12):
        pictures.put(captured(gray))
    pictures.close()
    credit = threading.Semaphore(100)
    pipe, out = os.pipe()
    send_pictures(pictures, credit, out)
    os.close(out)
    with os.fdopen(pipe, "rb") as file:
        received = read(camera, file.read())
    assert [one.picture.originating_time for one in received if one.picture] == [7, 8, 9, 10, 11]
    assert [one.superseded for one in received] == [7, 0, 0, 0, 0]


def test_a_device_that_is_a_file(tmp_path, monkeypatch):
    """A recording has stamps, a codec and a rate, as V4L2 has; only its size cannot be asked for."""
    black = tmp_path / "black.avi"
    writer = cv2.VideoWriter(str(black), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for _ in range(10):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    monkeypatch.setattr(sys, "platform", "any")  # where OpenCV chooses who reads
    output = tmp_path / "output"
    pictures = mailbox(keep_all=True)
    with output.open("wb") as out:
        capture(str(black), (640, 480), 30, pictures, out.fileno())
        pictures.close()
        send_pictures(pictures, threading.Semaphore(100), out.fileno())
    began = time.monotonic_ns()
    camera = Camera()
    with output.open("rb") as pipe:
        camera.restart(json.loads(pipe.readline()))
        received = [camera.read(pipe) for _ in range(10)]
        assert camera.read(pipe) is None
    assert camera.format == "64×48 at 25 frames/s, MJPG"
    assert [one.problem for one in received if one] == [None] * 10
    assert received[-1] is not None
    assert received[-1].picture is not None
    moment = received[-1].picture.originating_time
    assert began - SECOND < moment < began  # 0.4 s, its stamp, is of no clock


def test_drivers_stamp_where_it_is_of_the_monotonic_clock():
    assert originating(95 * SECOND, 95 * SECOND + 33_000_000) == 95 * SECOND
    assert originating(0, 95 * SECOND) == 95 * SECOND  # none
    assert originating(1_700_000_000 * SECOND, 95 * SECOND) == 95 * SECOND  # the wall clock
    assert originating(90 * SECOND, 95 * SECOND) == 95 * SECOND
