"""A minute of a live session in real time, with a camera on the loopback and a face; on one core, too."""

import os
import time

import numpy as np
import pytest

from enrapt.realtime import LiveSession
from enrapt.realtime.features.face import FaceOptions
from tests.support.mjpeg import Server

pytestmark = pytest.mark.live


def minute(session, seconds):
    """The estimates, and when each came."""
    estimates, times = [], []
    with session:
        for estimate in session:
            estimates.append(estimate)
            times.append(time.monotonic())
            if estimate.tick == round(seconds * session.rate):
                break
    return estimates, times


def check(session, estimates, times):
    assert [e.tick for e in estimates] == list(range(len(estimates)))
    half = len(times) // 2
    seconds = np.median(np.array(times[half:]) - times[:-half]) / half  # a tick; single ones may be late
    assert abs(1 / seconds / session.rate - 1) < 1e-3
    face = session.counts["face"]
    assert face.waiting == 0
    assert face.captured == face.used + face.dropped.total()


@pytest.mark.long
def test_a_minute_at_its_rate_with_every_picture_counted(face_model):
    with Server() as server:
        session = LiveSession(server.address, None, faces=FaceOptions(face_model))
        estimates, times = minute(session, 60)
    check(session, estimates, times)
    assert 1700 < session.counts["face"].captured < 1860
    assert session.camera.restarts == 0


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here")
def test_one_core_and_15_pictures_a_second_hold_the_rate(face_model):
    with Server() as server:  # on any core
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(cores)})
        try:
            session = LiveSession(server.address, None, faces=FaceOptions(face_model), face_every=2)
            estimates, times = minute(session, 15)
        finally:
            os.sched_setaffinity(0, cores)
    check(session, estimates, times)
    assert session.counts["face"].dropped["skipped"] > 150


@pytest.mark.long
def test_a_camera_unplugged_during_a_session_is_missing_and_returns(face_model):
    with Server() as server:
        session = LiveSession(server.address, None, faces=FaceOptions(face_model))
        lost = []
        with session:
            for estimate in session:
                if estimate.tick == 50:
                    server.kill()
                if estimate.tick == 125:
                    server.start()
                lost.append(session.camera.lost)
                if estimate.tick == 250:
                    break
    assert not lost[40]
    assert all(lost[76:124])
    assert not lost[201]
    assert session.camera.restarts >= 1
    face = session.counts["face"]
    assert face.captured == face.used + face.dropped.total()
