"""The microphone with a fake driver, for what PulseAudio never does."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from enrapt.realtime.features.audio import AudioFeatures
from enrapt.realtime.features.resampling import RATE
from enrapt.realtime.sources import microphone as module
from enrapt.realtime.sources.microphone_process import HEADER, diagnose_none
from enrapt.realtime.streams.samples import SECOND, Sample, Sound
from tests.support.inlet import until
from tests.support.microphone import DRIVER, Microphone, frequency, joined, processes, refusal

Driver = Callable[..., None]
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
    assert np.sqrt(np.mean(np.square(samples))) == pytest.approx(
        np.sqrt(0.5), rel=0.02
    )  # the others are silent
    (note,) = microphone.device.notes
    assert note.endswith("silent: left out")


def test_channels_in_antiphase_do_not_cancel(driver: Driver) -> None:
    driver(channels=2, offered=[1, 2], gains=[1, -1])
    with Microphone() as microphone:
        samples = joined(microphone.heard(1))[-RATE // 2 :]
    assert np.sqrt(np.mean(np.square(samples))) == pytest.approx(np.sqrt(0.5), rel=0.02)
    (note,) = microphone.device.notes
    assert "antiphase" in note


def test_a_channel_that_is_asked_for(driver: Driver) -> None:
    driver(channels=4, offered=[1, 2, 3, 4])
    with Microphone(channel=3) as microphone:
        assert microphone.device.format == "16000 Hz, 3 channels"
        assert not joined(microphone.heard(0.3)).any()  # the tone is on the first
    driver(channels=2, offered=[1, 2])
    assert refusal(channel=3) == "microphone “Inner microphone”: has no channel 3, but 2"


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
        assert not microphone.lost
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
        process.stdin.write(b'{"name": null, "channel": null}\n')
        process.stdin.flush()
        time.sleep(2.5)  # a pipe of 64 KB holds 1 s
        process.stdout.readline()
        indices = []
        for _ in range(160):
            index, _, n, lost = HEADER.unpack(process.stdout.read(HEADER.size))
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
        until(lambda: microphone.lost, 1.0)
        until(lambda: microphone.device.restarts >= 2, 3)
        assert microphone.lost
        driver(names=["Inner microphone", "USB headset 2"])
        until(lambda: not microphone.lost, 3)
        assert microphone.device.source == "USB headset 2"
        joined(microphone.heard(0.3))


def test_a_device_that_hangs_is_lost(driver: Driver) -> None:
    driver(blocks=30, silent=1)
    with Microphone() as microphone:
        microphone.heard(0.2)
        driver(names=[])
        until(lambda: microphone.lost, 1.5)
        sounds = len(microphone.sounds)
        time.sleep(0.5)
        assert len(microphone.sounds) == sounds
