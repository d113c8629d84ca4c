"""A machine too slow by ten times for its camera: pictures are dropped, and nothing queues or comes late."""

import itertools
import time

import numpy as np
import pytest

from enrapt.bundle.bundle import Bundle
from enrapt.cli.demo import CLIP
from enrapt.realtime.engine.engine import Engine
from enrapt.realtime.features.face import FaceFeatures
from enrapt.realtime.sources.camera import Camera
from enrapt.realtime.sources.live import LiveLoop
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.samples import Frame
from tests.support.mjpeg import Server

SLOWER = 10
SECONDS = 20


class SlowFace(FaceFeatures):
    """Sees a face in every picture, the demo's, and takes ten times as long.

    Attributes:
        took: s, of each picture.
        begun: s; when it was begun with each, less the picture's time.
    """

    def __init__(self, model):
        super().__init__(model)
        pictures = (item for item in Recording(CLIP) if isinstance(item, Frame))
        self.faces = [picture.image for picture in itertools.islice(pictures, 50)]
        self.took, self.begun = [], []

    def extract(self, frame):
        began = time.monotonic()
        self.begun.append(began - frame.originating_time / 1e9)
        face = self.faces[len(self.took) % len(self.faces)]
        values = super().extract(Frame(frame.originating_time, face))
        assert values is not None
        time.sleep((SLOWER - 1) * (time.monotonic() - began))
        self.took.append(time.monotonic() - began)
        return values


class Taken:
    """Counts the looks at pictures that the loop has taken note of."""

    def __init__(self):
        self.samples = 0

    def sample(self, sample, arrived):
        self.samples += 1

    def observation(self, observation):
        pass

    def estimate(self, estimate):
        pass


@pytest.mark.long
def test_a_face_ten_times_slower_delays_no_tick_and_every_picture_is_accounted_for(face_model):
    engine, taken = Engine(Bundle.load("default")), Taken()
    ticks, latency, looked_at, held = [], [], [], []
    with (
        Server() as server,
        SlowFace(face_model) as face,
        Camera(server.address, time.monotonic_ns) as camera,
    ):
        loop = LiveLoop(engine, time.monotonic_ns, camera=camera, face=face, listener=taken)
        began = time.monotonic()
        with loop:
            for estimate in loop:
                ticks.append(estimate.tick)
                latency.append(estimate.latency_ms.tick / 1000)
                looked_at.append(len(face.took) - taken.samples)
                held.append(camera.counts.waiting)
                if len(ticks) == SECONDS * engine.rate:
                    break
        wall = time.monotonic() - began
    assert ticks == list(range(SECONDS * engine.rate))
    assert wall < SECONDS + 1
    extraction = np.mean(face.took)
    assert extraction > 1.5 / 30  # s; too slow for 30 pictures a second
    assert np.percentile(latency, 99) <= 2 * extraction
    assert max(held) <= 1
    assert max(looked_at) <= 2
    ages = np.array(face.begun) - loop.zero / 1e9
    assert np.percentile(ages, 99) < 0.15  # s; the newest one each time
    counts = loop.counts["face"]
    assert (camera.counts.waiting, counts.waiting) == (0, 0)
    assert camera.counts.captured == camera.counts.used + camera.counts.dropped.total()
    assert camera.counts.used == counts.captured == len(face.took) == taken.samples
    assert counts.captured == counts.used + counts.dropped.total()
    assert camera.counts.dropped["superseded"] > camera.counts.used / 2
