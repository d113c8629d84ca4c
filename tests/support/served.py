"""Shared by the tests of the page's server: estimates, an observed run, and clients."""

import contextlib
import http.client
import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from enrapt.contracts.schemas import AUDIO, FACE, Schema
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.page import process
from enrapt.realtime.page.listener import Listener
from enrapt.realtime.page.observed import Landmarks
from enrapt.realtime.page.server import PageServer
from enrapt.realtime.page.service import Service
from enrapt.realtime.streams.samples import SECOND, Observation

RATE = 25
SCHEMAS = {"face": FACE.name, "audio": AUDIO.name}


class FakeRun:
    """A run for the page.

    Args:
        description: changes to its description; a live run that can do everything without them.

    Attributes:
        state: its status.
        shown: its landmarks.
        commands: method and label of each control that was called.
    """

    rate = RATE

    def __init__(self, **description: Any) -> None:
        self._description = {
            "kind": "live",
            "name": "live",
            "rate": RATE,
            "bundle": {
                "name": "B",
                "sha256": "0123456789",
                "trained_on": "no data",
                "not_for": "any use",
            },
            "modalities": ["face", "audio"],
            "schemas": SCHEMAS,
            "sources": ["face", "audio"],
            "can": ["pause", "mark", "reset", "calibrate", "follow"],
            "people": 1,
            "recording": None,
            "media_kept": False,
            "duration": None,
            **description,
        }
        self.state: dict[str, Any] = {
            "devices": [{"name": "camera", "state": "open", "format": "640×480"}],
            "drops": {"face": {"superseded": 3}},
            "latency_ms": {"step": {"p50": 0.07, "p95": 0.09, "p99": 0.2}},
            "paused": False,
            "profile": None,
            "calibrating": None,
            "outputs": {},
        }
        self.shown: Landmarks | None = None
        self.person: int | None = None
        self.commands: list[tuple[str, str]] = []

    def description(self) -> dict[str, Any]:
        return self._description

    def status(self) -> dict[str, Any]:
        return self.state

    def landmarks(self) -> Landmarks | None:
        return self.shown

    def pause(self) -> None:
        self.commands.append(("pause", ""))

    def resume(self) -> None:
        self.commands.append(("resume", ""))

    def mark(self, label: str) -> None:
        self.commands.append(("mark", label))

    def reset(self) -> None:
        self.commands.append(("reset", ""))

    def calibrate(self) -> None:
        self.commands.append(("calibrate", ""))

    def follow(self, person: int) -> None:
        self.commands.append(("follow", str(person)))


class ThreadedPage(PageServer):
    """A page whose process is a thread of this one, so that tests can look into it and change it."""

    def _start(self) -> Any:
        return _Served(self._request, os.dup(self._listener.fileno()))

    @property
    def service(self) -> Service:
        wait_until(lambda: self._process is not None)
        assert isinstance(self._process, _Served)
        assert isinstance(self._process.service, Service)
        return self._process.service


class _Served:
    """What `PageServer` uses of `subprocess.Popen`."""

    def __init__(self, request: dict[str, Any], listener: int) -> None:
        self._pipe, stdin = os.pipe()
        stdout, self._out = os.pipe()
        self.stdin, self.stdout = os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb")
        self._request = request
        self.service = process.service_of(request, self._out)
        self._listener = Listener(listener, self.service.connections)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        process.serve(self.service, self._request, self._listener, self._pipe, self._out)
        self._listener.close()
        for descriptor in (self._pipe, self._out):
            os.close(descriptor)

    def poll(self) -> int | None:
        return None if self._thread.is_alive() else 0

    def wait(self, timeout: float | None = None) -> int:
        self._thread.join(timeout)
        return 0

    def kill(self) -> None:
        self.stdin.close()

    def __enter__(self) -> "_Served":
        return self

    def __exit__(self, *_: object) -> None:
        self.stdin.close()
        self._thread.join()
        self.stdout.close()


def observed(server: PageServer, **description: Any) -> FakeRun:
    """A run that the server observes, whose description clients have."""
    run = FakeRun(**description)
    server.observe(run)
    with websocket(server, "/page") as page:
        while receive(page, "hello") != {"type": "hello", **run.description()}:
            pass
    return run


def tick(k: int) -> tuple[Estimate, Observation]:
    """Tick `k`: a face, and no sound."""
    estimate = Estimate(
        tick=k,
        t=k / RATE,
        engagement=Engagement(mean=0.6, std=0.08, low=0.47, high=0.74),
        present={"face": True, "audio": False},
        age_ms={"face": 12.0, "audio": None},
        surprise={"face": 3.1, "audio": None},
        latency_ms=Latency(step=0.25, total=20.0, tick=3.0, extract={"face": 5.0}, waits={"face": 1.0}),
    )
    face = np.zeros(FACE.dim, np.float32)
    return estimate, Observation(
        k, k * SECOND // RATE, {"face": face, "audio": None}, {"face": 1, "audio": None}
    )


def vector(schema: Schema, **values: float) -> NDArray[np.float32]:
    """A feature vector with these values; the others are 0."""
    features = np.zeros(schema.dim, np.float32)
    for name, value in values.items():
        features[schema.index(name)] = value
    return features


def port_of(server: PageServer) -> int:
    return int(server.address.split("/")[2].rpartition(":")[2])


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


def request(
    server: PageServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Status, headers and content of the response."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=10)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): x for name, x in headers.items()})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def websocket(server: PageServer, path: str, **options: Any) -> ClientConnection:
    """A client; a context manager."""
    options = {"compression": None, "max_queue": None} | options
    return connect(f"ws://127.0.0.1:{port_of(server)}{path}", **options)


def close_code(client: ClientConnection) -> int:
    """Read to the end; the code with which the server closed it."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            client.recv(timeout=10)
    assert client.close_code is not None
    return client.close_code


def receive(client: ClientConnection, kind: str | None = None) -> Any:
    """The next message; of that type."""
    while True:
        message = json.loads(client.recv(timeout=10))
        if kind is None or message.get("type") == kind:
            return message


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def settle(server: PageServer) -> None:
    """Wait until the page's process has shown what was written; it adds a mark."""
    with websocket(server, "/page") as page:
        receive(page, "hello")
        server.mark(0.0, "settled")
        receive(page, "mark")


def varying(k: int, *, face: bool = True, mean: float | None = None) -> tuple[Estimate, Observation]:
    """Tick `k`: a mean that depends on it unless given, sound, and a face if `face`."""
    mean = round(0.3 + 0.001 * k, 4) if mean is None else mean
    estimate = Estimate(
        k,
        k / RATE,
        Engagement(mean, 0.0812, round(mean - 0.1237, 4), round(mean + 0.1411, 4)),
        {"face": face, "audio": True},
        {"face": 12.3 if face else None, "audio": 4.5},
        {"face": 3.217 if face else None, "audio": -41.5},
        Latency(0.07, 21.4, extract={"face": 5.2}),
    )
    values = {
        "face": vector(FACE, yaw=np.radians(-20), jawOpen=0.75) if face else None,
        "audio": vector(AUDIO, level=-30),
    }
    age = {"face": 12_300_000 if face else None, "audio": 4_500_000}
    return estimate, Observation(k, k * SECOND // RATE, values, age)


def feed(server: PageServer, ticks: Iterable[int], *, face: bool = True, every: float = 0.004) -> None:
    """Write these ticks, one each `every` seconds."""
    for k in ticks:
        server.write(*varying(k, face=face))
        time.sleep(every)
