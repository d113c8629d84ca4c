"""Live sessions in which something is missing: what the run says, and that its advice works."""

import re
import time
from collections import Counter

import numpy as np
import pytest

from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.run import Run
from enrapt.realtime.sources.camera_face import CameraFace
from enrapt.realtime.sources.live import LiveSource
from enrapt.realtime.sources.lsl import LslStream
from enrapt.realtime.sources.microphone import MicrophoneAudio
from enrapt.realtime.sources.osc import OscStream
from enrapt.realtime.sources.pushed import Pushed
from enrapt.realtime.sources.web_socket import WebSocketStream
from enrapt.realtime.streams.counts import Counts
from enrapt.realtime.streams.samples import SECOND, View
from tests.support.camera import NO_MODEL
from tests.support.devices import MS, camera, microphone
from tests.support.inlet import FakeInlet
from tests.support.lsl_loopback import FEATURES

pytestmark = pytest.mark.live


def live(devices, bundle, seconds, each=lambda run, estimate: None, max_wait=50, **options):
    """Run for so many seconds: the run, what was missing at its end, and presence in its second half."""
    present = []
    with Run(LiveSource(devices, max_wait / 1000), bundle, **options) as run:
        for estimate in run:
            present.append(estimate.present)
            each(run, estimate)
            if estimate.tick >= seconds * run.rate:
                break
        missing = dict(run.status()["missing"])
    half = present[len(present) // 2 :]
    return run, missing, {name: np.mean([there[name] for there in half]) for name in half[0]}


def suggested(text, option):
    """The number that a phrase gives for an option."""
    (number,) = re.findall(rf"--{option} (?:\w+=)?(-?[\d.]+)", text)
    return float(number)


@pytest.mark.parametrize("late_ms", [240, 640, 1500])
def test_late_sound_is_present_with_the_wait_that_is_suggested(tiny_bundle, late_ms):
    run, missing, presence = live([camera(), microphone(late_ms=late_ms)], tiny_bundle, 3.5)
    assert presence["audio"] < 0.1
    assert missing.keys() == {"audio"}
    (entry,) = run.summary()["missing"]["audio"]
    assert entry["reason"] == missing["audio"]
    assert entry["s"] == pytest.approx(3.5, abs=0.2)
    wait = suggested(missing["audio"], "max-wait")
    assert late_ms < wait <= late_ms + 110
    devices = [camera(), microphone(late_ms=late_ms)]
    _, missing, presence = live(devices, tiny_bundle, 4, max_wait=wait)
    assert not missing
    assert presence["audio"] >= 0.95


FAULTS = ["repeated", "broken", "wrong_time", "backward", "overlap"]
KINDS = ["nothing", "empty", "late", "slow", "skipped", "breaks", *FAULTS]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "device",
    [
        Pushed("face", FACE.name),
        MicrophoneAudio(),
        LslStream("lsl:room", "face"),
        OscStream("osc://:9000/face", "face"),
        WebSocketStream("ws://robot:9000/face", "face"),
        CameraFace(0, faces=NO_MODEL),
        camera(),
    ],
    ids=lambda device: type(device).__name__,
)
def test_every_kind_of_reason_has_a_phrase(device, kind):
    device._inlet = FakeInlet(FACE.dim, FACE.name)
    device._inlet.lateness = [640 * MS]
    device._without = np.full((480, 640, 3), 128, np.uint8), View(faces=0)
    text = device.why_missing(kind, Counts(captured=20, delivered=5, dropped=Counter({kind: 15})), 5 * SECOND)
    assert 10 < len(text) < 100
    assert "\n" not in text
    assert "_" not in text


def test_what_a_device_does_is_said_and_forgotten_when_it_is_over(tiny_bundle):
    devices, seen = [camera(), microphone()], []

    def each(run, estimate):
        devices[0].empty = 25 <= estimate.tick < 100
        devices[1].unplugged = 25 <= estimate.tick < 100
        seen.append(dict(run.missing))

    run, missing, _ = live(devices, tiny_bundle, 6, each)
    assert not any(seen[:70])
    assert seen[95] == {
        "face": "camera gives no numbers (NaN): it has nothing to measure",
        "audio": "microphone gives nothing; check it, or start it again",
    }
    assert not missing
    lasted = {name: [entry["s"] for entry in entries] for name, entries in run.summary()["missing"].items()}
    assert lasted == {"face": [pytest.approx(3, abs=0.4)], "audio": [pytest.approx(3, abs=0.4)]}


def test_a_pause_and_a_device_that_failed(tiny_bundle):
    devices, seen = [camera(), microphone()], []

    def each(run, estimate):
        if estimate.tick == 5:
            run.pause()
        if estimate.tick == 80:
            run.resume()
            devices[1].failure = ValueError("broken")
        seen.append(dict(run.missing))

    live(devices, tiny_bundle, 6, each, warn=lambda line: None)
    assert not any(seen[:120])
    assert seen[-1] == {"audio": "its device was stopped by an error; start enrapt again"}


def test_pushed_features_that_end_and_those_of_another_clock(tiny_bundle):
    face = Pushed("face", schema=FACE.name)
    began = time.monotonic()

    def push(run, estimate):
        if time.monotonic() - began < 1:
            face.push(np.ones(FACE.dim))

    _, missing, _ = live([face, microphone()], tiny_bundle, 4, push)
    assert missing == {"face": "nothing is pushed"}

    def push_off(run, estimate):
        face.push(np.ones(FACE.dim), time.monotonic_ns() + 25_000_000_000)

    face = Pushed("face", schema=FACE.name)
    _, missing, _ = live([face, microphone()], tiny_bundle, 3.5, push_off, warn=lambda line: None)
    assert missing["face"].startswith("stamped 25.00 s ahead of this computer's clock; try --offset face=-25")
    offset = suggested(missing["face"], "offset")
    face = Pushed("face", schema=FACE.name)
    _, missing, presence = live([face, microphone()], tiny_bundle, 3, push_off, offsets={"face": offset})
    assert not missing
    assert presence["face"] >= 0.95


@pytest.mark.usefixtures("loopback")
@pytest.mark.parametrize(
    ("option", "stream"),
    [
        ("max-wait", {"off": -0.64}),
        ("max-wait", {"burst": 25}),
        ("offset", {"off": -30}),
        ("offset", {"off": 4}),
    ],
)
def test_a_stream_is_present_with_what_is_suggested_until_it_stops(outlet, name, tiny_bundle, option, stream):
    process, _ = outlet(FEATURES, name=name, channels=AUDIO.dim, rate=25, **stream)

    def devices():
        return [camera(), LslStream(f"lsl:{name}", "audio")]

    _, missing, presence = live(devices(), tiny_bundle, 4, warn=lambda line: None)
    assert presence["audio"] < 0.5
    number = suggested(missing["audio"], option)
    wait, offsets = (number, {}) if option == "max-wait" else (300, {"audio": number})  # 300: a busy machine
    present = []
    with Run(LiveSource(devices(), wait / 1000), tiny_bundle, offsets=offsets) as run:
        for estimate in run:
            present.append(estimate.present["audio"])
            if estimate.tick == 125:
                process.kill()
            if estimate.tick > 225:
                break
        assert np.mean(present[50:120]) >= 0.95
        assert run.missing == {"audio": f"lsl:{name} sends nothing; start it again"}
