import contextlib
import json
import socket
import time

import pytest

from enrapt.realtime.page import clients as module
from enrapt.realtime.page import server as running
from enrapt.realtime.page.clients import BYTES, MESSAGES
from enrapt.realtime.page.server import PageServer
from tests.support.served import HANDSHAKE, ask, last_of, listen, port_of, tick, told, until


def test_who_reads_slowly_is_let_go_and_costs_the_others_no_tick(server):
    with listen(server, "/ws") as quick, _deaf(server, "/ws") as slow:
        _joined(server, "/ws", 2)
        sent = 0
        while not server._clients.let_go["slow"]:
            assert sent < 20_000
            server.write(*tick(sent))
            assert told(quick)["tick"] == sent
            sent += 1
        for k in range(sent, sent + 100):
            server.write(*tick(k))
            assert told(quick)["tick"] == k
        said = _read(slow)
    # What the system had taken for it arrives, without a gap, and then why it ends.
    texts = [json.loads(content) for opcode, content in said if opcode == 1]
    assert [message["tick"] for message in texts] == list(range(len(texts)))
    assert sent - 200 < len(texts) < sent
    assert said[-1] == (8, (1013).to_bytes(2, "big") + b"too slow")


def test_who_never_reads_again_is_cut_off(server, monkeypatch):
    monkeypatch.setattr(module, "LEAVING", 0.2)
    with _deaf(server, "/ws"):
        _joined(server, "/ws", 1)
        while not server._clients.let_go["slow"]:
            server.write(*tick(0))
            time.sleep(0.0001)
        _joined(server, "/ws", 0)
        until(lambda: not server._server.server_state.connections)


def test_the_end_waits_for_nobody_who_reads_nothing(server):
    with _deaf(server, "/ws"), _deaf(server, "/page"):
        _joined(server, "/ws", 1)
        _joined(server, "/page", 1)
        server.hello({"kind": "replay"})  # so that they stay
        for k in range(1000):
            server.write(*tick(k))
        until(lambda: server.counts.waiting == 0)
        assert sum(server._clients.connected.values()) == 2
        began = time.perf_counter()
        server.close(True)
        assert time.perf_counter() - began < 1
        assert not server._threads[0].is_alive()


def test_in_a_replay_who_reads_slowly_misses_the_oldest(server):
    """Ticks come as fast as the machine can go, which is nobody's fault."""
    server.hello({"kind": "replay"})
    with _deaf(server, "/ws") as slow:
        _joined(server, "/ws", 1)
        for k in range(3000):
            server.write(*tick(k))
            if k % 100 == 0:
                time.sleep(0.01)
        until(lambda: server.counts.waiting == 0)
        assert not server._clients.let_go
        ticks = []
        for _, content in _frames(slow):
            ticks.append(json.loads(content)["tick"])
            if ticks[-1] == 2999:
                break
    assert ticks == sorted(ticks)
    assert ticks[-50:] == list(range(2950, 3000))
    assert len(ticks) < 3000


@pytest.mark.parametrize(
    ("path", "said", "code"),
    [
        ("/page", "rubbish", 1008),
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
def test_who_says_rubbish_is_let_go_and_nobody_else(server, path, said, code):
    server.hello({"kind": "live", "can": ["mark"]})
    with listen(server, path) as other, listen(server, path) as client:
        client.send(said)
        assert last_of(client) == code
        _joined(server, path, 1)
        server.write(*tick(0))
        assert "tick" in (told(other, "estimate") if path == "/page" else told(other))
    assert list(server.commands()) == []


def test_who_floods_is_let_go(server):
    server.hello({"kind": "live", "can": ["mark"]})
    with listen(server, "/page") as client:
        for _ in range(MESSAGES + 1):
            client.send('{"do":"mark"}')
        assert last_of(client) == 1008
    assert len(list(server.commands())) == MESSAGES
    assert server._clients.let_go == {"flood": 1}


def test_who_says_no_more_than_it_may_stays(server):
    server.hello({"kind": "live", "can": ["mark"]})
    with listen(server, "/page") as client:
        for _ in range(3):
            for _ in range(MESSAGES // 2):
                client.send('{"do":"mark"}')
            time.sleep(0.6)
        server.write(*tick(0))
        assert told(client, "estimate")["tick"] == 0
    assert len(list(server.commands())) == 3 * (MESSAGES // 2)


def test_who_asks_for_nothing_does_not_stay(server, monkeypatch):
    monkeypatch.setattr(module, "SILENT", 0.2)
    with socket.create_connection(("127.0.0.1", port_of(server)), timeout=5) as silent:
        assert silent.recv(1) == b""


def test_pings_whose_answers_nobody_reads_are_not_kept(server):
    with _deaf(server, "/ws") as deaf:
        ping = b"\x89\xfd" + bytes(4) + b"x" * 125
        with pytest.raises(ConnectionError):  # noqa: PT012
            for _ in range(20_000):
                deaf.sendall(ping * 10)
        _joined(server, "/ws", 0)


def test_one_too_many_is_told_so_and_the_others_stay(server, monkeypatch):
    monkeypatch.setattr(server._clients, "limit", 2)
    with listen(server, "/ws") as client, listen(server, "/page"):
        _joined(server, "/page", 1)
        status, _, content = ask(server, "/ws", **HANDSHAKE)
        assert (status, content) == (503, b'{"error":"too many connections"}')
        server.write(*tick(0))
        assert told(client)["tick"] == 0
    _joined(server, "/ws", 0)
    with listen(server, "/ws"):
        _joined(server, "/ws", 1)


def test_of_connections_without_a_question_there_is_an_end_as_well(monkeypatch):
    monkeypatch.setattr(running, "CONNECTIONS", 3)
    server = PageServer(port=0)
    many, refused = [], set()

    def refuses(n):
        for one in set(many) - refused:
            with contextlib.suppress(BlockingIOError):
                with contextlib.suppress(ConnectionError):
                    assert one.recv(1) == b""
                refused.add(one)
        return len(refused) == n

    try:
        for _ in range(3 + module._SPARE):
            many.append(socket.create_connection(("127.0.0.1", port_of(server)), timeout=5))
            many[-1].setblocking(False)
        until(lambda: len(server._server.server_state.connections) == len(many))
        assert refuses(0)
        for _ in range(30):
            many.append(socket.create_connection(("127.0.0.1", port_of(server)), timeout=5))
            many[-1].setblocking(False)
        until(lambda: refuses(30))
        many.pop(0).close()
        until(lambda: len(server._server.server_state.connections) == 2 + module._SPARE)
        assert ask(server, "/health")[::2] == (503, b"Service Unavailable")  # one too many, but in
    finally:
        for one in many:
            one.close()
        server.close(True)


def _deaf(server, path):
    """A WebSocket that reads only when asked, with little room."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.settimeout(10)
    raw.connect(("127.0.0.1", port_of(server)))
    raw.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port_of(server)}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += raw.recv(1)
    assert answer.startswith(b"HTTP/1.1 101 ")
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
    said = []
    for opcode, content in _frames(raw):
        said.append((opcode, content))
        if opcode == 8:
            break
    return said


def _joined(server, path, n):
    until(lambda: server._clients.connected[path] == n)
