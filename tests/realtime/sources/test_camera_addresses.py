"""What a camera's address may lead to: the camera's own process, and real servers."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support import recordings
from tests.support.mjpeg import Server
from tests.support.rtsp import rtsp_camera, transport_stream


class Host(ThreadingHTTPServer):
    """Gives each path its content type and body, or an address to go to; keeps what was asked for."""

    def __init__(self, contents: dict[str, tuple[str, bytes]]) -> None:
        self.contents, self.asked = contents, []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        content, body = self.server.contents.get(self.path, ("", b""))
        if content == "redirect":
            self.send_response(302)
            self.send_header("Location", body.decode())
        else:
            self.send_response(200 if content else 404)
            self.send_header("Content-Type", content)
        self.send_header("Content-Length", "0" if content == "redirect" else str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(b"" if content == "redirect" else body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def host(contents: dict[str, tuple[str, bytes]]) -> Iterator[Host]:
    with Host(contents) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def opened(address: str, **environment: str) -> dict[str, Any]:
    """The first line of the camera's process."""
    command = [sys.executable, "-m", "enrapt.realtime.sources.camera_process"]
    pipe, nothing, all_of_it = subprocess.PIPE, subprocess.DEVNULL, os.environ | environment
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing, env=all_of_it) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        request = {"source": address, "size": (640, 480), "rate": 30, "all": False}
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        process.kill()
    answer: dict[str, Any] = json.loads(line)
    return answer


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("private") / "film.ts"
    path.write_bytes(transport_stream())
    return path


def playlists(film: Path, inner: str) -> dict[str, tuple[str, bytes]]:
    """Pages that name a file of this computer, and another server's."""
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT2S"><Period><AdaptationSet mimeType="video/mp2t">'
        '<Representation id="1" bandwidth="9"><BaseURL>{}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    )
    pages = {}
    for name, target in (("file", f"file://{film}"), ("inner", inner)):
        pages[f"/{name}.m3u8"] = ("application/vnd.apple.mpegurl", hls.format(target).encode())
        pages[f"/{name}.mpd"] = ("application/dash+xml", dash.format(target).encode())
        pages[f"/{name}.ffconcat"] = ("text/plain", f"ffconcat version 1.0\nfile '{target}'\n".encode())
        sdp = f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=a\nt=0 0\na=control:{target}\nm=video 9 RTP/AVP 33\n"
        pages[f"/{name}.sdp"] = ("application/sdp", sdp.encode())
    pages["/to-file"] = ("redirect", f"file://{film}".encode())
    pages["/to-concat"] = ("redirect", f"concat:{film}".encode())
    return pages


def test_a_page_leads_to_no_file_and_to_no_other_server(film: Path) -> None:
    with host({"/film.ts": ("video/mp2t", film.read_bytes())}) as inner:
        pages = playlists(film, f"{inner.address}/film.ts")
        with host(pages) as outer:
            own = "fflags;nobuffer|format_whitelist;hls,dash"  # a user's own options do not undo it
            for path in pages:
                answer = opened(outer.address + path, OPENCV_FFMPEG_CAPTURE_OPTIONS=own)
                assert answer == {"error": "closed"}, path
            assert set(outer.asked) == pages.keys()
        assert inner.asked == []


@pytest.mark.parametrize("prefix", ["concat:", "file:", "subfile,,start,0,end,0,,:", "cache:", "async:"])
def test_other_protocols_are_refused(film: Path, prefix: str) -> None:
    assert opened(f"{prefix}{film}#://")["error"] == "closed"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("a.ts", {"codec": "mpeg2video"}),
        ("a.mkv", {"codec": "libx264"}),
    ],
)
def test_streams_of_pictures_over_http_are_cameras(tmp_path: Path, name: str, what: dict[str, str]) -> None:
    file = recordings.write(tmp_path / name, pictures=recordings.every(0.04, 50), size=(64, 48), **what)
    with host({"/video": ("application/octet-stream", file.read_bytes())}) as server:
        assert "error" not in opened(f"{server.address}/video")


def test_mjpeg_and_rtsp_are_cameras() -> None:
    with Server() as camera:
        assert opened(camera.address)["codec"] == "MJPG"
    with rtsp_camera() as address:
        assert "error" not in opened(address)


def test_a_camera_may_move_to_another_address() -> None:
    with Server() as camera, host({"/old": ("redirect", camera.address.encode())}) as server:
        assert opened(f"{server.address}/old")["codec"] == "MJPG"
