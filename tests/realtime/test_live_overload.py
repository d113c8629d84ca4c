"""A machine far too slow for its camera: pictures are dropped, nothing queues, no tick is late."""

import time

import numpy as np
import pytest

from enrapt.realtime import LiveSession
from enrapt.realtime.features.face.extractor import FaceFeatures
from tests.support.faces import FacesFrom, portrait
from tests.support.mjpeg import Server

pytestmark = pytest.mark.live

SLOWER = 20
SECONDS = 20


class SlowFace(FaceFeatures):
    """Extracts the same face from every picture, and takes twenty times as long.

    Attributes:
        took: s, for each picture.
        begun: s; the age of each picture when its extraction began.
        found: whether the face was found in each.
    """

    def __init__(self, model):
        super().__init__(model)
        self.face = portrait()
        self.took, self.begun, self.found = [], [], []

    def extract(self, picture, at):
        began = time.monotonic()
        self.begun.append(began - at / 1e9)
        values, view = super().extract(self.face, at)
        self.found.append(values is not None)
        time.sleep((SLOWER - 1) * (time.monotonic() - began))
        self.took.append(time.monotonic() - began)
        return values, view


@pytest.mark.long
def test_extraction_twenty_times_slower_delays_no_tick_and_every_picture_is_counted(face_model):
    face = SlowFace(face_model)
    ticks, latency = [], []
    with (
        Server() as server,
        LiveSession(server.address, None, faces=FacesFrom(extractor=face)) as session,
    ):
        began = time.monotonic()
        for estimate in session:
            ticks.append(estimate.tick)
            latency.append(estimate.latency_ms.tick / 1000)
            if len(ticks) == SECONDS * session.rate:
                break
        wall = time.monotonic() - began
    assert ticks == list(range(SECONDS * session.rate))
    assert wall < SECONDS + 1
    assert np.mean(face.found) > 0.9
    extraction = np.mean(face.took)
    assert extraction > 1.5 / 30  # s; too slow for 30 pictures a second
    assert np.percentile(latency, 99) <= 2 * extraction
    assert np.percentile(face.begun, 99) < 0.15  # s; the newest one each time: nothing queues
    counts = session.counts["face"]
    assert counts.waiting == 0
    assert counts.captured == counts.used + counts.dropped.total()
    assert counts.dropped["superseded"] > len(face.took) / 2
    assert counts.used <= len(face.took)
