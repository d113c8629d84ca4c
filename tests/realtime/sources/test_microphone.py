"""The microphone with PulseAudio, ALSA and PortAudio."""

import gc
import itertools
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from enrapt.contracts.schemas import AUDIO
from enrapt.realtime.features.resampling import RATE
from enrapt.realtime.run import Run
from enrapt.realtime.sources.live import LiveSource
from enrapt.realtime.sources.microphone import MicrophoneAudio
from enrapt.realtime.streams.samples import SECOND
from tests.support.inlet import until
from tests.support.microphone import Microphone, frequency, joined, processes, refusal
from tests.support.pulse import MICROPHONE, Pulse

pytestmark = pytest.mark.live

LEVEL = AUDIO.index("level")


def test_a_tone_becomes_samples_of_features(pulse: Pulse) -> None:
    pulse.play(440, 10)
    time.sleep(0.5)
    with Microphone(MICROPHONE) as microphone:
        inlet = microphone.inlet
        assert not microphone.lost
        assert microphone.device.source == MICROPHONE
        assert microphone.device.format == "16000 Hz, 2 channels"
        (process,) = processes()
        process.send_signal(signal.SIGINT)  # as Ctrl-C does to all processes of a terminal
        sounds = microphone.heard(2.5)
        late = inlet.clock() - sounds[-1].originating_time
        assert process.is_running()
    assert -SECOND // 50 < late < SECOND  # its clock is an estimate, good to 20 ms
    samples = joined(sounds[-150:])  # of what comes first the times are less certain, and corrected
    assert frequency(samples[-RATE:]) == pytest.approx(440, abs=1)
    assert np.sqrt(np.mean(np.square(samples[-RATE:]))) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    times = [sound.originating_time for sound in sounds]
    assert times == sorted(set(times))
    assert microphone.device.restarts == microphone.device.overflows == 0
    assert not inlet.dropped
    features = inlet.samples[-25:]
    assert {after.time - before.time for before, after in itertools.pairwise(features)} == {SECOND // 25}
    assert {sample.reached - sample.time for sample in features} == {39 * SECOND // 1000}
    assert features[-1].values[LEVEL] == pytest.approx(-9, abs=0.2)  # dBFS
    assert max(sample.extract_ms for sample in features) < 20
    (nearest,) = [
        sound for sound in sounds if 0 <= features[-1].time - sound.originating_time < SECOND // 100
    ]
    assert features[-1].time - nearest.originating_time <= nearest.samples.size * SECOND // RATE


def test_the_default_is_opened_without_a_name(pulse: Pulse) -> None:
    with Microphone() as microphone:
        assert microphone.device.source == "default"
        assert microphone.heard(0.2)


def test_an_unknown_name_lists_those_there_are(pulse: Pulse) -> None:
    assert refusal("Studio") == f"microphone “Studio”: no such device; there are “{MICROPHONE}”, “default”"


def unplugged(pulse: Pulse, microphone: Microphone, how: str, away: float) -> None:
    """Take the device away and bring it back."""
    microphone.heard(0.2)
    {"kill": pulse.kill, "stop": pulse.stop}[how]()
    until(lambda: microphone.lost, 1.0)
    time.sleep(away)
    assert microphone.lost
    samples = len(microphone.inlet.samples)
    {"kill": pulse.start, "stop": pulse.resume}[how]()
    back = microphone.inlet.clock()
    until(lambda: not microphone.lost, 3.0)
    assert microphone.heard(0.1)[-1].originating_time > back - SECOND // 2
    until(lambda: len(microphone.inlet.samples) > samples, 1)
    assert microphone.inlet.samples[samples].time > back - SECOND // 2


def test_unplugged_and_back(pulse: Pulse) -> None:
    with Microphone(MICROPHONE) as microphone:
        for how, away in [("kill", 0.1), ("stop", 0.8)]:
            unplugged(pulse, microphone, how, away)
        assert microphone.device.restarts >= 2


@pytest.mark.long
def test_unplugged_twenty_times_leaves_nothing_behind(pulse: Pulse) -> None:
    rng = np.random.default_rng(0)
    this = psutil.Process()
    used = []
    with Microphone(MICROPHONE) as microphone:
        for k in range(20):
            unplugged(pulse, microphone, ["kill", "stop"][k % 2], float(rng.uniform(0, 6)))
            microphone.sounds.clear()
            microphone.inlet.samples.clear()
            gc.collect()
            mine = processes()
            assert len(mine) == 1
            used.append(
                (this.num_threads(), this.num_fds(), this.memory_info().rss, mine[0].memory_info().rss)
            )
    threads, fds, memory, child = zip(*used, strict=True)
    assert len(set(threads[1:])) == 1
    assert len(set(fds[1:])) == 1
    assert memory[-1] - memory[2] < 2 << 20
    assert max(child) - min(child) < 2 << 20


def test_why_sound_is_missing(pulse: Pulse, tiny_bundle: Path) -> None:
    missing = []
    with Run(LiveSource([MicrophoneAudio(MICROPHONE)]), tiny_bundle) as run:
        for estimate in run:
            if estimate.tick == 80:
                missing.append(dict(run.missing))
                pulse.stop()
            if estimate.tick == 260:
                missing.append(dict(run.missing))
                break
    pulse.resume()
    assert missing == [
        {"audio": "the sound is digital silence; unmute the microphone, or choose another"},
        {"audio": "the microphone gives no sound; unplug it and plug it in again"},
    ]
