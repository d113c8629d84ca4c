"""The microphone with PulseAudio, ALSA and PortAudio, and with a fake driver for what those never do."""

import gc
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import psutil
import pytest

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO
from enrapt.realtime.features.audio import AudioFeatures
from enrapt.realtime.features.resampling import RATE
from enrapt.realtime.sources import microphone as module
from enrapt.realtime.sources.device import DeviceState
from enrapt.realtime.sources.microphone import MicrophoneAudio
from enrapt.realtime.sources.microphone_process import HEADER, diagnose_none
from enrapt.realtime.streams.samples import SECOND, Sample, Sound
from tests.support.inlet import FakeInlet, until
from tests.support.pulse import MICROPHONE, Pulse, missing

# Stands for the package `sounddevice` in the process: what it does is in the environment.
DRIVER = """
import json, os, threading, time, types
print("noise"); os.write(1, b"noise"); os.write(2, b"noise")
do = json.loads(os.environ["DRIVER"])
if "absent" in do:
    raise OSError("PortAudio library not found")
if "hang" in do:
    time.sleep(60)

class PortAudioError(Exception):
    pass

names = do.get("names", ["Inner microphone", "USB headset", "usb"])
default = types.SimpleNamespace(device=[do.get("default", 0), -1])

def query_devices():
    speaker = {"name": "speaker", "index": 77, "max_input_channels": 0, "default_samplerate": 48000.0}
    return [speaker] + [
        {"name": n, "index": i, "max_input_channels": do.get("channels", 1), "default_samplerate": 44100.0}
        for i, n in enumerate(names)
    ]

class RawInputStream:
    def __init__(self, device, samplerate, channels, dtype, blocksize, callback, finished_callback):
        os.write(2, b"noise")
        if "refuse" in do:
            raise PortAudioError(do["refuse"])
        if samplerate not in do.get("rates", [16000]) or channels not in do.get("offered", [1]):
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")
        self.samplerate, self.channels, self.size = float(samplerate), channels, blocksize
        self.callback, self.finished = callback, finished_callback
    def start(self):
        threading.Thread(target=self.run, daemon=True).start()
    def run(self):
        import array, math
        start, wall = time.perf_counter(), 1e9
        for k in range(do.get("blocks", 10**9)):
            due = start + (k + 1) * self.size / self.samplerate
            time.sleep(max(0, due - time.perf_counter()))
            if k == do.get("step_at"):
                wall += 3600  # the wall clock, on which ALSA's times are
            data = array.array("f")
            for i in range(k * self.size, (k + 1) * self.size):
                tone = math.sin(2 * math.pi * 500 * i / self.samplerate)
                data.extend(tone * (c == 0) for c in range(self.channels))
            times = types.SimpleNamespace(currentTime=wall + time.perf_counter())
            times.inputBufferAdcTime = times.currentTime - self.size / self.samplerate
            overflow = k in do.get("overflows", [])
            self.callback(data, self.size, times, types.SimpleNamespace(input_overflow=overflow))
        if "silent" not in do:
            self.finished()
"""

Driver = Callable[..., None]
LEVEL = AUDIO.index("level")
ROOT = Path(__file__).parents[3]
PROGRAM = """
import time
from enrapt.realtime.sources.microphone import MicrophoneAudio
from tests.support.inlet import FakeInlet
device, inlet = MicrophoneAudio("usb"), FakeInlet(44, "audio/1")
device.open(inlet)
"""


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    (tmp_path / "sounddevice.py").write_text(DRIVER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    def does(**what: object) -> None:
        monkeypatch.setenv("DRIVER", json.dumps(what))

    does()
    return does


@pytest.fixture
def pulse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulse]:
    if (why := missing()) is not None:
        pytest.skip(why)
    with Pulse(tmp_path) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


class Microphone:
    """A context manager: the device, its inlet and the sound that it keeps."""

    def __init__(self, name: str | None = None, unwanted: str | None = None) -> None:
        self.device = MicrophoneAudio(name)
        self.inlet = FakeInlet(AUDIO.dim, AUDIO.name, max_age=0.1, unwanted=unwanted)
        self.sounds: list[Sound] = []
        self.device.keep = self.sounds.append

    def __enter__(self) -> Self:
        self.device.open(self.inlet)
        return self

    def __exit__(self, *_: object) -> None:
        self.device.close()
        assert not processes()
        captured, sounds = self.inlet.captured, len(self.sounds)
        time.sleep(0.05)
        assert (self.inlet.captured, len(self.sounds)) == (captured, sounds)  # nothing comes after it
        assert not self.inlet.errors

    @property
    def state(self) -> DeviceState:
        return self.device.state

    def heard(self, seconds: float) -> list[Sound]:
        """All that comes from now on until it is so much sound."""
        first = len(self.sounds)
        enough = seconds * RATE
        until(lambda: sum(sound.samples.size for sound in self.sounds[first:]) >= enough, seconds + 5)
        return self.sounds[first:]


