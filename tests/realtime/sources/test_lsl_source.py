"""Streams of real outlets in other processes; on the loopback only."""

import itertools
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.features.resampling import RATE
from enrapt.realtime.sources.lsl import LslStream
from enrapt.realtime.streams.samples import SECOND
from tests.support.inlet import FakeInlet, until
from tests.support.lsl_loopback import FEATURES, SOUND

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("loopback")]

PAGE = Path(__file__).parents[3] / "docs" / "lsl.md"


class Opened:
    """A context manager: a stream, its inlet, and the sound that it keeps."""

    def __init__(self, name, inlet):
        self.device, self.inlet, self.sounds = LslStream(f"lsl:{name}", "modality"), inlet, []
        self.device.keep = self.sounds.append

    def __enter__(self):
        self.device.open(self.inlet)
        return self

    def __exit__(self, *_):
        self.device.close()
        captured = self.inlet.captured
        time.sleep(0.05)
        assert self.inlet.captured == captured  # nothing comes after it
        assert not self.inlet.errors
        assert not [t for t in threading.enumerate() if t.name.startswith("enrapt")]

    def heard(self, seconds):
        """All sound from now on until it is so much."""
        first = len(self.sounds)
        enough = seconds * RATE
        until(lambda: sum(sound.samples.size for sound in self.sounds[first:]) >= enough, seconds + 8)
        return self.sounds[first:]


def face(name, **options):
    return Opened(name, FakeInlet(FACE.dim, FACE.name, **options))


def audio(name):
    return Opened(name, FakeInlet(AUDIO.dim, AUDIO.name, max_age=AUDIO.max_age))


