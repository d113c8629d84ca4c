"""The microphone with PulseAudio, ALSA and PortAudio; and with a driver of ours for what those never do."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.features.resampling import RATE
from enrapt.realtime.sources import microphone as module
from enrapt.realtime.sources.microphone import Microphone
from enrapt.realtime.sources.microphone_process import _why_none
from enrapt.realtime.streams.samples import SECOND, Sound
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
START = time.monotonic_ns()


def clock() -> int:
    return time.monotonic_ns() - START


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    (tmp_path / "sounddevice.py").write_text(DRIVER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

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


def heard(microphone: Microphone, seconds: float) -> list[Sound]:
    """All that comes until so much sound is there."""
    sounds: list[Sound] = []
    deadline = time.monotonic() + seconds + 5
    while sum(sound.samples.size for sound in sounds) < seconds * RATE:
        assert time.monotonic() < deadline
        if (sound := microphone.take(0.1)) is not None:
            sounds.append(sound)
    return sounds


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


def until(condition: Callable[[], object], seconds: float) -> float:
    """Seconds until it is true; fails after so many."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.005)
    return time.monotonic() - began


def refusal(name: str | None = None) -> str:
    with pytest.raises(UserError) as error, Microphone(name, clock):
        pass
    assert "\n" not in str(error.value)
    return str(error.value)


def processes() -> list[psutil.Process]:
    """Those that this one has started for microphones."""
    return [
        p for p in psutil.Process().children() if "enrapt.realtime.sources.microphone_process" in p.cmdline()
    ]


def settled(microphone: Microphone) -> None:
    """What holds once it is left."""
    assert not processes()
    counts = microphone.counts
    assert counts.waiting == 0
    assert counts.captured == counts.used + counts.dropped.total()
    assert microphone.take(0) is None


def test_a_tone_arrives(pulse: Pulse) -> None:
    pulse.play(440, 10)
    time.sleep(0.5)
    with Microphone(MICROPHONE, clock) as microphone:
        assert microphone.state.name == "open"
        assert 0 <= clock() - microphone.state.since < SECOND
        assert microphone.device == MICROPHONE
        assert microphone.given == "16000 Hz, 1 channel"
        (process,) = processes()
        process.send_signal(signal.SIGINT)  # as Ctrl-C does to all processes of a terminal
        sounds = heard(microphone, 2.5)
        late = clock() - sounds[-1].originating_time
        assert process.is_running()
    assert -SECOND // 50 < late < SECOND  # its clock is an estimate, good to 20 ms
    samples = joined(sounds[-150:])  # of what comes first the times are less certain, and corrected
    assert frequency(samples[-RATE:]) == pytest.approx(440, abs=1)
    assert np.sqrt(np.mean(np.square(samples[-RATE:]))) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    times = [sound.originating_time for sound in sounds]
    assert times == sorted(set(times))
    assert microphone.restarts == microphone.overflows == microphone.counts.dropped["full"] == 0


def test_the_default_is_taken_where_no_name_is_given(pulse: Pulse) -> None:
    with Microphone(None, clock) as microphone:
        assert microphone.device == "default"
        assert heard(microphone, 0.2)


def test_an_unknown_name_lists_those_there_are(pulse: Pulse) -> None:
    assert refusal("Studio") == f"microphone “Studio”: no such device; there are “{MICROPHONE}”, “default”"


def unplugged(pulse: Pulse, microphone: Microphone, how: str, away: float) -> None:
    """Take the device away and bring it back."""
    heard(microphone, 0.2)
    {"kill": pulse.kill, "stop": pulse.stop}[how]()
    until(lambda: microphone.state.name == "lost", 1.0)
    since = microphone.state.since
    assert 0 < clock() - since < 1.2 * SECOND
    time.sleep(away)
    assert microphone.state.name == "lost"
    assert microphone.state.since == since
    while microphone.take(0) is not None:
        pass
    {"kill": pulse.start, "stop": pulse.go_on}[how]()
    back = clock()
    until(lambda: microphone.take(0.01), 3.0)
    assert microphone.state.name == "open"
    assert heard(microphone, 0.1)[-1].originating_time > back - SECOND // 2


def test_unplugged_five_times(pulse: Pulse) -> None:
    with Microphone(MICROPHONE, clock) as microphone:
        for how, away in [("kill", 0.1), ("stop", 0.1), ("kill", 1.3), ("stop", 0.8), ("kill", 0.4)]:
            unplugged(pulse, microphone, how, away)
        assert microphone.restarts >= 5
    settled(microphone)


@pytest.mark.long
def test_unplugged_twenty_times_leaves_nothing_behind(pulse: Pulse) -> None:
    rng = np.random.default_rng(0)
    this = psutil.Process()
    used = []
    with Microphone(MICROPHONE, clock) as microphone:
        for k in range(20):
            unplugged(pulse, microphone, ["kill", "stop"][k % 2], float(rng.uniform(0, 6)))
            gc.collect()
            mine = processes()
            assert len(mine) == 1
            used.append(
                (this.num_threads(), this.num_fds(), this.memory_info().rss, mine[0].memory_info().rss)
            )
    settled(microphone)
    threads, fds, memory, child = zip(*used, strict=True)
    assert len(set(threads[1:])) == 1
    assert len(set(fds[1:])) == 1
    assert memory[-1] - memory[2] < 2 << 20
    assert max(child) - min(child) < 2 << 20


