"""A microphone, for hours: it may vanish and come back.

PortAudio runs in a process of its own (`microphone_process`). One thread reads from it, brings the sound to
16 kHz mono on the session's clock, and starts the process anew where nothing comes any more; another one ends
the process when it has been silent for too long, for reading from a pipe has no time-out.
"""

import json
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ..contracts.errors import UserError
from .clock import DeviceClock
from .counts import Counts
from .microphone_process import BLOCKS, HEADER
from .resampling import Resampler
from .samples import SECOND, Sound
from .steady import Steady

OPENING: Final = 10.0  # s; PortAudio asks every device there is, and some are slow to answer
FIRST: Final = 5.0  # s; from the opened device to its first block: Bluetooth takes its time
SILENT: Final = 0.5  # s without a block: the device is lost
BACK_OFF: Final = (0.2, 2.0)  # s between two starts of the process: at first, doubled up to
WAITING: Final = 10 * BLOCKS  # blocks that wait to be taken: 10 s

_WATCH: Final = 0.05  # s; how often the process is looked at


@dataclass(frozen=True, slots=True)
class MicrophoneState:
    """Attributes:
    name: `open` while sound comes, `lost` while none does.
    since: ns on the session's clock; of the first or the last block.
    """

    name: Literal["open", "lost"]
    since: int


@dataclass(slots=True)
class MicrophoneCounts(Counts):
    """Blocks of 10 ms. Dropped: `full` (nobody took them in time), `overlap` (an estimate of the clock was
    too late, and their time had been given away), `after_end` (not taken before the end).

    Attributes:
        overflows: how often samples were lost on the way to here, in a number that nobody knows.
        restarts: how often the process was started anew.
    """

    overflows: int = 0
    restarts: int = 0


