"""Sessions with streams of Lab Streaming Layer instead of devices; on the loopback only."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from enrapt.bundle.bundle import Bundle
from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime import LiveSession
from enrapt.realtime.engine.engine import Engine
from enrapt.realtime.engine.estimate import estimate_of
from enrapt.realtime.sources.pushed import Pushed
from enrapt.realtime.streams.samples import SECOND
from tests.support.bundles import make_bundle
from tests.support.lsl_loopback import FEATURES, SOUND

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("loopback")]


def test_the_model_gets_what_the_streams_push(outlet, name, tiny_bundle, tmp_path):
    _, zero = outlet(FEATURES, name=f"{name}-face", channels=FACE.dim, rate=30)
    outlet(FEATURES, name=f"{name}-audio", channels=AUDIO.dim, rate=25)
    engine = Engine(Bundle.load(tiny_bundle))
    streams = {"face": f"lsl:{name}-face", "audio": f"lsl:{name}-audio"}
    session = LiveSession(None, None, streams=streams, bundle=tiny_bundle)
    with session:
        for estimate in session:
            start = session.source.zero
            observation = session.observation
            step = engine.step(observation.values)
            assert estimate_of(observation, step, estimate.latency_ms) == estimate
            if estimate.present["face"]:
                number = round(float(observation.values["face"][0]))
                stamp = zero + number / 30
                at = (start + observation.time) / SECOND
                assert abs(at - stamp - estimate.age_ms["face"] / 1000) < 0.001
                assert at >= stamp
                if estimate.tick > 40:
                    assert at - stamp < 1.6 / 30
            if estimate.tick > 20:
                assert estimate.present == {"face": True, "audio": True}
            if estimate.tick == 75:
                break
    for counts in session.counts.values():
        assert counts.captured == counts.used + counts.dropped.total() > 70
    summary = session.summary()
    assert summary["restarts"] == {"face": 0, "audio": 0}
    assert summary["latency_ms"]["tick"]["p50"] < 45


@pytest.mark.long
def test_a_session_continues_without_its_stream_and_uses_it_when_it_is_back(outlet, name, tiny_bundle):
    process, _ = outlet(FEATURES, name=name, channels=FACE.dim)
    present = []
    with LiveSession(None, None, streams={"face": f"lsl:{name}"}, bundle=tiny_bundle) as session:
        for estimate in session:
            present.append(estimate.present["face"])
            if estimate.tick == 30:
                process.kill()
            if estimate.tick == 60:
                outlet(FEATURES, name=name, channels=FACE.dim)
            if estimate.tick > 60 and all(present[-20:]):
                break
            assert estimate.tick < 250
    assert all(present[10:30])
    assert not any(present[40:60])
    face = session.counts["face"]
    assert face.captured == face.used + face.dropped.total()


def test_samples_are_dropped_and_counted_while_paused(outlet, name, tiny_bundle):
    outlet(FEATURES, name=name, channels=FACE.dim)
    with LiveSession(None, None, streams={"face": f"lsl:{name}"}, bundle=tiny_bundle) as session:
        for estimate in session:
            if estimate.tick == 25:
                session.pause()
            if estimate.tick == 50:
                session.resume()
            if estimate.tick == 75:
                break
            assert not (35 < estimate.tick <= 50 and estimate.present["face"])
        assert estimate.present["face"]
    face = session.counts["face"]
    assert face.dropped["paused"] in range(25, 36)
    assert face.captured == face.used + face.dropped.total()


def test_features_of_any_modality_beside_pushed_ones(outlet, name, tmp_path):
    """A bundle of two modalities, of its own schemas; one is held for longer than the other."""
    gaze, touch = ("gaze", 3, "gaze/2", 0.5), ("touch", 2, None, 0.1)
    bundle = make_bundle(tmp_path / "hands.onnx", [gaze, touch])
    outlet(FEATURES, name=name, channels=3, rate=50)
    pushed = Pushed("touch")
    present = []
    with LiveSession(None, None, streams={"gaze": f"lsl:{name}"}, devices=[pushed], bundle=bundle) as session:
        for estimate in session:
            if 10 <= estimate.tick < 20:
                pushed.push([1.0, 2.0])
            if estimate.present["touch"]:
                assert session.observation.values["touch"].tolist() == [1.0, 2.0]
            present.append(estimate.present)
            if estimate.tick == 30:
                break
    assert all(at_tick["gaze"] for at_tick in present[10:])
    assert [at_tick["touch"] for at_tick in present[12:20]] == [True] * 8
    assert not any(at_tick["touch"] for at_tick in [*present[:10], *present[26:]])
    assert session.counts["touch"].captured == 10


def test_sound_from_a_stream(outlet, name, tiny_bundle):
    outlet(SOUND, name=name, rate=16_000, channels=1, format="float32")
    levels = {True: [], False: []}
    with LiveSession(None, None, streams={"audio": f"lsl:{name}"}, bundle=tiny_bundle) as session:
        for estimate in session:
            zero = session.source.zero
            if (audio := session.observation.values["audio"]) is not None:
                second = (zero + session.observation.time) / SECOND % 1
                if 0.1 < second < 0.4 or 0.6 < second < 0.9:
                    levels[second < 0.5].append(float(audio[AUDIO.index("level")]))
            if estimate.tick == 75:
                break
    assert min(levels[True]) > -10
    assert max(levels[False]) < -60
    assert session.source.devices["audio"].overflows == 0


def test_without_pylsl_the_error_says_what_to_install(tmp_path):
    (tmp_path / "pylsl.py").write_text("raise ImportError")
    done = subprocess.run(
        [sys.executable, "-m", "enrapt.cli.main", "live", "--stream", "face=lsl:a", "--mic", "none"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr == "enrapt: lsl: needs pylsl: pip install 'enrapt[lsl]'\n"


@pytest.mark.long
def test_the_command(outlet, name, tiny_bundle, tmp_path):
    def enrapt(*arguments):
        command = [sys.executable, "-m", "enrapt.cli.main", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)

    outlet(FEATURES, name=name, channels=FACE.dim)
    live = ["--bundle", tiny_bundle, "--duration", "1", "--stream", f"face=lsl:{name}", "--mic", "none"]
    done = enrapt("live", *live, "--stats", "stats.json")
    assert done.returncode == 0, done.stderr
    assert f"live: face face/1 at 30 Hz from {os.uname().nodename}" in done.stderr
    stats = json.loads((tmp_path / "stats.json").read_text())
    assert stats["presence"]["face"] > 0.7
    assert stats["presence"]["audio"] == 0

    done = enrapt("record", "kept", *live)
    assert done.returncode == 0, done.stderr
    devices = json.loads((tmp_path / "kept" / "session.json").read_text())["description"]["devices"]
    assert devices == {"face": f"lsl:{name}: face/1 at 30 Hz from {os.uname().nodename}"}
    done = enrapt("record", "media", "--keep-media", *live)
    assert done.returncode == 2
    assert "no pictures and no sound" in done.stderr
    assert not Path(tmp_path / "media").exists()

    done = enrapt("live", *live, "--camera", "99")  # not opened: the stream gives the face
    assert done.returncode == 0, done.stderr


def test_a_robot_says_by_a_stream_when_it_speaks(outlet, name, tmp_path):
    two = make_bundle(
        tmp_path / "two.onnx", [(who, 1, "speaking/1", 1.0) for who in ("own", "partner")], rate=5
    )
    outlet(FEATURES, name=name, channels=1, rate=10)
    streams = {"partner": f"lsl:{name}"}
    own = Pushed("own", "speaking/1")
    with LiveSession(None, None, streams=streams, devices=[own], bundle=two) as session:
        for estimate in session:
            if estimate.tick == 8:
                break
    assert estimate.present == {"own": False, "partner": True}
