"""Pictures as cameras have them: with EXIF, cut off, few."""

import pytest

from enrapt.realtime.sources.camera_face import ENOUGH
from tests.support import mjpeg
from tests.support.camera import Opened, StandIn, ages

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    return StandIn.install(monkeypatch)


@pytest.mark.parametrize("kind", ["exif", "exif later"])
def test_pictures_with_exif_are_used_like_others(kind):
    with mjpeg.Server(kind) as server, Opened(server.address) as (camera, inlet):
        inlet.wait(40)
        assert not camera.lost
    assert max(ages(inlet)) < 0.2
    assert inlet.dropped.keys() <= {"superseded"}


def test_pictures_that_are_cut_off_are_broken():
    with mjpeg.Server("cut", rate=20) as server, Opened(server.address) as (camera, inlet):
        inlet.wait(20)
        assert camera.restarts == 0
    assert inlet.dropped["broken"] == pytest.approx(inlet.captured / 3, abs=2)
    assert inlet.dropped.keys() <= {"broken", "superseded"}
    assert max(ages(inlet)) < 0.2  # what is used is whole: the moment can be read in it


def test_ticks_do_not_wait_for_the_picture_after_a_broken_one(monkeypatch):
    ahead = []
    with mjpeg.Server("cut", rate=30) as server, Opened(server.address) as (_, inlet):
        advance = inlet.advance
        inlet.wait(30)  # the rate is known

        def advanced(reached: int) -> None:
            ahead.append(reached - inlet.clock())
            advance(reached)

        monkeypatch.setattr(inlet, "advance", advanced)
        inlet.wait(60)
    assert sum(ns > 0 for ns in ahead) > 5  # until the next one can come


@pytest.mark.parametrize("rate", [1.4, pytest.param(0.5, marks=pytest.mark.long)])
def test_every_picture_of_a_slow_camera_is_used_and_a_line_says_so(rate):
    with mjpeg.Server(rate=rate) as server, Opened(server.address) as (camera, inlet):
        inlet.wait(ENOUGH + 3, 25)
        assert camera.restarts == 0
        assert not camera.lost
    (line,) = inlet.warnings
    assert line.startswith(f"camera: {rate} frames/s: the face counts as present for 0.25 s")
    assert not inlet.dropped
    assert len(inlet.samples) >= ENOUGH + 3  # one more may come before it is closed
