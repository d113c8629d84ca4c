"""A camera for benchmarks: JPEGs as MJPEG over HTTP on the loopback."""

import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def mjpeg_camera(
    jpeg: Callable[[int], bytes], rate: float, start: float | None = None
) -> ThreadingHTTPServer:
    """A server, which its caller runs.

    Args:
        jpeg: the picture of that number.
        rate: pictures per second.
        start: monotonic s; when picture 0 was due. Without it, each connection begins with picture 1.
    """

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
            self.end_headers()
            began, number = time.monotonic() if start is None else start, 0
            while True:
                number = max(number + 1, int((time.monotonic() - began) * rate))
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
                data = jpeg(number)
                head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                try:
                    self.wfile.write(head.encode() + data + b"\r\n")
                except OSError:
                    return

        def log_message(self, *_: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", 0), Camera)
