"""Streams of real outlets in other processes, instead of a camera and a microphone; on the loopback only."""

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import numpy as np
import pytest

from enrapt.bundle.bundle import Bundle
from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime import LiveSession
from enrapt.realtime.engine.engine import Engine
from enrapt.realtime.engine.estimate import estimate_of
from enrapt.realtime.features.resampling import RATE
from enrapt.realtime.sources.lsl import LslSource
from enrapt.realtime.streams.samples import SECOND
from tests.support.lsl_loopback import LOOPBACK

PAGE = Path(__file__).parents[3] / "docs" / "lsl.md"
# Sample k, stamped k / rate after its first one, is all k, unless it is told otherwise.
FEATURES = """
import json, math, sys, time
import pylsl
do = json.loads(sys.argv[1])
rate = do.get("rate", 30)
strings = do.get("strings", False)
format = pylsl.cf_string if strings else pylsl.cf_double64
info = pylsl.StreamInfo(do["name"], "Features", do["channels"], rate, format, do.get("source", ""))
outlet = pylsl.StreamOutlet(info)
zero = pylsl.local_clock()
print(json.dumps({"zero": zero}), flush=True)
for k in range(100000):
    time.sleep(max(zero + k / rate - pylsl.local_clock(), 0))
    sample = [float(k)] * do["channels"]
    if do.get("nan") and k % 3 == 1:
        sample[5] = math.nan
    if do.get("nan") and k % 3 == 2:
        sample = [math.nan] * do["channels"]
    if do.get("huge"):
        sample[0] = 1e300
    stamp = zero + k / rate
    if do.get("step") and k % 2:
        stamp -= 1.5 / rate
    outlet.push_sample(["a"] * do["channels"] if strings else sample, stamp + do.get("off", 0))
"""
# A tone that begins anew with every second of LSL's clock, and is there in the first half of it.
SOUND = """
import json, sys, time
import numpy as np
import pylsl
do = json.loads(sys.argv[1])
rate, channels, size = do["rate"], do["channels"], do["rate"] // 50
types = {"int16": (pylsl.cf_int16, 32768), "float32": (pylsl.cf_float32, 1)}
format, full = types[do["format"]]
outlet = pylsl.StreamOutlet(pylsl.StreamInfo(do["name"], "Audio", channels, rate, format, do["name"]))
zero = int(pylsl.local_clock())
print(json.dumps({"zero": zero}), flush=True)
first = int((pylsl.local_clock() - zero) * rate)
while True:
    t = np.arange(first, first + size) / rate
    time.sleep(max(zero + t[-1] - pylsl.local_clock(), 0))
    tone = 0.5 * np.sin(2 * np.pi * 500 * t) * (t % 1 < 0.5)
    chunk = np.repeat((tone * full)[:, None], channels, axis=1).astype(do["format"])
    outlet.push_chunk(chunk, zero + t[-1])
    first += size
"""


@pytest.fixture(scope="module", autouse=True)
def loopback(tmp_path_factory):
    """liblsl reads it when it is used first, here and in every process that begins here."""
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
    """Starts one; gives its process, and the LSL time of its first sample."""
    begun = []

    def begin(program, **do):
        process = subprocess.Popen(
            [sys.executable, "-c", program, json.dumps(do)], stdout=subprocess.PIPE, text=True
        )
        begun.append(process)
        assert process.stdout is not None
        return process, json.loads(process.stdout.readline())["zero"]

    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def until(condition, seconds):
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "not within its time"
        time.sleep(0.005)


def taken(source, n):
    """The next ones."""
    got = []
    deadline = time.monotonic() + 10
    while len(got) < n:
        assert time.monotonic() < deadline, f"only {len(got)}"
        if (one := source.take(0.1)) is not None:
            got.append(one)
    return got


def settled(source):
    assert source.counts.waiting == 0
    assert source.counts.captured == source.counts.used + source.counts.dropped.total()
    assert not [t for t in threading.enumerate() if t.name.startswith("enrapt")]


def face(name):
    return LslSource(f"lsl:{name}", "face", time.monotonic_ns)