class Microphone:
    """Sound from a device, as a context manager; thread and process have ended once it is left.

    Args:
        name: the device's name or a part of it, in upper or lower case; None for the system's default.
            Whenever it is lost, it is looked for again by the same name.
        clock: the session's clock, ns.

    Attributes:
        counts: captured = used (taken) + dropped by reason + waiting, at any time.
        device: what PortAudio calls it.
        given: what the device gives, for people: `48000 Hz, 1 channel`.
        state: whether sound comes.

    Raises:
        UserError: on entering; no PortAudio, no such device, not permitted, or it gives nothing.
    """

    def __init__(self, name: str | None, clock: Callable[[], int]) -> None:
        self._name = name
        self._clock = clock
        self._shift = 0  # ns; from `perf_counter_ns` to the session's clock
        self.counts = MicrophoneCounts()
        self.device = ""
        self.given = ""
        self.state = MicrophoneState("lost", 0)
        self._device_clock = DeviceClock()
        self._steady = Steady()
        self._changed = threading.Condition()  # guards what follows and the counts
        self._waiting: deque[tuple[Sound, int]] = deque()  # with the number of blocks in it
        self._unsent = 0  # blocks that are in filters
        self._process: subprocess.Popen[bytes] | None = None
        self._last = 0  # ns; of the last block
        self._deadline = 0.0  # monotonic s; when the process counts as hanging
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=f"enrapt microphone {what}", daemon=True)
            for what, target in {"reader": self._run, "watch": self._watch}.items()
        ]
        self._opened = threading.Event()
        self._refused: str | None = None

    def __enter__(self) -> Self:
        self._shift = self._clock() - time.perf_counter_ns()
        self.state = MicrophoneState("lost", self._clock())
        for thread in self._threads:
            thread.start()
        try:
            self._opened.wait()
            if self._refused is not None:
                raise UserError(self._refused)
        except BaseException:  # Ctrl-C too
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._end_process()
        for thread in self._threads:
            thread.join()
        with self._changed:
            self.counts.dropped["after_end"] += self.counts.waiting
            self._waiting.clear()
            self._changed.notify_all()

    @property
    def drift(self) -> float:
        """How much more the session's clock advances than the device's, as a ratio: 100e-6 is 100 ppm."""
        return self._device_clock.drift

    def take(self, timeout: float) -> Sound | None:
        """The next sound, in order; None if there is none within `timeout` seconds, or after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stop.is_set(), timeout)
            if not self._waiting or self._stop.is_set():
                return None
            sound, blocks = self._waiting.popleft()
            self.counts.used += blocks
            return sound

    def _run(self) -> None:
        pause, longest = BACK_OFF
        while not self._stop.is_set():
            began = time.monotonic()
            before = self.counts.captured
            refusal = self._session()
            if not self._opened.is_set():
                self._refused = refusal
                self._opened.set()
                return
            if self.counts.captured > before:
                pause = BACK_OFF[0]
            with self._changed:
                if self.state.name == "open":
                    self.state = MicrophoneState("lost", self._last)
            if self._stop.wait(max(0.0, began + pause - time.monotonic())):
                return
            pause = min(2 * pause, longest)
            self.counts.restarts += 1

    def _session(self) -> str:
        """One life of the process; why it ended, in a line for people."""
        pipe = subprocess.PIPE
        module = "enrapt.realtime.microphone_process"
        command = [sys.executable, "-P", "-m", module, *([self._name] if self._name is not None else [])]
        self._deadline = time.monotonic() + OPENING
        try:
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        except OSError as error:
            return f"microphone: cannot start a process: {error}"
        with process:
            self._process = process
            if self._stop.is_set():  # it was set before there was a process to end
                process.kill()
            assert process.stdout is not None
            try:
                return self._read(process.stdout)
            finally:
                process.kill()

    def _read(self, pipe: IO[bytes]) -> str:
        line = pipe.readline()
        if not line.endswith(b"\n"):
            return "microphone: PortAudio does not answer; unplug the device, plug it in and try again"
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            return str(told["error"])
        rate, channels = told["rate"], told["channels"]
        resampler = Resampler(rate)
        self._device_clock.begin_anew()
        expected = 0
        self._deadline = time.monotonic() + FIRST
        while len(head := pipe.read(HEADER.size)) == HEADER.size:
            index, adc, host, n, lost = HEADER.unpack(head)
            data = pipe.read(4 * n * channels)
            if len(data) < 4 * n * channels:
                break
            self._deadline = time.monotonic() + SILENT
            self._last = host + self._shift
            if not self._opened.is_set() or self.state.name == "lost":
                self.device = told["name"]
                self.given = f"{rate} Hz, {channels} channel{'s' * (channels > 1)}"
                self.state = MicrophoneState("open", self._last)
                self._opened.set()
            if lost or index != expected:
                self.counts.overflows += 1
                self._device_clock.begin_anew()
                resampler = Resampler(rate)
            expected = index + n
            device = index * SECOND // rate
            self._device_clock.observe(device, adc + self._shift)
            samples = np.frombuffer(data, np.float32).reshape(n, channels).mean(axis=1, dtype=np.float32)
            self._give(resampler, device, samples)
        return f"microphone “{told['name']}”: gives no sound; unplug it, plug it in and try again"

    def _give(self, resampler: Resampler, device: int, samples: NDArray[np.float32]) -> None:
        with self._changed:
            self.counts.captured += 1
            self._unsent += 1
            for sound in resampler.push(device, samples):
                at = self._device_clock.time(sound.originating_time)
                if at is None:
                    self.counts.dropped["overlap"] += self._unsent
                    self._unsent = 0
                    continue
                for steady in self._steady.push(Sound(at, sound.samples)):
                    self._waiting.append((steady, self._unsent))
                    self._unsent = 0
            while len(self._waiting) > WAITING:
                self.counts.dropped["full"] += self._waiting.popleft()[1]
            self._changed.notify_all()

    def _watch(self) -> None:
        woke = time.monotonic()
        while not self._stop.wait(_WATCH):
            before, woke = woke, time.monotonic()
            if woke - before > 3 * _WATCH:
                continue  # the whole program stood still, which says nothing of the microphone
            if woke > self._deadline:
                self._end_process()

    def _end_process(self) -> None:
        if (process := self._process) is not None:
            process.kill()
