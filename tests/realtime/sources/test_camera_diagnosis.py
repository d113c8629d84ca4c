"""Cameras that do not open: one line says why, and what to do."""

import os
import pty
import subprocess
import sys
import threading
import time

import psutil
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.sources.camera_diagnosis import camera_of, diagnose_camera
from enrapt.realtime.sources.camera_face import CameraFace
from tests.support import mjpeg
from tests.support.camera import NO_MODEL, Opened, StandIn
from tests.support.inlet import until


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    return StandIn.install(monkeypatch)


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
    ("kind", "expected"),
    [
        ("html", "answers with text/html, not with pictures; give the address of the MJPEG stream itself"),
        ("missing", "answers “404 Not Found”; check the path"),
        ("locked", "answers “401 Unauthorized”; check user and password (http://user:password@…)"),
        pytest.param(
            "silent",
            "does not answer; is the camera switched on and in this network?",
            marks=pytest.mark.long,  # OpenCV waits for it for five seconds
        ),
    ],
)
def test_address_that_answers_otherwise(kind, expected, capfd):
    with mjpeg.Server(kind) as server:
        assert refusal(server.address) == f"camera {server.address}: {expected}"
    assert tuple(capfd.readouterr()) == ("", "")


def test_nobody_listens_and_passwords_are_not_shown():
    port = mjpeg.free_port()
    for scheme in ("http", "rtsp"):
        place = f"127.0.0.1:{port}/video"
        expected = "connection refused; is the camera's server running, and is this its port?"
        assert refusal(f"{scheme}://me:secret@{place}") == f"camera {scheme}://{place}: {expected}"


def test_password_reaches_the_camera_and_no_list_of_processes():
    with mjpeg.Server("locked") as server:
        address = server.address.replace("http://", "http://me:secret@")
        with Opened(address) as (camera, inlet):
            inlet.wait(1)
            assert "secret" not in camera.source
            for child in psutil.Process().children():
                assert "secret" not in " ".join(child.cmdline())


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://nosuch.invalid/", "nosuch.invalid/: unknown host; check the address and the network"),
        ("http://127.0.0.1:99999/", "the port is not a number from 0 to 65535"),
        ("http:///video", "the address has no host"),
    ],
)
def test_impossible_addresses(address, expected):
    assert expected in diagnose_camera(address, "closed")


def test_recordings_are_not_cameras(tmp_path):
    recording = tmp_path / "talk.mp4"
    recording.touch()
    with pytest.raises(UserError, match=f"{recording}: a recording, .* enrapt replay {recording}"):
        CameraFace(str(recording), faces=NO_MODEL)
    with pytest.raises(UserError, match="camera garden: give an index"):
        CameraFace("garden", faces=NO_MODEL)
    with pytest.raises(UserError, match="give an index"):
        CameraFace(-1, faces=NO_MODEL)


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
        expected = diagnose_camera(path, "closed")
        os._exit(
            expected != f"camera {path}: permission denied; sudo usermod -aG video $USER, and log in again"
        )
    _, status = os.waitpid(asking, 0)
    os.close(device)
    os.close(there)
    assert os.waitstatus_to_exitcode(status) == 0
