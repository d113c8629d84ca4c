"""A microphone with an inlet that keeps its sound."""

import time
from typing import Any, Final, Self

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO
from enrapt.realtime.features.resampling import RATE
from enrapt.realtime.sources.microphone import MicrophoneAudio
from enrapt.realtime.streams.samples import SECOND, Sound
from tests.support.inlet import FakeInlet, until

# Replaces the package `sounddevice` in the process; options are in the environment.
DRIVER: Final = """
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
                data.extend(tone * gain for gain in do.get("gains", [1, 0, 0, 0])[: self.channels])
            times = types.SimpleNamespace(currentTime=wall + time.perf_counter())
            times.inputBufferAdcTime = times.currentTime - self.size / self.samplerate
            overflow = k in do.get("overflows", [])
            self.callback(data, self.size, times, types.SimpleNamespace(input_overflow=overflow))
        if "silent" not in do:
            self.finished()
"""


class Microphone:
    """A context manager: the device, its inlet and the sound that it keeps."""

    def __init__(
        self, name: str | None = None, unwanted: str | None = None, channel: int | None = None
    ) -> None:
        self.device = MicrophoneAudio(name, channel)
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
    def lost(self) -> bool:
        return self.device.lost

    def heard(self, seconds: float) -> list[Sound]:
        """All that comes from now on until it is so much sound."""
        first = len(self.sounds)
        enough = seconds * RATE
        until(lambda: sum(sound.samples.size for sound in self.sounds[first:]) >= enough, seconds + 5)
        return self.sounds[first:]


def joined(sounds: list[Sound]) -> NDArray[np.float32]:
    """One stretch, whose pieces follow each other exactly."""
    time = sounds[0].originating_time
    for sound in sounds:
        assert sound.originating_time == time
        time += sound.samples.size * SECOND // RATE
    return np.concatenate([sound.samples for sound in sounds])


def frequency(samples: NDArray[np.float32]) -> float:
    """Of the strongest tone, Hz."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(spectrum.argmax() * RATE / samples.size)


def refusal(name: str | None = None, **options: Any) -> str:
    with pytest.raises(UserError) as error, Microphone(name, **options):
        pass
    assert "\n" not in str(error.value)
    return str(error.value)


def processes() -> list[psutil.Process]:
    """Those that this one has started for microphones."""
    return [
        p for p in psutil.Process().children() if "enrapt.realtime.sources.microphone_process" in p.cmdline()
    ]
