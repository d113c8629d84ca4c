"""A microphone whose sound becomes audio features, for hours: it may vanish and come back."""

import math
import time
from collections.abc import Sequence
from typing import IO, Any, Final

import numpy as np

from ...bundle.metadata import ModalitySpec
from ...contracts.schemas import OWN, PARTNER
from ..features.downmix import Downmix
from ..streams.counts import Counts
from .microphone_process import HEADER
from .offer import SOUND, Offer, speaking, takes_speaking
from .process import ProcessDevice
from .sound import SILENCE, SoundDelivery

OPENING: Final = 10.0  # s; PortAudio queries every device, and some are slow to answer
FIRST: Final = 5.0  # s; from the opened device to its first block: Bluetooth is slow
SILENT: Final = 0.5  # s of waiting without a block: the device is lost


class MicrophoneAudio(ProcessDevice):
    """Audio features of a microphone's sound, one sample per 40 ms.

    Args:
        name: the device's name or a part of it, in upper or lower case; None for the system's default.
            Whenever it is lost, it is looked for again by the same name.
        channel: the only one to take, from 1; None for a mix, see `Downmix`.
        partner: it hears whoever the person talks with, and gives whether they speak, `speaking/1`. That of
            the person gives `audio/1`, or `speaking/1` where a bundle wants that instead.
    """

    name = "microphone"
    offer = SOUND
    material = "sound"

    sound: SoundDelivery

    def __init__(self, name: str | None = None, channel: int | None = None, partner: bool = False) -> None:
        super().__init__("microphone_process", {"name": name, "channel": channel}, OPENING)
        self.source = name or "default"
        if partner:
            self.name, self.offer = "partner microphone", speaking(PARTNER, required=True)
        self._channel, self._channels = channel, 0
        self._downmix = Downmix(channel=channel)
        self._shift = 0  # ns; from `perf_counter_ns` to the session's clock

    def offer_to(self, inputs: Sequence[ModalitySpec]) -> Offer:
        return speaking(OWN) if self.offer is SOUND and takes_speaking(inputs, OWN) else self.offer

    @property
    def notes(self) -> Sequence[str]:
        return self._downmix.notes

    def _open(self) -> None:
        self._shift = self._inlet.clock() - time.perf_counter_ns()
        self.sound = SoundDelivery(self._inlet, self.keep)
        super()._open()

    def why_missing(self, kind: str, recent: Counts, span: int) -> str:
        if kind == "nothing":
            return "the microphone gives no sound; unplug it and plug it in again"
        if kind == "empty":
            return SILENCE
        return super().why_missing(kind, recent, span)

    def _diagnose(self, reason: str) -> str:
        if reason == "silent":
            reason = "PortAudio does not answer; unplug the device, plug it in and try again"
        return reason if reason.startswith("microphone") else f"microphone: {reason}"

    def _read(self, properties: dict[str, Any], pipe: IO[bytes]) -> str:
        name, rate, channels = properties["name"], properties["rate"], properties["channels"]
        self.source, self._format = name, f"{rate} Hz, {channels} channel{'s' * (channels > 1)}"
        if (self._channel or 1) > channels:
            return f"microphone “{name}”: has no channel {self._channel}, but {channels}"
        if channels != self._channels:
            self._channels, self._downmix = channels, Downmix(channel=self._channel)
        self.sound.restart(rate)
        expected = 0
        self._expect(FIRST)
        while len(head := pipe.read(HEADER.size)) == HEADER.size and not self._stopped.is_set():
            index, adc, n, lost = HEADER.unpack(head)
            data = pipe.read(4 * n * channels)
            if len(data) < 4 * n * channels:
                break
            self._expect(math.inf)  # slow extraction is not a hanging device
            self._received()
            if lost or index != expected:
                self.overflows += 1
                self.sound.restart(rate)
            expected = index + n
            samples = np.frombuffer(data, np.float32).reshape(n, channels)
            self.sound.push(index, adc + self._shift, self._downmix.push(samples, rate))
            self._expect(SILENT)
        return f"microphone “{name}”: gives no sound; unplug it, plug it in and try again"
