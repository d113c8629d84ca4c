"""The live loop with made-up devices: real threads, real sound features, a real engine."""

import itertools
import threading
import time
from collections import Counter

import numpy as np
import pytest

from enrapt.bundle.bundle import Bundle
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import FACE
from enrapt.realtime.engine.engine import Engine
from enrapt.realtime.features.audio import AudioFeatures
from enrapt.realtime.sources.live import RESET, LiveLoop
from enrapt.realtime.streams.samples import SECOND, Frame, Sound

MS = SECOND // 1000


def session_clock():
    """A clock that starts at 0 now, ns."""
    start = time.monotonic_ns()
    return lambda: time.monotonic_ns() - start


class Device:
    """Gives its material when its time has come, the newest only, while it is there."""

    def __init__(self, clock, every, make, queue=False):
        self.clock, self.every, self.make, self.queue = clock, every, make, queue
        self.lost, self.given, self.superseded = False, 0, 0
        self.state = self
        self.last = 0  # number of the last one given

    @property
    def name(self):
        return "lost" if self.lost else "open"

    def take(self, timeout):
        due = self.clock() // self.every
        if self.lost or due <= self.last:
            time.sleep(min(timeout, 0.002))
            return None
        number = self.last + 1 if self.queue else due
        self.superseded += number - self.last - 1
        self.last, self.given = number, self.given + 1
        return self.make(number * self.every)


class Face:
    """Sees a face in everything, in some time."""

    def __init__(self, seconds=0.0):
        self.seconds, self.busy = seconds, 0

    def extract(self, frame):
        time.sleep(self.seconds)
        return np.ones(FACE.dim, np.float32)


def picture(at):
    return Frame(at, np.zeros((2, 2, 3), np.uint8))


def sound(at):
    noise = np.random.default_rng(at).normal(0, 0.1, 160).astype(np.float32)
    return Sound(at - 10 * MS, noise)


@pytest.fixture
def engine(tiny_bundle):
    return Engine(Bundle.load(tiny_bundle))


def devices(clock, frame_ms=33):
    return Device(clock, frame_ms * MS, picture), Device(clock, 10 * MS, sound, queue=True)


def run(session, seconds, clock, at=lambda estimate: None):
    estimates = []
    with session:
        for estimate in session:
            estimates.append((estimate, clock()))
            at(estimate)
            if clock() > seconds * SECOND:
                break
    return estimates


def test_a_tick_every_40_ms_in_order_with_face_and_sound(engine):
    clock = session_clock()
    camera, microphone = devices(clock)
    session = LiveLoop(
        engine, clock, camera=camera, face=Face(), microphone=microphone, audio=AudioFeatures()
    )
    estimates = run(session, 2.0, clock)
    assert [e.tick for e, _ in estimates] == list(range(len(estimates)))
    assert len(estimates) in (49, 50, 51)
    later = [e for e, _ in estimates[5:]]
    assert all(e.present == {"face": True, "audio": True} for e in later)
    assert all(e.latency_ms.tick >= 0 for e in later)
    # Of a picture every 33 ms and sound every 40 ms, both on time.
    assert np.median([e.latency_ms.tick for e in later]) < 50
    assert all(set(e.latency_ms.waits) <= {"face", "audio"} for e in later)
    for modality, device in (("face", camera), ("audio", None)):
        counts = session.counts[modality]
        assert counts.waiting == 0
        assert counts.captured == counts.used + counts.dropped.total()
        if device:
            assert counts.captured == device.given
    assert not [t for t in threading.enumerate() if t.name.startswith("enrapt")]


def test_ticks_go_on_when_devices_are_lost_and_both_come_back(engine):
    clock = session_clock()
    camera, microphone = devices(clock)
    session = LiveLoop(
        engine, clock, camera=camera, face=Face(), microphone=microphone, audio=AudioFeatures()
    )

    def unplug(estimate):
        camera.lost = microphone.lost = 25 <= estimate.tick < 50

    estimates = [e for e, _ in run(session, 3.0, clock, unplug)]
    assert [e.tick for e in estimates] == list(range(len(estimates)))
    present = [(e.present["face"], e.present["audio"]) for e in estimates]
    assert not [(i, p) for i, p in enumerate(present[:24]) if i >= 12 and p != (True, True)]
    assert all(p == (False, False) for p in present[34:50])  # a picture serves for 250 ms
    assert not [(i, p) for i, p in enumerate(present) if i >= 62 and p != (True, True)]
    assert all(e.latency_ms.tick < 45 for e in estimates[34:50])  # nobody waits for what is lost


