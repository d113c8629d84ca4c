import json
import socket
import time

import pytest

from enrapt.realtime.page import clients as clients_module
from enrapt.realtime.page import listener
from enrapt.realtime.page import process as process_module
from enrapt.realtime.page.clients import BYTES, MESSAGES
from tests.support.served import (
    HANDSHAKE,
    ThreadedPage,
    close_code,
    observed,
    port_of,
    receive,
    request,
    tick,
    wait_until,
    websocket,
)

pytestmark = pytest.mark.live


def test_slow_client_is_disconnected_and_others_miss_nothing(threaded):
    with websocket(threaded, "/ws") as quick, _unread(threaded, "/ws") as slow:
        _connected(threaded, "/ws", 2)
        sent = 0
        while not threaded.service.clients.disconnected["slow"]:
            assert sent < 20_000
            threaded.write(*tick(sent))
            assert receive(quick)["tick"] == sent
            sent += 1
        for k in range(sent, sent + 100):
            threaded.write(*tick(k))
            assert receive(quick)["tick"] == k
        frames = _read(slow)
    # What the threaded and the system had buffered arrives without a gap, then the reason.
    texts = [json.loads(content) for opcode, content in frames if opcode == 1]
    assert [message["tick"] for message in texts] == list(range(len(texts)))
    assert sent - 200 < len(texts) < sent
    assert frames[-1] == (8, (1013).to_bytes(2, "big") + b"too slow")


def test_client_that_never_reads_again_is_cut_off(threaded, monkeypatch):
    monkeypatch.setattr(clients_module, "CLOSE_TIMEOUT", 0.2)
    with _unread(threaded, "/ws"):
        _connected(threaded, "/ws", 1)
        while not threaded.service.clients.disconnected["slow"]:
            threaded.write(*tick(0))
            time.sleep(0.0001)
        _connected(threaded, "/ws", 0)
        wait_until(lambda: not threaded.service.connections.sockets)


def test_close_does_not_wait_for_clients_that_read_nothing(threaded):
    with _unread(threaded, "/ws"), _unread(threaded, "/page"):
        _connected(threaded, "/ws", 1)
        _connected(threaded, "/page", 1)
        observed(threaded, kind="replay")  # which does not disconnect slow clients
        for k in range(1000):
            threaded.write(*tick(k))
        wait_until(lambda: threaded.counts.waiting == 0)
        assert sum(threaded.service.clients.connected.values()) == 2
        start = time.perf_counter()
        threaded.close(True)
        assert time.perf_counter() - start < 1
        assert not threaded._thread.is_alive()


def test_slow_client_of_a_replay_misses_the_oldest(threaded):
    """A replay may be faster than any client."""
    observed(threaded, kind="replay")
    with _unread(threaded, "/ws") as slow:
        _connected(threaded, "/ws", 1)
        for k in range(3000):
            threaded.write(*tick(k))
            if k % 100 == 0:
                time.sleep(0.01)
        wait_until(lambda: threaded.counts.waiting == 0)
        assert not threaded.service.clients.disconnected
        ticks = []
        for _, content in _frames(slow):
            ticks.append(json.loads(content)["tick"])
            if ticks[-1] == 2999:
                break
    assert ticks == sorted(ticks)
    assert ticks[-50:] == list(range(2950, 3000))
    assert len(ticks) < 3000


@pytest.mark.parametrize(
    ("path", "message", "code"),
    [
        ("/page", "not JSON", 1008),
        ("/page", "", 1008),
        ("/page", "[]", 1008),
        ("/page", '{"do":"explode"}', 1008),
        ("/page", '{"do":"mark","label":7}', 1008),
        ("/page", '{"do":"mark","label":"x","more":1}', 1008),
        ("/page", json.dumps({"do": "mark", "label": "x" * 201}), 1008),
        ("/page", "[" * BYTES, 1008),
        ("/page", b'{"do":"mark"}', 1003),
        ("/page", "x" * (BYTES + 1), 1009),
        ("/page", b"x" * (BYTES + 1), 1009),
        ("/ws", '{"do":"mark"}', 1008),
        ("/ws", "x" * (BYTES + 1), 1009),
    ],
)
def test_invalid_message_disconnects_its_client_only(threaded, path, message, code):
    run = observed(threaded)
    with websocket(threaded, path) as other, websocket(threaded, path) as client:
        client.send(message)
        assert close_code(client) == code
        _connected(threaded, path, 1)
        threaded.write(*tick(0))
        assert "tick" in (receive(other, "estimate") if path == "/page" else receive(other))
    assert not run.commands


