"""A private PulseAudio server: a speaker whose sound is a microphone of ALSA, and so of PortAudio."""

import os
import shutil
import signal
import subprocess
import time
import wave
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

MICROPHONE: Final = "enrapt test microphone"
NEEDED: Final = ("pulseaudio", "paplay")


def missing() -> str | None:
    """What this machine lacks for it; None if nothing."""
    for program in NEEDED:
        if shutil.which(program) is None:
            return f"no {program}: apt install pulseaudio pulseaudio-utils libasound2-plugins"
    if not any(Path("/usr/lib").glob("**/alsa-lib/libasound_module_pcm_pulse.so")):
        return "no PulseAudio plugin for ALSA: apt install libasound2-plugins"
    return None


class Pulse:
    """The server, which can be started, killed and suspended; a context manager.

    Attributes:
        environment: variables with which the microphone is the only device of ALSA.
    """

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o700)
        self._folder = folder
        self._socket = folder / "native"
        device = f'type pulse server "unix:{self._socket}" device "speaker.monitor"'
        configuration = folder / "asound.conf"
        configuration.write_text(
            f'pcm."{MICROPHONE}" {{ {device} }}\npcm.!default {{ {device} }}\n', encoding="utf-8"
        )
        self.environment = {
            "ALSA_CONFIG_PATH": str(configuration),
            "XDG_RUNTIME_DIR": str(folder),
            "HOME": str(folder),
            "PULSE_SERVER": f"unix:{self._socket}",
        }
        self._log = (folder / "log").open("wb")
        self._process: subprocess.Popen[bytes] | None = None
        self._players: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._log.close()

    def start(self) -> None:
        """Start the server and wait until it listens."""
        self._socket.unlink(missing_ok=True)
        modules = [
            # Without rewinds it works in steps of 50 ms, with them of 2 s.
            "module-null-sink sink_name=speaker rate=48000 channels=1 norewinds=1",
            f"module-native-protocol-unix socket={self._socket} auth-anonymous=1",
        ]
        command = ["pulseaudio", "--daemonize=no", "-n", "--exit-idle-time=-1", "--system=false"]
        command += ["--use-pid-file=no", "--disable-shm=yes", *(f"--load={module}" for module in modules)]
        environment = os.environ | self.environment
        self._process = subprocess.Popen(command, env=environment, stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + 10
        while not self._socket.exists():
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            assert self._process.poll() is None, (self._folder / "log").read_text()
            time.sleep(0.02)

    def kill(self) -> None:
        """End it without notice to its clients, as a crash would."""
        for process in (*self._players, self._process):
            if process is not None:
                process.kill()
                process.wait()
        self._players.clear()
        self._process = None

    def stop(self) -> None:
        """Suspend it: a driver that hangs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def play(self, frequency: float, seconds: float) -> None:
        """Start a tone of amplitude 0.5 on the speaker."""
        t = np.arange(round(seconds * 48_000)) / 48_000
        self.play_samples(0.5 * np.sin(2 * np.pi * frequency * t), 48_000)

    def play_samples(self, samples: NDArray[np.float64], rate: int) -> None:
        """Start sound on the speaker."""
        path = self._folder / f"{len(self._players)}.wav"
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(np.rint(32_768 * samples).astype("<i2").tobytes())
        command = ["paplay", "--device=speaker", str(path)]
        self._players.append(
            subprocess.Popen(command, env=os.environ | self.environment, stdout=self._log, stderr=self._log)
        )
