"""What the server's tests share: ticks to tell, and ways to ask."""

import contextlib
import http.client
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.page.server import PageServer
from enrapt.realtime.streams.samples import Observation

RATE = 25


def tick(k: int, **changed: Any) -> tuple[Estimate, Observation]:
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
    return estimate, Observation(k, k * 40_000_000, {"face": face, "audio": None}, {"face": 1, "audio": None})


def heard(**values: float) -> np.ndarray:
    """A vector of `audio/1`."""
    audio = np.zeros(AUDIO.dim, np.float32)
    for name, value in values.items():
        audio[AUDIO.index(name)] = value
    return audio


def seen(**values: float) -> np.ndarray:
    """A vector of `face/1`."""
    face = np.zeros(FACE.dim, np.float32)
    for name, value in values.items():
        face[FACE.index(name)] = value
    return face


def port_of(server: PageServer) -> int:
    return int(server.address.split("/")[2].rpartition(":")[2])


HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


def ask(
    server: PageServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Status, headers and content of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(server), timeout=10)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): x for name, x in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def listen(server: PageServer, path: str, **options: Any) -> ClientConnection:
    """A WebSocket; to be used in a `with`."""
    options = {"compression": None, "max_queue": None} | options
    return connect(f"ws://127.0.0.1:{port_of(server)}{path}", **options)


def last_of(client: ClientConnection) -> int:
    """Read on to its end; how it was closed."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            client.recv(timeout=10)
    assert client.close_code is not None
    return client.close_code


def told(client: ClientConnection, kind: str | None = None) -> Any:
    """The next message; of that type."""
    while True:
        message = json.loads(client.recv(timeout=10))
        if kind is None or message.get("type") == kind:
            return message


def until(holds: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
