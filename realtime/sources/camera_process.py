"""The process of a camera, which owns OpenCV's capture; see `process` for both sides.

V4L2 has no time-out for opening, and libjpeg writes "Corrupt JPEG data" on the terminal at any log level.

The request is `{"source": …, "size": …, "rate": …, "all": …}`, the first line `{"codec": …, "rate": …}`, with
the first picture, or `{"error": …}` (see `camera_diagnosis.diagnose_camera`). Pictures follow: `HEADER`, and
a JPEG as it came from the camera, or RGB uint8 `[height, width, 3]`.

Flow control is by credit: each further byte on standard input asks for one picture. One thread captures into
a mailbox with room for one picture, or with `all` for `ROOM` bytes of them: capture never waits for the
reader, and every picture that is displaced is counted.
"""

import contextlib
import os
import struct
import sys
import threading
import time
from typing import Any, Final, NamedTuple, NoReturn

from ..streams.mailbox import Mailbox
from .child import begin, say, send

# When the light reached the sensor (monotonic ns), the source's own time stamp (ns, any origin; −1: it has
# none), width and height (0 and 0: a JPEG), bytes (0: a picture that could not be decoded), how many pictures
# were displaced since the last one that was sent, and how many wait behind this one.
HEADER: Final = struct.Struct("<qqiiiii")
CREDIT: Final = b"."
OPEN: Final = 5.0  # s; addresses
ROOM: Final = 48 << 20  # bytes; 40 s of a 640×480 MJPEG camera, or 1.7 s where pictures are RGB

_READ: Final = 30.0  # s; addresses. The parent knows how often pictures come, and kills this process before
_MAX_DELAY: Final = 1_000_000_000  # ns; a time stamp that is older is of another clock
_MS: Final = 1_000_000  # ns
_JPEG: Final = b"\xff\xd8"  # its first bytes
# FFmpeg buffers pictures for smooth playback; here low delay matters more.
_LIVE: Final = "fflags;nobuffer|flags;low_delay|rtsp_flags;prefer_tcp"
# Streams of one server: playlists (HLS, DASH), lists of files and SDP lead to other servers, or to files.
_ALLOWED: Final = (
    "protocol_whitelist;http,https,httpproxy,tcp,tls,udp,rtp,srtp|"
    "format_whitelist;rtsp,mpjpeg,mjpeg,jpeg_pipe,mpegts,mpeg,flv,matroska,mov,asf,ogg,nut,ivf,"
    "h261,h263,h264,hevc,vvc,m4v,mpegvideo,vc1,av1,obu"
)


class Captured(NamedTuple):
    """A picture that waits to be sent; see `HEADER`."""

    moment: int
    stamp: int
    size: tuple[int, int]
    data: Any


def main() -> NoReturn:
    request, credit, out = begin()
    pictures = mailbox(request["all"])
    sender = threading.Thread(target=send_pictures, args=(pictures, credit, out), daemon=True)
    sender.start()
    with contextlib.suppress(OSError):  # the parent reads no more
        capture(request["source"], request["size"], request["rate"], pictures, out)
        pictures.close()
        sender.join()
    os._exit(0)  # nothing is worth waiting for a driver that hangs


def mailbox(keep_all: bool) -> Mailbox[Captured]:
    """Where pictures wait for credit."""
    if keep_all:
        return Mailbox(ROOM, "latest", "superseded", lambda picture: len(picture.data))
    return Mailbox(1, "latest", "superseded")


def send_pictures(pictures: Mailbox[Captured], credit: threading.Semaphore, out: int) -> None:
    """Send a picture for each credit, until the mailbox is closed and empty, or the pipe is."""
    superseded = 0  # reported so far
    with contextlib.suppress(OSError):
        while credit.acquire() and (picture := pictures.get()) is not None:
            waiting, before, superseded = len(pictures), superseded, pictures.counts.dropped["superseded"]
            moment, stamp, size, data = picture
            send(out, HEADER.pack(moment, stamp, *size, len(data), superseded - before, waiting))
            send(out, data)


def capture(
    source: int | str, size: tuple[int, int], rate: float, pictures: Mailbox[Captured], out: int
) -> None:
    """Put pictures into the mailbox until the camera gives no more; send the first line."""
    try:
        import cv2  # late: the parent imports HEADER
    except ImportError as error:
        say(out, {"error": f"OpenCV cannot be loaded ({error}); pip install opencv-python-headless"})
        return
    cv2.setNumThreads(1)
    address = isinstance(source, str) and "://" in source
    device = _opened_address(cv2, source) if address else _opened_device(cv2, source, size, rate)
    if not device.isOpened():
        say(out, {"error": "closed"})
        return
    _leave_jpegs(cv2, device)
    stamped = not address or str(source).startswith("rtsp")  # HTTP has no times; FFmpeg makes them up
    first, moment = True, -1
    while device.grab():
        grabbed = time.monotonic_ns()
        stamp = round(device.get(cv2.CAP_PROP_POS_MSEC) * _MS) if stamped else -1
        size_and_data = _picture(cv2, device)
        if first:
            say(out, {"codec": _codec(device.get(cv2.CAP_PROP_FOURCC)), "rate": _rate(cv2, device, address)})
            first = False
        moment = grabbed if address else originating(stamp, grabbed, moment)
        pictures.put(Captured(moment, stamp, *size_and_data))
    if first:
        say(out, {"error": "dark"})


def originating(stamp: int, grabbed: int, last: int = -1) -> int:
    """When the light reached the sensor, monotonic ns: the driver's time stamp, or when the picture was there
    if the stamp cannot be of the monotonic clock, or is not later than `last`, the picture before."""
    return stamp if stamp > last and 0 <= grabbed - stamp < _MAX_DELAY else grabbed


def _opened_address(cv2: Any, address: int | str) -> Any:
    # Of an option that is given twice, the last counts.
    wanted = os.environ.get("OPENCV_FFMPEG_CAPTURE_OPTIONS") or _LIVE
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = f"{wanted}|{_ALLOWED}"
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


def _leave_jpegs(cv2: Any, device: Any) -> None:
    """Leave Motion JPEG undecoded where OpenCV can: the parent decodes only the pictures that it uses."""
    if _codec(device.get(cv2.CAP_PROP_FOURCC)) == "MJPG":
        as_it_is = {"FFMPEG": (cv2.CAP_PROP_FORMAT, -1), "V4L2": (cv2.CAP_PROP_CONVERT_RGB, 0)}
        if option := as_it_is.get(device.getBackendName()):
            device.set(*option)


def _picture(cv2: Any, device: Any) -> tuple[tuple[int, int], Any]:
    """Width, height and RGB; 0, 0 and a JPEG; or 0, 0 and nothing where the picture is broken."""
    try:
        whole, image = device.retrieve()
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


def _rate(cv2: Any, device: Any, address: bool) -> float | None:
    """Frames/s by the driver; None if unknown: FFmpeg then reports 25."""
    rate = float(device.get(cv2.CAP_PROP_FPS))
    return rate if not address and 0 < rate < 1000 else None


if __name__ == "__main__":
    main()
