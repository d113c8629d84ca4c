import io
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import IO

import cv2
import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrapt.contracts.errors import UserError
from enrapt.realtime.sources.camera import FROZEN, Camera
from enrapt.realtime.sources.camera_diagnosis import camera_of, why_not
from enrapt.realtime.sources.camera_process import HEADER, _capture, originating
from enrapt.realtime.streams.samples import SECOND
from tests.support import mjpeg

SHIFT = time.monotonic_ns() - 5 * SECOND  # a session that began 5 s ago


def clock() -> int:
    return time.monotonic_ns() - SHIFT


def until(condition: Callable[[], bool], limit: float) -> float:
    """How long it took, s."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < limit
        time.sleep(0.005)
    return time.monotonic() - began


@pytest.fixture
def server() -> Iterator[mjpeg.Server]:
    with mjpeg.Server() as server:
        yield server


def test_pictures_come_at_the_rate_and_new(server, capfd):
    with Camera(server.address, clock) as camera:
        assert camera.state.name == "open"
        frames, ages = [], []
        end = time.monotonic() + 3
        while time.monotonic() < end:
            frame = camera.take(1)
            assert frame is not None
            frames.append(frame)
            ages.append(mjpeg.age(frame.image, frame.originating_time + SHIFT))
        told = camera.given
    assert 70 <= len(frames) <= 95
    assert np.median(ages) < 0.02
    assert max(ages) < 0.2
    times = np.array([frame.originating_time for frame in frames])
    assert (np.diff(times) > 0).all()
    assert 4.9 * SECOND < times[0] < clock()
    image = frames[-1].image
    assert image.dtype == np.uint8
    assert image.shape == (240, 320, 3)
    assert image.flags.c_contiguous
    np.testing.assert_allclose(image[60:100].mean(axis=(0, 1)), (200, 0, 0), atol=8)  # red comes first
    size, codec = told.split(" at ")[0], told.split(", ")[1]
    assert (size, codec) == ("320×240", "MJPG")
    assert 25 <= float(told.split(" at ")[1].split()[0]) <= 33
    assert camera.counts.waiting == 0
    assert camera.counts.used == len(frames)
    assert camera.take(0) is None
    assert tuple(capfd.readouterr()) == ("", "")


def test_newest_wins_when_the_taker_is_slow(server):
    with Camera(server.address, clock) as camera:
        ages = []
        for _ in range(6):
            time.sleep(0.2)
            frame = camera.take(1)
            assert frame is not None
            ages.append(mjpeg.age(frame.image, time.monotonic_ns()))
        time.sleep(0.1)
    assert max(ages) < 0.15
    counts = camera.counts
    assert counts.used == 6
    assert counts.dropped["superseded"] >= 20
    assert counts.dropped.keys() <= {"superseded", "after_end"}
    assert counts.captured == 6 + counts.dropped.total()


def test_take_gives_up_in_time(server):
    with Camera(server.address, clock) as camera:
        server.stop()
        until(lambda: camera.take(0.1) is None, 1)
        began = time.monotonic()
        assert camera.take(0.2) is None
        assert 0.19 < time.monotonic() - began < 0.5


def unplug(camera: Camera, server: mjpeg.Server, kill: bool) -> tuple[float, float]:
    """When it was noticed, and when a picture came after its return, s; with every promise kept."""
    (server.kill if kill else server.stop)()
    noticed = until(lambda: camera.state.name == "lost", 2)
    assert camera.state.since <= clock() - noticed * SECOND + SECOND // 10
    while camera.take(0):
        pass
    time.sleep(0.3)
    (server.start if kill else server.carry_on)()
    returned = clock()
    back = until(lambda: camera.state.name == "open", 5)
    frame = camera.take(0.5)
    assert frame is not None
    assert frame.originating_time >= returned - SECOND // 10
    assert mjpeg.age(frame.image, frame.originating_time + SHIFT) < 0.5  # not one from before
    return noticed, back


@pytest.mark.parametrize("times", [5, pytest.param(20, marks=pytest.mark.long)])
def test_unplugged_and_back(server, times, capfd):
    me = psutil.Process()

    def resources() -> tuple[int, int, int]:
        time.sleep(0.2)
        return me.num_threads(), me.num_fds(), len(me.children(recursive=True))

    nothing = resources()
    with Camera(server.address, clock) as camera:
        before, memory = resources(), me.memory_info().rss
        for k in range(times):
            noticed, back = unplug(camera, server, kill=k % 2 == 0)
            assert noticed < 1
            assert back < 3
            assert resources() == before
        assert me.memory_info().rss - memory < 8 << 20
        began = time.monotonic()
    assert time.monotonic() - began < 1
    assert resources() == nothing
    assert camera.restarts >= times
    assert camera.counts.waiting == 0
    assert tuple(capfd.readouterr()) == ("", "")


def test_left_while_the_camera_is_away(server):
    with Camera(server.address, clock) as camera:
        server.stop()
        until(lambda: camera.state.name == "lost", 1)
        time.sleep(0.5)  # it waits for an answer now
        began = time.monotonic()
    assert time.monotonic() - began < 1


def test_a_picture_that_stays_is_noticed():
    with mjpeg.Server("freezing") as server, Camera(server.address, clock) as camera:
        time.sleep(0.6)
        assert camera.state.name == "open"
        until(lambda: camera.counts.dropped["repeated"] > 0, 2)
        assert until(lambda: camera.state.name == "lost", 1) > FROZEN - 0.3
        assert clock() - camera.state.since < SECOND
        until(lambda: camera.state.name == "open", 3)  # opened anew, it moves again
    assert camera.counts.waiting == 0


def test_process_ends_with_its_parent(server):
    program = (
        "import sys, time; from enrapt.realtime.sources.camera import Camera\n"
        "with Camera(sys.argv[1], time.monotonic_ns): print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, server.address], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"open\n"
        (child,) = psutil.Process(parent.pid).children()
        server.stop()  # it waits for a picture, and writes nothing that could fail
        parent.send_signal(signal.SIGKILL)
        until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 1)


def test_broken_jpeg_says_nothing_on_the_terminal(capfd):
    with mjpeg.Server("damaged") as server, Camera(server.address, clock) as camera:
        until(lambda: camera.counts.captured > 10, 2)
    assert tuple(capfd.readouterr()) == ("", "")


# What a person gets wrong


def refusal(source: int | str) -> str:
    began = time.monotonic()
    with pytest.raises(UserError) as refused, Camera(source, clock):
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
        ("silent", "does not answer; is the camera switched on, and in this network?"),
    ],
)
def test_address_that_answers_otherwise(kind, said, capfd):
    with mjpeg.Server(kind) as server:
        assert refusal(server.address) == f"camera {server.address}: {said}"
    assert tuple(capfd.readouterr()) == ("", "")


def test_nobody_listens_and_passwords_are_not_told():
    port = mjpeg.free_port()
    for scheme in ("http", "rtsp"):
        place = f"127.0.0.1:{port}/video"
        said = "refused; does the camera's server run, and is this its port?"
        assert refusal(f"{scheme}://me:secret@{place}") == f"camera {scheme}://{place}: {said}"


def test_password_reaches_the_camera_and_no_list_of_processes():
    with mjpeg.Server("locked") as server:
        address = server.address.replace("http://", "http://me:secret@")
        with Camera(address, clock) as camera:
            assert camera.take(1) is not None
            for child in psutil.Process().children():
                assert "secret" not in " ".join(child.cmdline())


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://nosuch.invalid/", "no host of the name nosuch.invalid is known"),
        ("http://127.0.0.1:99999/", "the port is no number from 0 to 65535"),
        ("http:///video", "the address names no host"),
    ],
)
def test_impossible_addresses(address, said):
    assert said in why_not(address, "closed")


def test_recordings_are_not_cameras(tmp_path):
    recording = tmp_path / "talk.mp4"
    recording.touch()
    with pytest.raises(UserError, match=f"{recording}: a recording, .* enrapt replay {recording}"):
        Camera(str(recording), clock)
    with pytest.raises(UserError, match="camera garden: give an index"):
        Camera("garden", clock)
    with pytest.raises(UserError, match="give an index"):
        Camera(-1, clock)


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
        said = why_not(path, "closed")
        os._exit(said != f"camera {path}: permission denied; sudo usermod -aG video $USER, and log in again")
    _, status = os.waitpid(asking, 0)
    os.close(device)
    os.close(there)
    assert os.waitstatus_to_exitcode(status) == 0


# What the process says, and what becomes of it


def spoken(*pictures: tuple[int, int, int]) -> io.BytesIO:
    """A process's words: of each picture the moment, the source's stamp and the gray; −1 is a broken one."""
    said = json.dumps({"codec": "MJPG", "rate": 30.0}).encode() + b"\n"
    for moment, stamp, gray in pictures:
        size = (0, 0) if gray < 0 else (4, 2)
        pixels = bytes([max(gray, 0)]) * (3 * size[0] * size[1])
        said += HEADER.pack(moment, stamp, *size, len(pixels)) + pixels
    return io.BytesIO(said)


def hear(*openings: IO[bytes]) -> Camera:
    camera = Camera(0, clock)
    for opening in openings:
        hear_more(camera, opening)
    return camera


def hear_more(camera: Camera, opening: IO[bytes]) -> None:
    camera._read(json.loads(opening.readline()), opening)


def test_stale_buffer_and_closed_shutter_are_told_apart_by_the_stamp():
    moving = hear(spoken((1, 10, 0), (2, 20, 0), (3, 30, 0)))  # black, and the stamp advances
    assert moving.counts.dropped == {"superseded": 2}
    stale = hear(spoken((1, 10, 0), (2, 10, 0), (3, 10, 0)))
    assert stale.counts.dropped == {"repeated": 2}
    unstamped = hear(spoken((1, -1, 7), (2, -1, 7), (3, -1, 8)))
    assert unstamped.counts.dropped == {"repeated": 1, "superseded": 1}


def test_same_picture_after_opening_anew_is_still_the_same_without_a_stamp():
    assert hear(spoken((1, -1, 7)), spoken((2, -1, 7))).counts.dropped == {"repeated": 1}
    assert hear(spoken((1, 900, 7)), spoken((2, 5, 7))).counts.dropped == {"superseded": 1}


def test_a_picture_cut_by_the_end_of_the_process_was_never_captured():
    whole = spoken((1, -1, 7), (2, -1, 8)).getvalue()
    camera = hear(io.BytesIO(whole[:-1]))
    assert camera.counts.captured == 1


def test_given_by_a_driver_before_there_is_anything_to_measure():
    assert hear(spoken((1, 10, 0))).given == "4×2 at 30 frames/s, MJPG"


PICTURES = st.tuples(st.integers(0, 50), st.sampled_from([-1, 1, 2, 3]), st.integers(-1, 2))


@settings(max_examples=50)
@given(st.lists(st.tuples(PICTURES, st.booleans()), max_size=30))
def test_conservation(pictures):
    camera = Camera(0, clock)
    times = []
    for picture, taken in pictures:
        hear_more(camera, spoken(picture))
        if taken and (frame := camera.take(0)) is not None:
            times.append(frame.originating_time)
    counts = camera.counts
    assert counts.captured == len(pictures)
    assert counts.used == len(times)
    assert counts.dropped["broken"] == sum(gray < 0 for (_, _, gray), _ in pictures)
    assert counts.waiting == (camera.take(0) is not None)
    assert times == sorted(set(times))


def test_a_device_that_is_a_file(tmp_path, monkeypatch):
    """A recording has stamps, a codec and a rate, as V4L2 has; only its size cannot be asked for."""
    black = tmp_path / "black.avi"
    writer = cv2.VideoWriter(str(black), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for _ in range(10):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    monkeypatch.setattr(sys, "platform", "any")  # where OpenCV chooses who reads
    said = tmp_path / "said"
    with said.open("wb") as out:
        _capture(str(black), (640, 480), 30, out.fileno())
    began = time.monotonic_ns()
    with said.open("rb") as pipe:
        camera = hear(pipe)
    assert camera.given == "64×48 at 25 frames/s, MJPG"
    assert camera.counts.captured == 10
    assert camera.counts.dropped == {"superseded": 9}
    frame = camera.take(0)
    assert frame is not None
    assert began - SECOND < frame.originating_time < began  # 0.4 s, its stamp, is of no clock


def test_drivers_stamp_where_it_is_of_the_monotonic_clock():
    assert originating(95 * SECOND, 95 * SECOND + 33_000_000) == 95 * SECOND
    assert originating(0, 95 * SECOND) == 95 * SECOND  # none
    assert originating(1_700_000_000 * SECOND, 95 * SECOND) == 95 * SECOND  # the wall clock
    assert originating(90 * SECOND, 95 * SECOND) == 95 * SECOND