def test_messages_after_an_invalid_one_are_ignored(server):
    run = observed(server)
    mark = b"\x81\x8d" + bytes(4) + b'{"do":"mark"}'  # masked with zeros
    with _unread(server, "/page") as client:
        client.sendall(b"\x81\x80" + bytes(4) + 5 * mark)
        assert _read(client)[-1][0] == 8
    assert not run.commands


def test_client_above_the_rate_limit_is_disconnected(threaded):
    run = observed(threaded)
    with websocket(threaded, "/page") as client:
        for _ in range(MESSAGES + 1):
            client.send('{"do":"mark"}')
        assert close_code(client) == 1008
    wait_until(lambda: len(run.commands) == MESSAGES)
    assert threaded.service.clients.disconnected == {"rate": 1}


def test_client_within_the_rate_limit_stays(server):
    run = observed(server)
    with websocket(server, "/page") as client:
        for _ in range(3):
            for _ in range(MESSAGES // 2):
                client.send('{"do":"mark"}')
            time.sleep(0.55)
        server.write(*tick(0))
        assert receive(client, "estimate")["tick"] == 0
    wait_until(lambda: len(run.commands) == 3 * (MESSAGES // 2))


def test_header_is_limited(server):
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=5) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000)
        assert client.recv(100).startswith(b"HTTP/1.1 400 ")


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="a limit of Linux")
def test_client_that_sends_pings_and_does_not_read_the_pongs_is_cut_off(monkeypatch):
    monkeypatch.setattr(listener, "UNREAD", 0.3)
    monkeypatch.setattr(process_module, "PING_INTERVAL", 0.1)
    monkeypatch.setattr(process_module, "PING_TIMEOUT", 0.1)
    server = ThreadedPage(port=0)
    try:
        with _unread(server, "/ws") as client:
            ping = b"\x89\xfd" + bytes(4) + b"x" * 125
            with pytest.raises(ConnectionError):  # noqa: PT012
                while True:
                    client.sendall(ping * 10)
            _connected(server, "/ws", 0)
    finally:
        server.close(True)


def test_client_above_the_limit_gets_503_and_the_others_stay(threaded, monkeypatch):
    monkeypatch.setattr(threaded.service.clients, "limit", 2)
    with websocket(threaded, "/ws") as client, websocket(threaded, "/page"):
        _connected(threaded, "/page", 1)
        status, _, content = request(threaded, "/ws", **HANDSHAKE)
        assert (status, content) == (503, b'{"error":"too many clients"}')
        threaded.write(*tick(0))
        assert receive(client)["tick"] == 0
    _connected(threaded, "/ws", 0)
    with websocket(threaded, "/ws"):
        _connected(threaded, "/ws", 1)


def _unread(server, path):
    """A WebSocket that reads nothing by itself, with a small receive buffer."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(10)
    raw.connect(("127.0.0.1", port_of(server)))
    raw.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port_of(server)}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    response = b""
    while not response.endswith(b"\r\n\r\n"):
        response += raw.recv(1)
    assert response.startswith(b"HTTP/1.1 101 ")
    return raw


def _frames(raw):
    """Opcode and content of each frame; RFC 6455, section 5.2."""
    stream = raw.makefile("rb")
    while head := stream.read(2):
        size = head[1]
        if size == 126:
            size = int.from_bytes(stream.read(2), "big")
        yield head[0] & 15, stream.read(size)


def _read(raw):
    """Frames up to the closing one."""
    frames = []
    for opcode, content in _frames(raw):
        frames.append((opcode, content))
        if opcode == 8:
            break
    return frames


def _connected(server, path, n):
    wait_until(lambda: server.service.clients.connected[path] == n)
