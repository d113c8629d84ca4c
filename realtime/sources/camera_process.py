"""The process that owns OpenCV's capture, for `camera`: `python -m enrapt.realtime.sources.camera_process`.

A call into OpenCV cannot be interrupted, V4L2 has no time-out for opening, and libjpeg writes "Corrupt JPEG
data" on the terminal whatever OpenCV's log level is. A process can be ended at any moment, and its output
thrown away.

On standard input comes one line of JSON, `{"source": …, "size": …, "rate": …}`: not an argument, for
addresses hold passwords. On what was standard output goes one line of JSON, `{"codec": …, "rate": …}` with
the first picture or `{"error": …}` (see `camera_trouble.why_not`), then pictures: `HEADER`, and a JPEG as it
came from the camera, or RGB uint8 `[height, width, 3]`. It ends when the camera gives no more, or when its
standard input ends.
"""

import contextlib
import json
import os
import signal
import struct
import sys
import threading
import time
from typing import Any, Final, NoReturn

# When the light reached the sensor (monotonic ns), the source's own time stamp (ns, any origin; −1: it has
# none), width and height (0 and 0: a JPEG), bytes (0: a picture that could not be decoded).
HEADER: Final = struct.Struct("<qqiii")
OPEN: Final = 5.0  # s; addresses

_READ: Final = 2.0  # s; addresses. The parent has lost its patience before
_MAX_DELAY: Final = 1_000_000_000  # ns; a time stamp that is older is of another clock
_MS: Final = 1_000_000  # ns
_JPEG: Final = b"\xff\xd8"  # it begins so
# FFmpeg keeps pictures back to smooth them; a picture now is worth more than two later.
_LIVE: Final = "fflags;nobuffer|flags;low_delay|rtsp_flags;prefer_tcp"


def main() -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal; the parent decides
    out = os.dup(1)
    os.dup2(2, 1)  # drivers write where they like; the parent throws away what is said on standard error
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(OSError):  # nobody reads any more
        _capture(asked["source"], asked["size"], asked["rate"], out)
    os._exit(0)  # nothing is worth waiting for a driver that hangs


def _end_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


def _capture(source: int | str, size: tuple[int, int], rate: float, out: int) -> None:
    try:
        import cv2  # late: the parent imports HEADER
    except ImportError as error:
        _say(out, {"error": f"OpenCV cannot be loaded ({error}); pip install opencv-python-headless"})
        return
    cv2.setNumThreads(1)
    address = isinstance(source, str) and "://" in source
    capture = _opened_address(cv2, source) if address else _opened_device(cv2, source, size, rate)
    if not capture.isOpened():
        _say(out, {"error": "closed"})
        return
    _leave_jpegs(cv2, capture)
    stamped = not address or str(source).startswith("rtsp")  # HTTP has no times; FFmpeg makes them up
    first = True
    while capture.grab():
        grabbed = time.monotonic_ns()
        stamp = round(capture.get(cv2.CAP_PROP_POS_MSEC) * _MS) if stamped else -1
        (width, height), data = _picture(cv2, capture)
        if first:
            _say(
                out, {"codec": _codec(capture.get(cv2.CAP_PROP_FOURCC)), "rate": _rate(cv2, capture, address)}
            )
            first = False
        moment = grabbed if address else originating(stamp, grabbed)
        _send(out, HEADER.pack(moment, stamp, width, height, len(data)))
        _send(out, data)
    if first:
        _say(out, {"error": "dark"})


def originating(stamp: int, grabbed: int) -> int:
    """When the light reached the sensor, monotonic ns: the driver's time stamp, or when the picture was there
    if the stamp cannot be of the monotonic clock."""
    return stamp if 0 <= grabbed - stamp < _MAX_DELAY else grabbed


def _opened_address(cv2: Any, address: int | str) -> Any:
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", _LIVE)
    options = {
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: round(OPEN * 1000),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC: round(_READ * 1000),
        cv2.CAP_PROP_N_THREADS: 1,  # each one more is a picture that waits
    }
    return cv2.VideoCapture(address, cv2.CAP_FFMPEG, [number for pair in options.items() for number in pair])


def _opened_device(cv2: Any, device: int | str, size: tuple[int, int], rate: float) -> Any:
    # Pictures never queue up here, so that fewer buffers (CAP_PROP_BUFFERSIZE) would not be quicker; with a
    # single one, drivers have none to fill while it is read, and every second picture is lost.
    capture = cv2.VideoCapture(device, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
    # Uncompressed, USB 2 carries no more than 640×480 at 30 frames/s. Format first: sizes depend on it.
    for option, value in (
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, size[0]),
        (cv2.CAP_PROP_FRAME_HEIGHT, size[1]),
        (cv2.CAP_PROP_FPS, rate),
    ):
        capture.set(option, value)
    return capture


def _leave_jpegs(cv2: Any, capture: Any) -> None:
    """Motion JPEG comes as it is, where OpenCV knows how: whoever looks at a picture decodes it."""
    if _codec(capture.get(cv2.CAP_PROP_FOURCC)) == "MJPG":
        as_it_is = {"FFMPEG": (cv2.CAP_PROP_FORMAT, -1), "V4L2": (cv2.CAP_PROP_CONVERT_RGB, 0)}
        if option := as_it_is.get(capture.getBackendName()):
            capture.set(*option)


def _picture(cv2: Any, capture: Any) -> tuple[tuple[int, int], Any]:
    """Width, height and RGB; 0, 0 and a JPEG; or 0, 0 and nothing where the picture is broken."""
    try:
        whole, image = capture.retrieve()
    except cv2.error:
        whole = False
    if not whole:
        return (0, 0), b""
    if image.ndim == 3:
        return image.shape[1::-1], cv2.cvtColor(image, cv2.COLOR_BGR2RGB).data.cast("B")
    data = image.data.cast("B")
    return (0, 0), data if data[:2] == _JPEG else b""


def _codec(fourcc: float) -> str:
    letters = int(fourcc).to_bytes(4, "little", signed=True).decode("ascii", "replace").strip("\0 ")
    return letters.upper() if letters.isprintable() else ""


def _rate(cv2: Any, capture: Any, address: bool) -> float | None:
    """What a driver promises; FFmpeg says 25 where it knows nothing."""
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    return rate if not address and 0 < rate < 1000 else None


def _say(out: int, message: dict[str, Any]) -> None:
    _send(out, json.dumps(message).encode() + b"\n")


def _send(out: int, data: Any) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]


if __name__ == "__main__":
    main()