# LSL's clock and the session's differ by a constant here, so that a sample's time is known to the nanosecond
# or so.
def test_samples_have_the_times_at_which_they_were_stamped(outlet, name):
    _, zero = outlet(FEATURES, name=name, channels=FACE.dim, rate=100)
    with face(name) as stream:
        samples = stream.inlet.wait(200)
        assert not stream.device.lost
        assert stream.device.kind == "features"
        assert stream.device.format == f"face/1 at 100 Hz from {os.uname().nodename}"
        assert stream.device.restarts == 0
    assert not stream.inlet.dropped
    numbers = [int(sample.values[0]) for sample in samples]
    assert numbers == list(range(numbers[0], numbers[0] + 200))
    for sample in samples:
        assert sample.values.dtype == np.float32
        assert sample.values.shape == (FACE.dim,)
        stamp = round((zero + int(sample.values[0]) / 100) * SECOND) + stream.inlet.shift
        assert abs(sample.time - stamp) < SECOND // 1000
    assert all(0 < sample.reached - sample.time < SECOND // 100 for sample in samples[40:])
    assert np.median([sample.arrived - sample.time for sample in samples]) < SECOND // 100


@pytest.mark.parametrize("schema", [None, "gaze/2"])
def test_features_of_any_modality(outlet, name, schema):
    outlet(FEATURES, name=name, channels=3, rate=100)
    with Opened(name, FakeInlet(3, schema)) as stream:
        (sample,) = stream.inlet.wait(1)
        assert sample.values.shape == (3,)
        assert stream.device.format == f"{schema or '3 numbers'} at 100 Hz from {os.uname().nodename}"


@pytest.mark.parametrize("what", ["nan", "huge"])
def test_values_that_are_not_finite_are_missing(outlet, name, what):
    outlet(FEATURES, name=name, channels=AUDIO.dim, rate=100, **{what: True})
    with audio(name) as stream:
        missing = [sample.values is None for sample in stream.inlet.wait(60)]
    if what == "huge":
        assert all(missing)
    else:
        first = missing.index(False) % 3
        assert missing == [k % 3 != first for k in range(60)]


def test_times_rise_and_samples_that_step_back_are_dropped(outlet, name):
    outlet(FEATURES, name=name, channels=FACE.dim, rate=50, step=True)
    with face(name) as stream:
        stream.inlet.wait(50)
    times = [sample.time for sample in stream.inlet.samples]
    assert times == sorted(set(times))
    assert stream.inlet.dropped == {"backward": pytest.approx(len(times), abs=3)}


@pytest.mark.parametrize("back", [2.0, 1e5])
def test_features_go_on_when_their_clock_starts_again(outlet, name, back):
    outlet(FEATURES, name=name, channels=FACE.dim, rate=50, restart=[2, back])
    with face(name) as stream:
        until(lambda: stream.inlet.dropped["backward"], 5)
        stream.inlet.wait(60)
        assert not stream.device.lost
    assert stream.inlet.dropped == {"backward": pytest.approx(1, abs=1)}
    numbers = [int(sample.values[0]) for sample in stream.inlet.samples]
    assert len(numbers) + stream.inlet.dropped["backward"] == numbers[-1] - numbers[0] + 1
    assert min(steps := np.diff([sample.time for sample in stream.inlet.samples])) > 0
    assert max(steps) < SECOND // 8
    (line,) = stream.inlet.warnings
    assert f"stepped back by {back:.1f} s" in line


def test_sound_goes_on_when_its_clock_starts_again(outlet, name):
    outlet(SOUND, name=name, rate=16_000, channels=1, format="float32", restart=[2, 5])
    with audio(name) as stream:
        sounds = stream.heard(5)
        assert stream.device.overflows == 0
    assert set(stream.inlet.dropped) <= {"backward", "overlap"}
    assert stream.inlet.dropped.total() <= 2
    times = [sound.originating_time for sound in sounds]
    ends = [sound.originating_time + sound.samples.size * SECOND // RATE for sound in sounds]
    assert all(0 <= at - end < SECOND // 8 for at, end in zip(times[1:], ends, strict=False))


@pytest.mark.parametrize("off", [1e9, -1000.0])
def test_stamps_of_another_clock_are_dropped_with_one_warning(outlet, name, off):
    outlet(FEATURES, name=name, channels=FACE.dim, off=off)
    with face(name) as stream:
        until(lambda: stream.inlet.dropped["wrong_time"] > 20, 5)
        assert not stream.inlet.samples
        assert stream.device.lost
    (line,) = stream.inlet.warnings
    assert f"{off:+.0f} s from now" in line
    assert "local_clock" in line


def test_unwanted_samples_are_counted(outlet, name):
    outlet(FEATURES, name=name, channels=FACE.dim, rate=100)
    with face(name, unwanted="paused") as stream:
        until(lambda: stream.inlet.captured > 20, 5)
        assert not stream.device.lost
        assert stream.inlet.dropped == {"paused": stream.inlet.captured}
        stream.inlet.unwanted = None
        stream.inlet.wait(5)


def test_a_stream_that_was_killed_is_found_again_also_as_another_source(outlet, name):
    process, _ = outlet(FEATURES, name=name, channels=FACE.dim, source="one")
    with face(name, max_age=FACE.max_age) as stream:
        device, inlet = stream.device, stream.inlet
        inlet.wait(10)
        process.kill()
        assert until(lambda: device.lost, 2) < 2 * FACE.max_age + 0.3
        _, zero = outlet(FEATURES, name=name, channels=FACE.dim, source="two")
        sample = inlet.wait(30)[-1]
        stamp = (zero + int(sample.values[0]) / 30) * SECOND + inlet.shift
        assert abs(sample.time - stamp) < SECOND // 1000
        assert not device.lost
        assert device.restarts >= 1


def test_it_is_lost_after_twice_the_time_for_which_the_bundle_holds_a_sample(outlet, name):
    process, _ = outlet(FEATURES, name=name, channels=FACE.dim)
    with face(name, max_age=0.6) as stream:
        stream.inlet.wait(10)
        process.send_signal(signal.SIGSTOP)
        assert 1.0 < until(lambda: stream.device.lost, 2) < 1.4
        process.send_signal(signal.SIGCONT)
        until(lambda: not stream.device.lost, 2)


@pytest.mark.long
def test_a_stream_that_is_silent_is_lost_until_it_continues(outlet, name):
    process, _ = outlet(FEATURES, name=name, channels=FACE.dim)
    with face(name, max_age=FACE.max_age) as stream:
        stream.inlet.wait(10)
        process.send_signal(signal.SIGSTOP)
        until(lambda: stream.device.lost, 2 * FACE.max_age + 0.5)
        time.sleep(4)  # it is looked for, in vain
        process.send_signal(signal.SIGCONT)
        stream.inlet.wait(10)
        until(lambda: not stream.device.lost, 5)


@pytest.mark.parametrize(("rate", "channels", "format"), [(44_100, 2, "int16"), (16_000, 1, "float32")])
def test_sound_has_its_pitch_and_its_time(outlet, name, rate, channels, format):
    _, zero = outlet(SOUND, name=name, rate=rate, channels=channels, format=format)
    with audio(name) as stream:
        assert stream.device.kind == "sound"
        assert stream.device.format.startswith(f"sound at {rate} Hz from ")
        sounds = stream.heard(3)
        assert stream.device.overflows == 0
        shift = stream.inlet.shift
    samples = np.concatenate([sound.samples for sound in sounds])
    for before, after in itertools.pairwise(sounds):
        assert after.originating_time - before.originating_time == before.samples.size * SECOND // RATE
    times = (sounds[0].originating_time - shift) / SECOND - zero + np.arange(samples.size) / RATE
    tone = samples[(times > np.ceil(times[0]) + 0.1) & (times < np.ceil(times[0]) + 0.4)]
    assert tone.std() == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    spectrum = np.abs(np.fft.rfft(tone * np.hanning(tone.size)))
    assert spectrum.argmax() * RATE / tone.size == pytest.approx(500, abs=RATE / tone.size)
    assert_onsets(times, samples)
    levels = {True: [], False: []}
    for sample in stream.inlet.samples[10:]:
        second = ((sample.time - shift) / SECOND - zero) % 1
        if 0.1 < second < 0.4 or 0.6 < second < 0.9:
            levels[second < 0.5].append(float(sample.values[AUDIO.index("level")]))
    assert min(levels[True]) > -10
    assert max(levels[False]) < -60


def assert_onsets(times, samples):
    """The tone begins with every second."""
    loud = times[np.abs(samples) > 0.02]
    onsets = loud[1:][np.diff(loud) > 0.4] % 1
    assert len(onsets) >= 2
    assert np.abs((onsets + 0.5) % 1 - 0.5).max() < 0.002


def test_sound_that_was_killed_comes_back_at_its_time(outlet, name):
    process, _ = outlet(SOUND, name=name, rate=16_000, channels=1, format="float32")
    with audio(name) as stream:
        before = stream.heard(0.4)[-1]
        process.kill()
        until(lambda: stream.device.lost, 2)
        first = len(stream.sounds)
        time.sleep(0.5)
        _, zero = outlet(SOUND, name=name, rate=16_000, channels=1, format="float32")
        stream.heard(2.5)
        held_back, *sounds = stream.sounds[first:]
        assert held_back.samples.size < RATE // 100
        assert sounds[0].originating_time > before.originating_time + SECOND // 2
        assert stream.device.overflows == 0
        start = zero * SECOND + stream.inlet.shift
    times = [
        (sound.originating_time - start) / SECOND + np.arange(sound.samples.size) / RATE for sound in sounds
    ]
    assert_onsets(np.concatenate(times), np.concatenate([sound.samples for sound in sounds]))


def test_a_stream_that_does_not_fit_is_refused_in_one_line(outlet, name, monkeypatch):
    monkeypatch.setattr("enrapt.realtime.sources.lsl.FINDING", 1)

    def refused(name, dim=FACE.dim, schema=FACE.name):
        with pytest.raises(UserError) as caught, Opened(name, FakeInlet(dim, schema)):
            pass
        assert "\n" not in str(caught.value)
        return str(caught.value)

    outlet(FEATURES, name=f"{name}-8", channels=8, rate=250)
    needs = "modality needs 57 channels of numbers (face/1)"
    assert refused(f"{name}-8") == f"lsl:{name}-8: has 8 channels at 250 Hz; {needs}"
    assert "44 channels of numbers (audio/1), or sound: 1 or 2" in refused(f"{name}-8", 44, "audio/1")
    outlet(FEATURES, name=f"{name}-w", channels=57, strings=True)
    assert "has 57 channels of strings at 30 Hz" in refused(f"{name}-w")
    outlet(FEATURES, name=f"{name}-1", channels=1, rate=100)
    assert "at 8000 to 1000000 Hz" in refused(f"{name}-1", 44, "audio/1")
    began = time.monotonic()
    none = refused(f"{name}-nobody")
    assert time.monotonic() - began < 3
    assert "no such stream" in none
    assert f"{name}-8 (8 channels at 250 Hz)" in none


def test_addresses_that_name_no_stream():
    for address in ("lsl:", "a", "lsl", "rtsp://a", ""):
        with pytest.raises(UserError, match="give lsl:NAME"):
            LslStream(address, "face")


def test_the_pages_example_is_a_face(name):
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    with subprocess.Popen([sys.executable, "-c", program.replace("tracker", name)]) as process:
        try:
            with face(name) as stream:
                sample = stream.inlet.wait(20)[-1]
                assert 0.02 < (sample.arrived - sample.time) / SECOND < 0.15
        finally:
            process.kill()
    assert sample.values[FACE.index("mouthSmileLeft")] == np.float32(0.8)
    assert np.count_nonzero(sample.values) == 1
