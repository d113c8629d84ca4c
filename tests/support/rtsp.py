"""A camera on the loopback that speaks RTSP: MPEG-TS in RTP, interleaved with the answers (RFC 2326)."""

import contextlib
import io
import itertools
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

SIZE = (64, 48)
_SDP = (
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=video 0 RTP/AVP 33\r\na=control:track\r\n"
)


def transport_stream(seconds: float = 2.0) -> bytes:
    """A picture each 40 ms, as MPEG-TS."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mpegts") as container:
        video = container.add_stream("mpeg2video", rate=25)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        for k in range(round(seconds * 25)):
            frame = av.VideoFrame.from_ndarray(np.full((SIZE[1], SIZE[0], 3), 2 * k % 256, np.uint8))
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(video.encode(frame.reformat(format="yuv420p", threads=1)))
        container.mux(video.encode(None))
    return buffer.getvalue()


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while request := self._request():
                method, headers = request
                answers = {
                    "DESCRIBE": ("Content-Type: application/sdp\r\n", _SDP),
                    "SETUP": ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n", ""),
                    "OPTIONS": ("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n", ""),
                }
                more, body = answers.get(method, ("Session: 1\r\n", ""))
                head = (
                    f"RTSP/1.0 200 OK\r\nCSeq: {headers['cseq']}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
                )
                self.wfile.write((head + body).encode())
                if method == "PLAY":
                    self._play()

    def _request(self) -> tuple[str, dict[str, str]] | None:
        first = self.rfile.readline().decode()
        lines = itertools.takewhile(str.strip, (line.decode() for line in self.rfile))
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return (first.split()[0], headers) if "cseq" in headers else None

    def _play(self) -> None:
        data = transport_stream()
        parts = [data[at : at + 7 * 188] for at in range(0, len(data), 7 * 188)]
        for k, part in enumerate(itertools.chain.from_iterable(itertools.repeat(parts, 5))):
            rtp = struct.pack(">BBHII", 0x80, 33, k % 65536, k * 3600, 1) + part
            self.wfile.write(struct.pack(">cBH", b"$", 0, len(rtp)) + rtp)
            time.sleep(0.02)


@contextlib.contextmanager
def rtsp_camera() -> Iterator[str]:
    """Its address."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"rtsp://127.0.0.1:{server.server_address[1]}/camera"
        server.shutdown()
