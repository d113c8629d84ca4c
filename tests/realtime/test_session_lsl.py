"""Sessions on streams of Lab Streaming Layer, instead of a camera and a microphone; on the loopback only."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from enrapt.bundle.bundle import Bundle
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime import LiveSession
from enrapt.realtime.engine.engine import Engine
from enrapt.realtime.engine.estimate import estimate_of
from enrapt.realtime.streams.samples import SECOND
from tests.support.lsl_loopback import FEATURES, LOOPBACK, SOUND, Outlets

pytestmark = pytest.mark.live


@pytest.fixture(scope="module", autouse=True)
def loopback(tmp_path_factory):
    configuration = tmp_path_factory.mktemp("lsl") / "lsl_api.cfg"
    configuration.write_text(LOOPBACK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSLAPICFG", str(configuration))
        yield


@pytest.fixture
def name():
    return f"test {uuid.uuid4().hex[:8]}'s"


@pytest.fixture
def outlet():
    with Outlets() as outlets:
        yield outlets


def test_a_session_shows_the_model_what_the_streams_brought(outlet, name, tiny_bundle, tmp_path):
    _, zero = outlet(FEATURES, name=f"{name}-face", channels=FACE.dim, rate=30)
    outlet(FEATURES, name=f"{name}-audio", channels=AUDIO.dim, rate=25)
    engine = Engine(Bundle.load(tiny_bundle))
    session = LiveSession(face=f"lsl:{name}-face", audio=f"lsl:{name}-audio", bundle=tiny_bundle)
    with session:
        start = session._loop.zero
        for estimate in session:
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
def test_a_session_goes_on_when_its_stream_is_killed_and_again_when_it_is_back(outlet, name, tiny_bundle):
    process, _ = outlet(FEATURES, name=name, channels=FACE.dim)
    present = []
    with LiveSession(mic=None, face=f"lsl:{name}", bundle=tiny_bundle) as session:
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


def test_paused_what_comes_is_thrown_away_and_counted(outlet, name, tiny_bundle):
    outlet(FEATURES, name=name, channels=FACE.dim)
    with LiveSession(mic=None, face=f"lsl:{name}", bundle=tiny_bundle) as session:
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


def test_a_session_hears_sound_from_a_stream(outlet, name, tiny_bundle):
    outlet(SOUND, name=name, rate=16_000, channels=1, format="float32")
    levels = {True: [], False: []}
    with LiveSession(None, audio=f"lsl:{name}", bundle=tiny_bundle) as session:
        zero = session._loop.zero
        for estimate in session:
            if (audio := session.observation.values["audio"]) is not None:
                second = (zero + session.observation.time) / SECOND % 1
                if 0.1 < second < 0.4 or 0.6 < second < 0.9:
                    levels[second < 0.5].append(float(audio[AUDIO.index("level")]))
            if estimate.tick == 75:
                break
    assert min(levels[True]) > -10
    assert max(levels[False]) < -60
    assert session.summary()["overflows"] == 0


def test_without_pylsl_it_says_what_to_install(tmp_path):
    (tmp_path / "pylsl.py").write_text("raise ImportError")
    done = subprocess.run(
        [sys.executable, "-m", "enrapt.cli.main", "live", "--face", "lsl:a", "--mic", "none"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
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
    live = ["--bundle", tiny_bundle, "--duration", "1", "--face", f"lsl:{name}", "--mic", "none"]
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

    done = enrapt("live", *live, "--camera", "0")
    assert done.returncode == 2
    assert done.stderr == f"enrapt: the face is of camera 0 or of lsl:{name}: give one of them\n"


def test_what_cannot_be_meant_is_refused_before_anything_opens():
    with pytest.raises(UserError, match="of camera 1 or of lsl:a: give one"):
        LiveSession(1, face="lsl:a")
    with pytest.raises(UserError, match="of microphone USB or of lsl:a: give one"):
        LiveSession(mic="USB", audio="lsl:a")