# LSL's clock and the session's are the same here, so that a sample's time is known to the nanosecond or so.
def test_samples_have_the_times_at_which_they_were_stamped(outlet, name):
    _, zero = outlet(FEATURES, name=name, channels=FACE.dim, rate=100)
    with face(name) as source:
        samples = taken(source, 200)
        assert source.state.name == "open"
        assert source.kind == "features"
        assert source.given == f"face/1 at 100 Hz from {os.uname().nodename}"
        assert source.restarts == 0
    settled(source)
    numbers = [int(sample.values[0]) for sample in samples]
    assert numbers == list(range(numbers[0], numbers[0] + 200))
    for sample in samples:
        assert sample.modality == "face"
        assert sample.values.dtype == np.float32
        assert sample.values.shape == (FACE.dim,)
        stamp = round((zero + int(sample.values[0]) / 100) * SECOND)
        assert abs(sample.originating_time - stamp) < SECOND // 1000
    assert source.take(0.1) is None


@pytest.mark.parametrize("what", ["nan", "huge"])
def test_what_is_not_finite_is_missing(outlet, name, what):
    outlet(FEATURES, name=name, channels=AUDIO.dim, rate=100, **{what: True})
    with LslSource(f"lsl:{name}", "audio", time.monotonic_ns) as source:
        missing = [sample.values is None for sample in taken(source, 60)]
    if what == "huge":
        assert all(missing)
    else:
        first = missing.index(False) % 3
        assert missing == [k % 3 != first for k in range(60)]


def test_times_rise_and_what_steps_back_is_dropped(outlet, name):
    outlet(FEATURES, name=name, channels=FACE.dim, rate=50, step=True)
    with face(name) as source:
        times = [sample.originating_time for sample in taken(source, 50)]
        assert source.counts.dropped["backward"] in range(48, 54)
    assert times == sorted(set(times))
    settled(source)


@pytest.mark.parametrize("off", [1e9, -1000.0])
def test_stamps_of_another_clock_are_dropped_and_told_of_once(outlet, name, off):
    outlet(FEATURES, name=name, channels=FACE.dim, off=off)
    told = []
    with LslSource(f"lsl:{name}", "face", time.monotonic_ns, trouble=told.append) as source:
        until(lambda: source.counts.dropped["wrong_time"] > 20, 5)
        assert source.take(0.1) is None
        assert source.state.name == "lost"
    settled(source)
    (line,) = told
    assert f"{off:+.0f} s from now" in line
    assert "local_clock" in line


def test_a_stream_that_was_killed_is_found_again_also_as_another_source(outlet, name):
    process, _ = outlet(FEATURES, name=name, channels=FACE.dim, source="one")
    with face(name) as source:
        taken(source, 10)
        process.kill()
        began = time.monotonic()
        until(lambda: source.state.name == "lost", 2)
        assert time.monotonic() - began < 2 * FACE.max_age + 0.3
        while (last := source.take(0)) is not None:
            assert last.originating_time <= source.state.since
        _, zero = outlet(FEATURES, name=name, channels=FACE.dim, source="two")
        sample = taken(source, 30)[-1]
        stamp = zero + int(sample.values[0]) / 30
        assert abs(sample.originating_time - stamp * SECOND) < SECOND // 1000
        assert source.state.name == "open"
        assert source.restarts >= 1
    settled(source)


@pytest.mark.long
def test_a_stream_that_is_silent_is_lost_until_it_goes_on(outlet, name):
    process, _ = outlet(FEATURES, name=name, channels=FACE.dim)
    with face(name) as source:
        taken(source, 10)
        process.send_signal(signal.SIGSTOP)
        until(lambda: source.state.name == "lost", 2 * FACE.max_age + 0.5)
        time.sleep(4)  # it is looked for, in vain
        while source.take(0) is not None:
            pass
        process.send_signal(signal.SIGCONT)
        taken(source, 10)
        until(lambda: source.state.name == "open", 5)
    settled(source)


def test_nobody_takes(outlet, name, monkeypatch):
    monkeypatch.setattr("enrapt.realtime.sources.lsl.WAITING", 10)
    outlet(FEATURES, name=name, channels=FACE.dim, rate=100)
    with face(name) as source:
        until(lambda: source.counts.dropped["full"] > 50, 5)
        numbers = [int(sample.values[0]) for sample in taken(source, 10)]
    assert numbers == list(range(numbers[0], numbers[0] + 10))
    settled(source)


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


