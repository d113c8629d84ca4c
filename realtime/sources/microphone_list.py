"""Lists the microphones, in a process of its own: PortAudio waits for ever for a sound server that hangs.

Writes one line of JSON: `version` of PortAudio and `names` of the microphones, the system's default marked;
or `error` instead of the names, without `version` if PortAudio cannot be loaded.
"""

import os
from typing import Any

from .child import say


def main() -> None:
    out = os.dup(1)
    os.dup2(2, 1)  # drivers write where they like
    say(out, found())


def found() -> dict[str, Any]:
    try:
        import sounddevice
    except Exception as error:  # PortAudio is started by the import
        return {"error": _line(error)}
    answer: dict[str, Any] = {"version": sounddevice.get_portaudio_version()[1]}
    try:
        default = sounddevice.default.device[0]
        answer["names"] = [
            device["name"] + (" (default)" if device["index"] == default else "")
            for device in sounddevice.query_devices()
            if device["max_input_channels"] > 0
        ]
    except sounddevice.PortAudioError as error:
        answer["error"] = _line(error)
    return answer


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    main()