def test_leaving_and_entering_again_leaves_nothing_behind(driver: Driver) -> None:
    this = psutil.Process()
    before = this.num_threads(), this.num_fds()
    for _ in range(3):
        with Microphone("usb", clock) as microphone:
            heard(microphone, 0.05)
        settled(microphone)
    until(lambda: (this.num_threads(), this.num_fds()) == before, 1.0)  # the system's count lags a little


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_the_process_ends_with_its_parent(driver: Driver, end: signal.Signals) -> None:
    program = (
        "import time; from enrapt.realtime.sources.microphone import Microphone\n"
        "with Microphone('usb', time.monotonic_ns) as m: print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"open\n"
        (process,) = psutil.Process(parent.pid).children()
        parent.send_signal(end)
        parent.wait()
        until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 2.0)


def test_nothing_reaches_the_terminal(driver: Driver) -> None:
    program = (
        "import time; from enrapt.realtime.sources.microphone import Microphone\n"
        "with Microphone('usb', time.monotonic_ns) as m: print(m.take(2).samples.size > 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("True\n", "")


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
    with Microphone(name, clock) as microphone:
        assert microphone.device == found


def test_the_systems_default(driver: Driver) -> None:
    driver(default=1)
    with Microphone(None, clock) as microphone:
        assert microphone.device == "USB headset"


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
def test_what_is_wrong_is_said_in_one_line(driver: Driver, does: dict[str, object], says: str) -> None:
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
    assert "none found" in _why_none(tmp_path)
    (tmp_path / "pcmC0D0c").touch()
    assert "none found" in _why_none(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "permission denied" in _why_none(tmp_path)
    assert "usermod -aG audio" in _why_none(tmp_path)


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (16_000, 4)])
def test_a_device_with_other_rates_and_channels(driver: Driver, rate: int, channels: int) -> None:
    driver(rates=[rate], channels=channels, offered=[channels])
    with Microphone(None, clock) as microphone:
        assert microphone.given == f"{rate} Hz, {channels} channel{'s' * (channels > 1)}"
        sounds = heard(microphone, 1)
    samples = joined(sounds)[-RATE // 2 :]
    assert frequency(samples) == pytest.approx(500, abs=2)
    assert np.sqrt(np.mean(np.square(samples))) == pytest.approx(np.sqrt(0.5) / channels, rel=0.02)
    settled(microphone)


def test_a_step_of_the_wall_clock_changes_nothing(driver: Driver) -> None:
    driver(step_at=40)
    with Microphone(None, clock) as microphone:
        sounds = heard(microphone, 1)
        late = clock() - sounds[-1].originating_time
    joined(sounds)
    assert -SECOND // 50 < late < SECOND // 2
    assert microphone.counts.dropped["overlap"] == 0


def test_overflows_are_counted(driver: Driver) -> None:
    driver(overflows=[20, 50])
    with Microphone(None, clock) as microphone:
        heard(microphone, 0.6)
        assert microphone.overflows == 2
        assert microphone.restarts == 0
    settled(microphone)


def test_nobody_takes(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are dropped, and counted; what is left is the newest, without a hole."""
    monkeypatch.setattr(module, "WAITING", 20)
    with Microphone(None, clock) as microphone:
        until(lambda: microphone.counts.dropped["full"] >= 30, 5)
        assert microphone.counts.waiting in range(20, 30)
        first = microphone.take(0)
        assert first is not None
        assert clock() - first.originating_time < SECOND // 2
        joined([first, *heard(microphone, 0.1)])
    settled(microphone)
    assert microphone.counts.dropped["after_end"] > 0


def test_a_device_that_ends_is_found_again(driver: Driver) -> None:
    driver(blocks=30)
    with Microphone("headset", clock) as microphone:
        heard(microphone, 0.2)
        driver(names=["Inner microphone"])  # unplugged
        until(lambda: microphone.state.name == "lost", 1.0)
        until(lambda: microphone.restarts >= 2, 3)
        assert microphone.state.name == "lost"
        driver(names=["Inner microphone", "USB headset 2"])
        until(lambda: microphone.state.name == "open", 3)
        assert microphone.device == "USB headset 2"
        while microphone.take(0) is not None:
            pass
        joined(heard(microphone, 0.3))
    settled(microphone)


def test_take_waits_no_longer_than_asked(driver: Driver) -> None:
    driver(blocks=30, silent=1)
    with Microphone(None, clock) as microphone:
        heard(microphone, 0.2)
        while microphone.take(0) is not None:
            pass
        until(lambda: microphone.state.name == "lost", 1.5)
        driver(names=[])
        while microphone.take(0.3) is not None:
            pass
        began = time.monotonic()
        assert microphone.take(0.2) is None
        assert 0.15 < time.monotonic() - began < 0.5