@pytest.mark.parametrize(("rate", "channels", "format"), [(44_100, 2, "int16"), (16_000, 1, "float32")])
def test_sound_has_its_pitch_and_its_time(outlet, name, rate, channels, format):
    _, zero = outlet(SOUND, name=name, rate=rate, channels=channels, format=format)
    kept = []
    with LslSource(f"lsl:{name}", "audio", time.monotonic_ns, keep=kept.append) as source:
        assert source.kind == "sound"
        assert source.given.startswith(f"sound at {rate} Hz from ")
        sounds = []
        while sum(sound.samples.size for sound in sounds) < 3 * RATE:
            sounds += taken(source, 1)
        assert source.overflows == 0
    settled(source)
    assert [sound.originating_time for sound in kept[: len(sounds)]] == [s.originating_time for s in sounds]
    samples = np.concatenate([sound.samples for sound in sounds])
    for before, after in itertools.pairwise(sounds):
        assert after.originating_time - before.originating_time == before.samples.size * SECOND // RATE
    times = sounds[0].originating_time / SECOND - zero + np.arange(samples.size) / RATE
    tone = samples[(times > np.ceil(times[0]) + 0.1) & (times < np.ceil(times[0]) + 0.4)]
    assert tone.std() == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    spectrum = np.abs(np.fft.rfft(tone * np.hanning(tone.size)))
    assert spectrum.argmax() * RATE / tone.size == pytest.approx(500, abs=RATE / tone.size)
    loud = times[np.abs(samples) > 0.02]
    onsets = loud[1:][np.diff(loud) > 0.4] % 1
    assert len(onsets) >= 2
    assert np.abs((onsets + 0.5) % 1 - 0.5).max() < 0.002


def test_sound_that_was_killed_comes_back_at_its_time(outlet, name):
    process, _ = outlet(SOUND, name=name, rate=16_000, channels=1, format="float32")
    with LslSource(f"lsl:{name}", "audio", time.monotonic_ns) as source:
        before = taken(source, 20)[-1]
        process.kill()
        until(lambda: source.state.name == "lost", 2)
        while source.take(0) is not None:
            pass
        time.sleep(0.5)
        _, zero = outlet(SOUND, name=name, rate=16_000, channels=1, format="float32")
        times, samples = [], []
        while len(times) < 2.5 * RATE:
            (sound,) = taken(source, 1)
            assert sound.originating_time > before.originating_time + SECOND // 2
            times.extend(sound.originating_time / SECOND - zero + np.arange(sound.samples.size) / RATE)
            samples.extend(sound.samples)
        assert source.overflows == 0
    settled(source)
    loud = np.array(times)[np.abs(samples) > 0.02]
    onsets = loud[1:][np.diff(loud) > 0.4] % 1
    assert len(onsets) >= 2
    assert np.abs((onsets + 0.5) % 1 - 0.5).max() < 0.002


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


def test_what_does_not_fit_is_told_in_one_line(outlet, name):
    def refused(name, modality="face"):
        with pytest.raises(UserError) as caught, LslSource(f"lsl:{name}", modality, time.monotonic_ns):
            pass
        assert "\n" not in str(caught.value)
        return str(caught.value)

    outlet(FEATURES, name=f"{name}-8", channels=8, rate=250)
    assert f"lsl:{name}-8: has 8 channels at 250 Hz; as face give 57 channels" in refused(f"{name}-8")
    assert "44 channels of numbers (audio/1), or sound: 1 or 2" in refused(f"{name}-8", "audio")
    outlet(FEATURES, name=f"{name}-w", channels=57, strings=True)
    assert "has 57 channels of strings at 30 Hz" in refused(f"{name}-w")
    outlet(FEATURES, name=f"{name}-1", channels=1, rate=100)
    assert "at 8000 Hz or more" in refused(f"{name}-1", "audio")
    began = time.monotonic()
    none = refused(f"{name}-nobody")
    assert time.monotonic() - began < 6
    assert "there is no such stream" in none
    assert f"{name}-8 (8 channels at 250 Hz)" in none


def test_what_cannot_be_meant_is_refused_before_anything_opens():
    with pytest.raises(UserError, match="of camera 1 or of lsl:a: give one"):
        LiveSession(1, face="lsl:a")
    with pytest.raises(UserError, match="of microphone USB or of lsl:a: give one"):
        LiveSession(mic="USB", audio="lsl:a")
    for address in ("lsl:", "a", "lsl", "rtsp://a", ""):
        with pytest.raises(UserError, match="give lsl:NAME"):
            LslSource(address, "face", time.monotonic_ns)


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


def test_the_pages_example_is_a_face(name):
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    with subprocess.Popen([sys.executable, "-c", program.replace("tracker", name)]) as process:
        try:
            with face(name) as source:
                sample = taken(source, 20)[-1]
                assert 0.02 < (time.monotonic_ns() - sample.originating_time) / SECOND < 0.15
        finally:
            process.kill()
    assert sample.values[FACE.index("mouthSmileLeft")] == np.float32(0.8)
    assert np.count_nonzero(sample.values) == 1


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
