"""A microphone, for hours: it may vanish and come back.

PortAudio runs in a process of its own (`microphone_process`); what it gives is brought to 16 kHz mono on the
session's clock.
"""

import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any, Final, Self

import numpy as np

from ...contracts.errors import UserError
from ..streams.samples import Sound
from .microphone_process import BLOCKS, HEADER
from .process import DeviceProcess, DeviceState
from .sound import DeviceSound

OPENING: Final = 10.0  # s; PortAudio asks every device there is, and some are slow to answer
FIRST: Final = 5.0  # s; from the opened device to its first block: Bluetooth takes its time
SILENT: Final = 0.5  # s without a block: the device is lost
WAITING: Final = 10 * BLOCKS  # blocks that wait to be taken: 10 s

_SILENT: Final = "microphone: PortAudio does not answer; unplug the device, plug it in and try again"


class Microphone:
    """Sound from a device, as a context manager; thread and process have ended once it is left.

    Args:
        name: the device's name or a part of it, in upper or lower case; None for the system's default.
            Whenever it is lost, it is looked for again by the same name.
        clock: the session's clock, ns.
        keep: called with all sound, taken or not, from a thread of the microphone's.

    Attributes:
        counts: blocks of 10 ms, and where they went; see `DeviceSound`.
        overflows: how often samples were lost on the way to here, in a number that nobody knows.
        device: what PortAudio calls it.
        given: what the device gives, for people: `48000 Hz, 1 channel`.
        state: whether sound comes.

    Raises:
        UserError: on entering; no PortAudio, no such device, not permitted, or it gives nothing.
    """

    def __init__(
        self, name: str | None, clock: Callable[[], int], keep: Callable[[Sound], None] | None = None
    ) -> None:
        self._clock = clock
        self._sound = DeviceSound(keep, WAITING)
        self._shift = 0  # ns; from `perf_counter_ns` to the session's clock
        self.counts = self._sound.counts
        self.overflows = 0
        self.device = ""
        self.given = ""
        self.state = DeviceState("lost", 0)
        self._last = 0  # ns; of the last block
        self._process = DeviceProcess(
            "microphone", "microphone_process", {"name": name}, OPENING, self._read, self._lose
        )

    def __enter__(self) -> Self:
        self._shift = self._clock() - time.perf_counter_ns()
        self.state = DeviceState("lost", self._clock())
        try:
            if refused := self._process.start():
                raise UserError(_SILENT if refused == "silent" else refused)
        except BaseException:  # Ctrl-C too
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()
        self._sound.end()

    @property
    def restarts(self) -> int:
        """How often it was opened anew, or tried to be."""
        return self._process.restarts

    @property
    def drift(self) -> float:
        """How much more the session's clock advances than the device's, as a ratio: 100e-6 is 100 ppm."""
        return self._sound.drift

    def take(self, timeout: float) -> Sound | None:
        """The next sound, in order; None if there is none within `timeout` seconds, or after the end."""
        return self._sound.take(timeout)

    def _lose(self) -> None:
        if self.state.name == "open":
            self.state = DeviceState("lost", self._last)

    def _read(self, told: dict[str, Any], pipe: IO[bytes]) -> str:
        rate, channels = told["rate"], told["channels"]
        self._sound.begin_anew(rate)
        expected = 0
        self._process.patience(FIRST)
        while len(head := pipe.read(HEADER.size)) == HEADER.size:
            index, adc, host, n, lost = HEADER.unpack(head)
            data = pipe.read(4 * n * channels)
            if len(data) < 4 * n * channels:
                break
            self._process.patience(SILENT)
            self._last = host + self._shift
            if self.state.name == "lost":
                self.device = told["name"]
                self.given = f"{rate} Hz, {channels} channel{'s' * (channels > 1)}"
                self.state = DeviceState("open", self._last)
                self._process.opened()
            if lost or index != expected:
                self.overflows += 1
                self._sound.begin_anew(rate)
            expected = index + n
            samples = np.frombuffer(data, np.float32).reshape(n, channels).mean(axis=1, dtype=np.float32)
            self._sound.push(index, adc + self._shift, samples)
        return f"microphone “{told['name']}”: gives no sound; unplug it, plug it in and try again"