def test_a_face_that_takes_long_drops_pictures_and_delays_nothing(engine):
    clock = session_clock()
    camera, _ = devices(clock)
    session = LiveLoop(engine, clock, camera=camera, face=Face(0.1))
    estimates = [e for e, _ in run(session, 2.0, clock)]
    assert len(estimates) in (48, 49, 50, 51)
    assert camera.superseded > 30
    first_use, seen = [], set()
    for estimate in estimates:
        age = estimate.age_ms["face"]
        if age is not None and (picture := round(estimate.t * 1000 - age)) not in seen:
            seen.add(picture)
            first_use.append(estimate.latency_ms.tick + age)
    assert len(first_use) > 15
    assert np.percentile(first_use, 99) < 2 * 100  # one is looked at, one waits: no queue
    assert np.median([e.latency_ms.tick for e in estimates]) < 60  # its deadline
    assert max(e.age_ms["face"] or 0 for e in estimates) < 250
    assert session.counts["face"].waiting == 0


def test_every_nth_picture_is_looked_at(engine):
    clock = session_clock()
    camera, _ = devices(clock)
    face = Face()
    face.extract = lambda frame, seen=Counter(): seen.update(n=1) or np.ones(FACE.dim, np.float32)
    session = LiveLoop(engine, clock, camera=camera, face=face, face_every=3)
    run(session, 1.0, clock)
    counts = session.counts["face"]
    assert counts.captured == camera.given
    assert abs(counts.dropped["skipped"] - 2 * camera.given / 3) <= 2


def test_a_slow_listener_of_estimates_gets_every_tick_in_order(engine):
    clock = session_clock()
    camera, microphone = devices(clock)
    session = LiveLoop(
        engine, clock, camera=camera, face=Face(), microphone=microphone, audio=AudioFeatures()
    )
    estimates = [e for e, _ in run(session, 2.0, clock, lambda e: time.sleep(0.3 if e.tick == 10 else 0))]
    assert [e.tick for e in estimates] == list(range(len(estimates)))
    assert len(estimates) >= 48


def test_it_can_be_stopped_from_anywhere(engine):
    clock = session_clock()
    camera, _ = devices(clock)
    with LiveLoop(engine, clock, camera=camera, face=Face()) as session:
        threading.Timer(0.3, session.stop).start()
        assert 3 <= sum(1 for _ in session) <= 12


def test_what_goes_wrong_in_a_thread_is_raised_where_the_estimates_are_used(engine):
    clock = session_clock()
    camera, _ = devices(clock)
    face = Face()
    face.extract = lambda frame: 1 / 0
    with pytest.raises(ZeroDivisionError), LiveLoop(engine, clock, camera=camera, face=face) as session:
        for _ in itertools.islice(session, 100):
            pass
    assert not [t for t in threading.enumerate() if t.name.startswith("enrapt")]


def test_paused_nothing_is_looked_at_and_ticks_go_on(engine):
    clock = session_clock()
    camera, microphone = devices(clock)
    looked = []
    face = Face()
    face.extract = lambda frame: looked.append(frame.originating_time) or np.ones(FACE.dim, np.float32)
    session = LiveLoop(engine, clock, camera=camera, face=face, microphone=microphone, audio=AudioFeatures())

    def pause(estimate):
        session.paused = 25 <= estimate.tick < 50

    estimates = [e for e, _ in run(session, 3.0, clock, pause)]
    assert [e.tick for e in estimates] == list(range(len(estimates)))
    assert not [at for at in looked if 1.15 * SECOND < at < 1.95 * SECOND]
    assert all(not any(e.present.values()) for e in estimates[36:50])
    assert all(all(e.present.values()) for e in estimates[62:])
    assert session.counts["face"].dropped["paused"] > 20


def test_reset_the_model_begins_anew(engine):
    clock = session_clock()
    camera, _ = devices(clock)
    camera.lost = True
    session = LiveLoop(engine, clock, camera=camera, face=Face())
    estimates = [e for e, _ in run(session, 1.0, clock, lambda e: e.tick == 9 and session.reset())]
    said = [e.engagement for e in estimates]
    assert said[10:20] == said[:10] != said[1:11]


def test_a_recorder_is_told_of_everything(engine):
    clock = session_clock()
    camera, _ = devices(clock)
    told = []

    class Recorder:
        def sample(self, sample, arrived):
            assert arrived >= sample.originating_time
            told.append("sample")

        def observation(self, observation):
            told.append(observation.tick)

        def estimate(self, estimate):
            assert told[-1] == estimate.tick

        def mark(self, time, label):
            told.append((time, label))

    session = LiveLoop(engine, clock, camera=camera, face=Face(), listener=Recorder())
    estimates = run(session, 1.0, clock, lambda e: session.reset() if e.tick == 9 else None)
    assert [t for t in told if t != "sample"] == [
        *range(10), (400 * MS, RESET), *range(10, len(estimates))
    ]  # fmt: skip
    assert told.count("sample") == session.counts["face"].captured


def test_a_session_without_a_device_and_an_unknown_context_are_told(engine):
    clock = session_clock()
    with pytest.raises(UserError, match="no device for what the bundle takes"):
        LiveLoop(engine, clock)
    camera, _ = devices(clock)
    with pytest.raises(UserError, match="no context 'role'"):
        LiveLoop(engine, clock, camera=camera, face=Face(), context={"role": [1.0]})
