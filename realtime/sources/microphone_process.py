"""The process of a microphone, which owns PortAudio; see `process` for both sides.

PortAudio lists devices once, when it starts; listing them again ends every open stream, and a driver whose
device is gone may hang. A process can be killed and restarted.

The request is `{"name": …, "channel": …}`, the first line `{"name": …, "rate": …, "channels": …}` or
`{"error": …}`. Blocks follow: `HEADER`, and float32 samples, channels interleaved. A reader that is slower
than 5 s loses the oldest blocks, which shows in their indices.
"""

import itertools
import os
import struct
import time
from pathlib import Path
from typing import Any, Final, NoReturn

from ...contracts.errors import UserError
from ..streams.mailbox import Mailbox
from .child import begin, say, send

# Index of the first sample, its time (ns, `time.perf_counter_ns`: the same in all processes), samples per
# channel, 1 if the driver lost samples before this block.
HEADER: Final = struct.Struct("<qqiB3x")
BLOCKS: Final = 100  # a second

_WAITING: Final = 5 * BLOCKS  # blocks kept while the parent does not read
_MAX_DELAY: Final = 2.0  # s; an older time is an error of the driver

Device = dict[str, Any]


def main() -> NoReturn:
    request, _, out = begin()
    try:
        _capture(request["name"], request["channel"], out)
    except UserError as error:
        say(out, {"error": str(error)})
    except OSError:  # the parent reads no more
        pass
    os._exit(1)  # nothing is worth waiting for a driver that hangs


def _capture(name: str | None, channel: int | None, out: int) -> None:
    try:
        import sounddevice
    except OSError as error:
        remedy = "on Debian or Ubuntu: sudo apt install libportaudio2"
        raise UserError(f"microphone: PortAudio is not installed; {remedy}") from error
    except Exception as error:  # PortAudio is started by the import
        raise UserError(f"microphone: PortAudio does not start: {_line(error)}") from error
    inputs = [device for device in sounddevice.query_devices() if device["max_input_channels"] > 0]
    device = _chosen(name, inputs, sounddevice.default.device[0])

    blocks: Mailbox[bytes] = Mailbox(_WAITING, "latest")
    index = 0

    def callback(data: Any, n: int, times: Any, status: Any) -> None:
        nonlocal index
        # Both times are of the driver's clock, often the wall clock; their difference is the sample's age.
        age = times.currentTime - times.inputBufferAdcTime
        if not 0 < age < _MAX_DELAY:
            age = 1 / BLOCKS
        lost = bool(status.input_overflow)
        blocks.put(HEADER.pack(index, time.perf_counter_ns() - round(age * 1e9), n, lost) + bytes(data))
        index += n

    stream = _started(sounddevice, device, channel, callback, blocks.close)
    say(out, {"name": device["name"], "rate": round(stream.samplerate), "channels": stream.channels})
    while (block := blocks.get()) is not None:
        send(out, block)


def _chosen(name: str | None, inputs: list[Device], default: int) -> Device:
    """The input of that name, or else with that in its name; of several the first."""
    if not inputs:
        raise UserError(f"microphone: {diagnose_none()}")
    if name is None:
        return next((device for device in inputs if device["index"] == default), inputs[0])
    wanted = name.casefold()
    if fitting := [device for device in inputs if wanted in device["name"].casefold()]:
        return min(fitting, key=lambda device: bool(device["name"].casefold() != wanted))
    there = ", ".join(dict.fromkeys(f"“{device['name']}”" for device in inputs))
    raise UserError(f"microphone “{name}”: no such device; there are {there}")


def diagnose_none(nodes: Path = Path("/dev/snd")) -> str:
    """ALSA hides the cards that it may not open: look at their files."""
    captures = list(nodes.glob("pcm*c"))
    if captures and not any(os.access(node, os.R_OK | os.W_OK) for node in captures):
        return f"permission denied on {captures[0]}; sudo usermod -aG audio $USER, and log in again"
    return "none found; plug one in, or run without sound"


def _started(sounddevice: Any, device: Device, channel: int | None, callback: Any, finished: Any) -> Any:
    """The stream, running: at 16 kHz, or as near to it as the device can.

    With two channels, or up to the one that is asked for: drivers mix several to one as they like.
    """
    most = device["max_input_channels"]
    channels_tried = dict.fromkeys(
        min(n, most) for n in ((2, 1, most) if channel is None else (channel, most))
    )
    error: Exception | None = None
    options = {"device": device["index"], "callback": callback, "finished_callback": finished}
    rates = dict.fromkeys((16_000, round(device["default_samplerate"])))
    for rate, channels in itertools.product(rates, channels_tried):
        try:
            stream = sounddevice.RawInputStream(
                samplerate=rate, channels=channels, dtype="float32", blocksize=rate // BLOCKS, **options
            )
            stream.start()
            return stream
        except sounddevice.PortAudioError as refused:
            error = refused
    remedy = "does another program use it, or is this one not allowed to?"
    raise UserError(f"microphone “{device['name']}”: cannot be opened ({_line(error)}); {remedy}")


def _line(error: Exception | None) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    main()