def joined(sounds: list[Sound]) -> np.ndarray:
    """One stretch, whose pieces follow each other exactly."""
    time = sounds[0].originating_time
    for sound in sounds:
        assert sound.originating_time == time
        time += sound.samples.size * SECOND // RATE
    return np.concatenate([sound.samples for sound in sounds])


def frequency(samples: np.ndarray) -> float:
    """Of the strongest tone, Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(spectrum.argmax() * RATE / samples.size)


def refusal(name: str | None = None) -> str:
    with pytest.raises(UserError) as error, Microphone(name):
        pass
    assert "\n" not in str(error.value)
    return str(error.value)


def processes() -> list[psutil.Process]:
    """Those that this one has started for microphones."""
    return [
        p for p in psutil.Process().children() if "enrapt.realtime.sources.microphone_process" in p.cmdline()
    ]


def test_a_tone_becomes_samples_of_features(pulse: Pulse) -> None:
    pulse.play(440, 10)
    time.sleep(0.5)
    with Microphone(MICROPHONE) as microphone:
        inlet = microphone.inlet
        assert microphone.state.name == "open"
        assert 0 <= inlet.clock() - microphone.state.since < SECOND
        assert microphone.device.source == MICROPHONE
        assert microphone.device.format == "16000 Hz, 1 channel"
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
    until(lambda: microphone.state.name == "lost", 1.0)
    since, clock = microphone.state.since, microphone.inlet.clock
    assert 0 < clock() - since < 1.2 * SECOND
    time.sleep(away)
    assert microphone.state.name == "lost"
    assert microphone.state.since == since
    samples = len(microphone.inlet.samples)
    {"kill": pulse.start, "stop": pulse.resume}[how]()
    back = clock()
    until(lambda: microphone.state.name == "open", 3.0)
    assert microphone.heard(0.1)[-1].originating_time > back - SECOND // 2
    until(lambda: len(microphone.inlet.samples) > samples, 1)
    assert microphone.inlet.samples[samples].time > back - SECOND // 2


def test_unplugged_five_times(pulse: Pulse) -> None:
    with Microphone(MICROPHONE) as microphone:
        for how, away in [("kill", 0.1), ("stop", 0.1), ("kill", 1.3), ("stop", 0.8), ("kill", 0.4)]:
            unplugged(pulse, microphone, how, away)
        assert microphone.device.restarts >= 5


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


def test_one_thread_delivers_and_another_watches(driver: Driver) -> None:
    before = {*threading.enumerate()}
    with Microphone():
        names = {thread.name for thread in {*threading.enumerate()} - before}
    assert names == {"enrapt microphone", "enrapt microphone watch"}


def test_opening_and_closing_again_leaves_nothing_behind(driver: Driver) -> None:
    this = psutil.Process()
    before = this.num_threads(), this.num_fds()
    for _ in range(3):
        with Microphone("usb") as microphone:
            microphone.heard(0.05)
    until(lambda: (this.num_threads(), this.num_fds()) == before, 1.0)  # the system's count lags a little


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_process_ends_with_its_parent(driver: Driver, end: signal.Signals) -> None:
    program = PROGRAM + "print('open', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"open\n"
        (process,) = psutil.Process(parent.pid).children()
        parent.send_signal(end)
        parent.wait()
        until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 2.0)


def test_nothing_reaches_the_terminal(driver: Driver) -> None:
    program = PROGRAM + "print(len(inlet.wait(2))); device.close()"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_the_process_is_light() -> None:
    program = (
        "import sys, enrapt.realtime.sources.microphone_process\n"
        "print({'numpy', 'sounddevice'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("usb", "usb"),
        ("USB Headset", "USB headset"),
        ("headset", "USB headset"),
        ("INNER", "Inner microphone"),
    ],
)
def test_a_whole_name_wins_over_a_part_of_one(driver: Driver, name: str, found: str) -> None:
    with Microphone(name) as microphone:
        assert microphone.device.source == found


def test_the_systems_default(driver: Driver) -> None:
    driver(default=1)
    with Microphone() as microphone:
        assert microphone.device.source == "USB headset"


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ({"absent": 1}, "PortAudio is not installed; on Debian or Ubuntu: sudo apt install libportaudio2"),
        ({"names": []}, "none found"),
        (
            {"refuse": "Device unavailable\n [PaErrorCode -9985]"},
            "opened (Device unavailable [PaErrorCode -9985])",
        ),
        ({"rates": [8000]}, "cannot be opened (Invalid sample rate"),
        ({"blocks": 0}, "gives no sound"),
    ],
)
def test_every_error_is_one_line(driver: Driver, does: dict[str, object], says: str) -> None:
    driver(**does)
    assert says in refusal()
    assert not processes()


def test_an_unknown_name_without_portaudio_in_the_way(driver: Driver) -> None:
    there = "“Inner microphone”, “USB headset”, “usb”"
    assert refusal("Studio") == f"microphone “Studio”: no such device; there are {there}"


@pytest.mark.parametrize(("does", "limit"), [({"hang": 1}, "OPENING"), ({"blocks": 0, "silent": 1}, "FIRST")])
def test_a_driver_that_hangs_is_not_waited_for(
    driver: Driver, does: dict[str, object], limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, limit, 0.7)
    driver(**does)
    began = time.monotonic()
    refusal()
    assert time.monotonic() - began < 2
    assert not processes()


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ALSA shows no card where it may open none. Root may open all: so the system is asked by a stand-in."""
    assert "none found" in diagnose_none(tmp_path)
    (tmp_path / "pcmC0D0c").touch()
    assert "none found" in diagnose_none(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "permission denied" in diagnose_none(tmp_path)
    assert "usermod -aG audio" in diagnose_none(tmp_path)


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (16_000, 4)])
def test_a_device_with_other_rates_and_channels(driver: Driver, rate: int, channels: int) -> None:
    driver(rates=[rate], channels=channels, offered=[channels])
    with Microphone() as microphone:
        assert microphone.device.format == f"{rate} Hz, {channels} channel{'s' * (channels > 1)}"
        sounds = microphone.heard(1)
    samples = joined(sounds)[-RATE // 2 :]
    assert frequency(samples) == pytest.approx(500, abs=2)
    assert np.sqrt(np.mean(np.square(samples))) == pytest.approx(np.sqrt(0.5) / channels, rel=0.02)


def test_a_step_of_the_wall_clock_changes_nothing(driver: Driver) -> None:
    driver(step_at=40)
    with Microphone() as microphone:
        sounds = microphone.heard(1)
        late = microphone.inlet.clock() - sounds[-1].originating_time
    joined(sounds)
    assert -SECOND // 50 < late < SECOND // 2
    assert not microphone.inlet.dropped


def test_overflows_are_counted(driver: Driver) -> None:
    driver(overflows=[20, 50])
    with Microphone() as microphone:
        until(lambda: microphone.device.overflows == 2, 2)
        assert microphone.device.restarts == 0


def test_a_slow_extraction_loses_neither_sound_nor_the_device(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Microphone() as microphone:
        microphone.heard(0.2)
        push, slow = AudioFeatures.push, threading.Event()

        def slowly(self: AudioFeatures, sound: Sound) -> list[Sample]:
            if not slow.is_set():
                slow.set()
                time.sleep(1.0)
            return push(self, sound)

        monkeypatch.setattr(AudioFeatures, "push", slowly)
        slow.wait(1)
        joined(microphone.heard(1.2))
        assert microphone.state.name == "open"
        assert microphone.device.restarts == microphone.device.overflows == 0


def test_the_process_drops_the_oldest_blocks_when_nobody_reads(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reader sees one jump of the index, and the newest blocks after it."""
    program = (
        "from enrapt.realtime.sources import microphone_process\n"
        "microphone_process._WAITING = 20; microphone_process.main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"name": null}\n')
        process.stdin.flush()
        time.sleep(2.5)  # a pipe of 64 KB holds 1 s
        process.stdout.readline()
        indices = []
        for _ in range(160):
            index, _, _, n, lost = HEADER.unpack(process.stdout.read(HEADER.size))
            process.stdout.read(4 * n)
            assert not lost
            indices.append(index)
        process.kill()
    steps = np.diff(indices)
    assert set(steps[steps > 160]) == {steps.max()}  # one gap
    assert steps.max() > 20 * 160


@pytest.mark.parametrize("reason", ["before_start", "paused"])
def test_unwanted_sound_is_counted_in_samples_and_neither_extracted_nor_kept(
    driver: Driver, reason: str
) -> None:
    with Microphone(unwanted=reason) as microphone:
        inlet = microphone.inlet
        time.sleep(1)
        assert inlet.dropped == {reason: pytest.approx(25, abs=4)}
        assert not inlet.samples
        assert not microphone.sounds
        inlet.unwanted = None
        (first,) = inlet.wait(1)
        assert first.time >= microphone.sounds[0].originating_time + SECOND // 25
        dropped = inlet.dropped[reason]
        inlet.wait(5)
        assert inlet.dropped[reason] == dropped


def test_a_device_that_ends_is_found_again(driver: Driver) -> None:
    driver(blocks=30)
    with Microphone("headset") as microphone:
        microphone.heard(0.2)
        driver(names=["Inner microphone"])  # unplugged
        until(lambda: microphone.state.name == "lost", 1.0)
        until(lambda: microphone.device.restarts >= 2, 3)
        assert microphone.state.name == "lost"
        driver(names=["Inner microphone", "USB headset 2"])
        until(lambda: microphone.state.name == "open", 3)
        assert microphone.device.source == "USB headset 2"
        joined(microphone.heard(0.3))


def test_a_device_that_hangs_is_lost(driver: Driver) -> None:
    driver(blocks=30, silent=1)
    with Microphone() as microphone:
        microphone.heard(0.2)
        driver(names=[])
        until(lambda: microphone.state.name == "lost", 1.5)
        sounds = len(microphone.sounds)
        time.sleep(0.5)
        assert len(microphone.sounds) == sounds
