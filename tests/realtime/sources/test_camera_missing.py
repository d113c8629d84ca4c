"""What is said when the face is missing, with real cameras on the loopback."""

import re
import time

import numpy as np
import pytest

from enrapt.realtime.run import Run
from enrapt.realtime.sources.camera_face import EARLY, CameraFace
from enrapt.realtime.sources.live import LiveSource
from tests.support import mjpeg
from tests.support.camera import MODEL, Opened, StandIn
from tests.support.inlet import until

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    return StandIn.install(monkeypatch)


def missing(server, bundle, seconds=3.5, at=lambda estimate: None, max_wait=0.05, **options):
    """A session of so many seconds: why the face is missing at its end; its presence in the second half."""
    present = []
    with Run(LiveSource([CameraFace(server.address, model=MODEL, **options)], max_wait), bundle) as run:
        run.source.warn = lambda line: None
        for estimate in run:
            present.append(estimate.present["face"])
            at(estimate)
            if estimate.tick >= seconds * run.rate:
                break
        return run.missing.get("face"), np.mean(present[len(present) // 2 :])


@pytest.mark.parametrize(
    ("kind", "width", "text"),
    [
        ("moving", None, r"no face found \(320×240\); it has to be at least 40 pixels wide"),
        ("moving", 0.5, r"no face found \(320×240\); it has to be at least 40 pixels wide"),
        ("moving", 0.15, r"no face found \(320×240\); it was 48 pixels wide when last seen: come closer"),
        ("dark", None, r"the picture is dark \(brightness \d of 255\); add light, uncover the camera"),
        ("blank", None, "the picture is blank; uncover the camera"),
    ],
)
def test_pictures_without_a_face(stand_in, tiny_bundle, kind, width, text):
    stand_in.nothing, stand_in.width = True, width
    with mjpeg.Server(kind) as server:
        assert re.fullmatch(text, missing(server, tiny_bundle)[0])


def test_a_camera_that_repeats_its_picture_or_sends_broken_ones(tiny_bundle):
    with mjpeg.Server("still") as server:
        assert missing(server, tiny_bundle)[0] == "the camera repeats its last picture; restart it"


def test_a_camera_that_is_gone(tiny_bundle):
    with mjpeg.Server() as server:

        def kill(estimate):
            if estimate.tick == 25:
                server.kill()

        text = "the camera gives no pictures; check that it is plugged in and switched on"
        assert missing(server, tiny_bundle, 4, kill)[0] == text


def test_too_few_pictures(tiny_bundle):
    with mjpeg.Server(rate=1) as server:
        text, presence = missing(server, tiny_bundle, 7)
        assert re.fullmatch(
            r"only \S+ pictures/s come, each counts for 0.25 s; raise the camera's rate", text
        )
        assert presence < 0.5


def test_too_few_pictures_that_are_analysed_and_the_number_that_is_suggested(tiny_bundle):
    with mjpeg.Server() as server:
        text, presence = missing(server, tiny_bundle, 6, face_every=30)
        every = re.fullmatch(r"--face-every 30 leaves too few pictures; try --face-every (\d)", text)
        assert presence < 0.5
        assert missing(server, tiny_bundle, face_every=int(every[1])) == (None, pytest.approx(1, abs=0.06))


def test_extraction_that_is_too_slow_and_the_wait_that_is_suggested(stand_in, tiny_bundle):
    stand_in.delay = 0.34
    with mjpeg.Server() as server:
        text, before = missing(server, tiny_bundle, 5)
        late = re.fullmatch(
            r"arrives \d+ ms late; try --max-wait (\d+) \(analysing a picture takes (\d+) ms\)", text
        )
        assert 340 <= int(late[2]) < 500
        _, after = missing(server, tiny_bundle, 5, max_wait=int(late[1]) / 1000)
        assert before < 0.2 < 0.5 < after


def test_a_camera_that_hangs_after_a_few_pictures_is_noticed():
    with mjpeg.Server("stuck") as server, Opened(server.address) as (camera, _):
        time.sleep(0.5)
        assert not camera.lost
        assert until(lambda: camera.lost, EARLY + 1) > EARLY - 0.7
