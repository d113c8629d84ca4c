"""A camera on the loopback: MJPEG over HTTP, in a process that can be killed, stopped and started again.

Each picture contains the moment it was made, so that its age can be measured.
"""

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE: Final = (320, 240)
RATE: Final = 30
MS: Final = 1_000_000

_BITS: Final = 24  # milliseconds that wrap around after 4.7 hours
_BLOCK: Final = SIZE[0] // _BITS  # pixels


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def picture(made: int, noise: int = 0) -> NDArray[np.uint8]:
    """BGR, of that moment (monotonic ns): red above, noise below, the moment in black and white blocks."""
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    image[:, :, 2] = 200
    image[120:] = np.random.default_rng(noise).integers(0, 255, (120, SIZE[0], 3), np.uint8)
    for bit in range(_BITS):
        image[:40, bit * _BLOCK : (bit + 1) * _BLOCK] = 255 * (made // MS >> bit & 1)
    return image


def age(image: NDArray[np.uint8], now: int) -> float:
    """How long before `now` (monotonic ns) a picture was made, s."""
    blocks = image[10:30, : _BITS * _BLOCK].reshape(20, _BITS, _BLOCK, 3)
    bits = blocks[:, :, 3:-3].mean(axis=(0, 2, 3)) > 128
    made = sum(int(bit) << k for k, bit in enumerate(bits))
    return ((now // MS - made) % (1 << _BITS)) / 1000


def with_exif(jpeg: bytes, more: bytes = b"") -> bytes:
    """The picture with an EXIF block, as phones and picamera2 write it: orientation 1, then `more`."""
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\0\0\0\0"
    block = b"Exif\0\0" + tiff + more
    return jpeg[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2) + block + jpeg[2:]


class Server:
    """The camera's process; a context manager.

    `kind`: `moving`, `freezing` (after a second), `still` (always the same picture), `stuck` (sends no more
    after four pictures), `dark`, `blank` (nearly one colour), `damaged` (bytes too many in each picture),
    `exif` (each picture has an EXIF block), `exif later` (from the 20th on), `cut` (every third is cut in
    half), `locked` (asks for a password), `html`, `missing`, `silent`. `rate`: pictures/s.
    """

    def __init__(self, kind: str = "moving", port: int | None = None, rate: float = RATE) -> None:
        self.kind, self.port, self.rate = kind, port or free_port(), rate
        self.address = f"http://127.0.0.1:{self.port}/video"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Returns when it listens."""
        command = [sys.executable, __file__, str(self.port), self.kind, str(self.rate)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"listening\n"

    def signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def stop(self) -> None:
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)


def _pictures(kind: str, rate: float) -> Iterator[bytes]:
    began = time.monotonic_ns()
    for k in itertools.count():
        due = began + round(k * 1e9 / rate)
        time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
        if kind == "stuck" and k == 4:
            time.sleep(60)
        still = kind == "still" or (kind == "freezing" and k > RATE)
        made = time.monotonic_ns() if not still else 0 if kind == "still" else began
        image = picture(made, 0 if still else k)
        if kind == "dark":
            image //= 32
        elif kind == "blank":
            image = image // 32 + 120
        data = cv2.imencode(".jpg", image)[1].tobytes()
        if kind == "damaged":
            data = data[:-2] + b"excess" + data[-2:]
        elif kind == "exif" or (kind == "exif later" and k >= 20):
            data = with_exif(data)
        elif kind == "cut" and k % 3 == 1:
            data = data[: len(data) // 2]
        yield data


class _Handler(BaseHTTPRequestHandler):
    kind, rate = "moving", float(RATE)

    def do_GET(self) -> None:
        if self.kind == "html":
            self._head("text/html; charset=utf-8")
            self.wfile.write(b"<!DOCTYPE html><html><body>Log in, please.</body></html>")
        elif self.kind == "missing":
            self.send_error(404)
        elif self.kind == "silent":
            time.sleep(60)
        elif self.kind == "locked" and "Authorization" not in self.headers:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
        else:
            self._head("multipart/x-mixed-replace;boundary=frame")
            with contextlib.suppress(ConnectionError):
                for data in _pictures(self.kind, self.rate):
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    self.wfile.write(head.encode() + data + b"\r\n")

    def _head(self, content: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    _Handler.kind, _Handler.rate = sys.argv[2], float(sys.argv[3])
    cv2.setNumThreads(1)
    with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler) as server:
        print("listening", flush=True)
        server.serve_forever()
