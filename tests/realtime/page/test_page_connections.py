"""Slow clients are closed at a deadline, and those that have all connections shut out nobody else."""

import asyncio
import http.client
import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.realtime.page import connections as connections_module
from enrapt.realtime.page.app import PART, in_parts
from enrapt.realtime.page.connections import Connections
from enrapt.realtime.page.server import CONNECTIONS, PageServer
from tests.support.served import port_of, receive, request, tick, wait_until, websocket

pytestmark = pytest.mark.live

GET = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
FLOOD = """
import resource, socket, sys, time
port, addresses = map(int, sys.argv[1:])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

def connected(i):
    one = socket.socket()
    one.setblocking(False)
    one.bind((f"127.0.0.{1 + i % addresses}", 0))
    one.connect_ex(("127.0.0.1", port))
    return one

all = [connected(i) for i in range(1500)]
print("connected", flush=True)
again = 0
while True:
    time.sleep(0.3)
    renew = 300
    for i, one in enumerate(all):
        try:
            one.send(b"x")
        except BlockingIOError:
            pass
        except OSError:
            if renew:
                one.close()
                all[i] = connected(i)
                renew -= 1
                again += 1
                if again == 1500:
                    print("again", flush=True)
"""


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(connections_module, "REQUEST", 0.4)


def connect(server):
    return socket.create_connection(("127.0.0.1", port_of(server)), timeout=5)


def closed_after(client, dribble=b"x"):
    """Seconds until the server closes a connection that sends a byte now and then."""
    start = time.monotonic()
    client.settimeout(0.05)
    while time.monotonic() - start < 5:
        try:
            client.send(dribble)
            if client.recv(1 << 16) == b"":
                break
        except TimeoutError:
            pass
        except ConnectionError:
            break
    return time.monotonic() - start


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        GET + b"X: ",
        GET + b"\r\n" + GET + b"X: ",  # a second request
        GET + b"Content-Length: 100000\r\n\r\n",  # a body
        GET + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n",
        GET + b"Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n",  # refused
        b"OPTIONS /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    ],
)
def test_bytes_do_not_renew_the_deadline_of_a_request(threaded, quick, sent):
    with connect(threaded) as client:
        client.sendall(sent)
        assert 0.3 < closed_after(client) < 2


def test_connection_that_sends_nothing_is_closed(threaded, quick):
    with connect(threaded) as silent:
        assert silent.recv(1) == b""


def test_requests_in_time_keep_a_connection(threaded, quick):
    client = http.client.HTTPConnection("127.0.0.1", port_of(threaded), timeout=5)
    client.connect()
    first = client.sock
    for _ in range(4):
        client.request("GET", "/openapi.json")
        assert client.getresponse().read().startswith(b"{")
        time.sleep(0.2)
    assert client.sock is first
    client.close()


def test_deadlines_are_not_for_websockets(threaded, quick):
    with websocket(threaded, "/ws") as client:
        time.sleep(0.8)
        threaded.write(*tick(0))
        assert receive(client)["tick"] == 0


def test_response_that_is_taken_slowly_has_a_deadline(threaded, quick, monkeypatch):
    monkeypatch.setattr(connections_module, "RESPONSE", 0.8)
    threaded.service.latest.history = lambda *_: "x" * 20_000_000
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port_of(threaded)))
        client.sendall(b"GET /history HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        start, taken = time.monotonic(), 0
        while content := _received(client):
            taken += len(content)
            time.sleep(0.05)
    assert 0.6 < time.monotonic() - start < 4
    assert taken < 10_000_000


def _received(client):
    try:
        return client.recv(4096)
    except ConnectionError:
        return b""


def test_large_response_arrives_complete_however_long_it_takes(threaded, quick):
    threaded.service.latest.history = lambda *_: "x" * 5_000_000
    with socket.socket() as client:
        client.connect(("127.0.0.1", port_of(threaded)))
        client.sendall(b"GET /history HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        taken, start = b"", time.monotonic()
        while content := client.recv(100_000):
            taken += content
            time.sleep(0.01 if len(taken) < 4_500_000 else 0)
        assert time.monotonic() - start > 0.4  # longer than a request may take
    assert taken.partition(b"\r\n\r\n")[2] == b'"' + 5_000_000 * b"x" + b'"'


@given(st.integers(0, 5 * PART), st.booleans())
def test_parts_of_a_response_are_the_whole(size, more):
    sent = []

    async def send(message):
        sent.append(message)

    body = bytes(size)
    asyncio.run(in_parts(send)({"type": "http.response.body", "body": body, "more_body": more}))
    assert b"".join(message["body"] for message in sent) == body
    assert all(len(message["body"]) <= PART for message in sent)
    assert [message.get("more_body", False) for message in sent] == [True] * (len(sent) - 1) + [more]


class Socket:
    """Of a connection."""

    closed = False

    def fileno(self):
        return -1 if self.closed else 1

    def shutdown(self, how):
        self.closed = True


# What happens next: a connection from a network; or one of those there are makes a request, or a WebSocket.
steps = st.lists(st.tuples(st.sampled_from("nnnnrw"), st.integers(0, 40)), max_size=120)


@given(steps, st.integers(4, 24))
def test_websockets_and_the_newest_stay_whatever_the_others_do(steps, limit):
    async def check():
        connections, opened, websockets = Connections(limit), [], []
        with ExitStack() as stack:
            for kind, i in steps:
                there = [one for one in opened if not one[1].closed and one not in websockets]
                if kind == "n":
                    client = f"10.0.0.{i % 5}", len(opened) + 1
                    opened.append((client, Socket()))
                    connections.add(*opened[-1])
                elif kind == "w" and there and len(websockets) < limit // 2:
                    websockets.append(there[i % len(there)])
                    stack.enter_context(connections.allowed(websockets[-1][0], True))
                elif kind == "r" and there:
                    with connections.allowed(there[i % len(there)][0], False):
                        pass
                assert len(connections.sockets) <= limit
                assert not any(one.closed for _, one in websockets + opened[-(limit // 4) :])
            for one in connections.sockets:
                one.shutdown(0)
            assert not connections.sockets

    asyncio.run(check())


def test_the_network_that_has_most_gives_up_its_oldest():
    async def check():
        connections, flood = Connections(40), [Socket() for _ in range(1000)]
        others = [Socket() for _ in range(5)]
        for i, one in enumerate(others):
            connections.add((f"10.0.0.{i}", 1), one)
        for port, one in enumerate(flood):
            connections.add(("10.0.1.0", port), one)
        assert not any(one.closed for one in others)
        assert [one.closed for one in flood] == [True] * 965 + [False] * 35

    asyncio.run(check())


def test_those_with_requests_stay_while_there_are_others():
    async def check():
        connections, used = Connections(40), [Socket() for _ in range(30)]  # and ten new ones
        for port, one in enumerate(used):
            connections.add(("10.0.0.1", port), one)
            with connections.allowed(("10.0.0.1", port), False):
                pass
        for i in range(1000):
            connections.add((f"10.0.{i % 256}.2", i), Socket())
        assert not any(one.closed for one in used)

    asyncio.run(check())


@pytest.mark.skipif(sys.platform != "linux", reason="it has one loopback address only")
@pytest.mark.parametrize("addresses", [1, 100])
def test_clients_with_the_token_are_served_whatever_the_others_do(addresses):
    server = PageServer("0.0.0.0", 0)
    token = server.address.partition("?token=")[2]
    flood = subprocess.Popen(
        [sys.executable, "-c", FLOOD, str(port_of(server)), str(addresses)], stdout=subprocess.PIPE, text=True
    )
    try:
        with websocket(server, f"/ws?token={token}") as client:
            for line in ("connected", "again"):
                assert flood.stdout.readline().strip() == line
                took = []
                for k in range(5):
                    server.write(*tick(k))
                    start = time.monotonic()
                    assert request(server, "/estimate", Authorization=f"Bearer {token}")[0] == 200
                    took.append(time.monotonic() - start)
                    assert receive(client)["tick"] == k
                assert min(took) < 1  # on a machine that may have other work to do
        assert psutil.Process(server._process.pid).num_fds() < CONNECTIONS + 20
    finally:
        flood.kill()
        flood.communicate()
        server.close(True)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of open files")
def test_without_files_to_open_a_connection_takes_the_place_of_another(threaded, capfd):
    import resource

    with ExitStack() as stack:
        idle = [stack.enter_context(connect(threaded)) for _ in range(20)]
        wait_until(lambda: len(threaded.service.connections.sockets) == len(idle))
        client = stack.enter_context(socket.socket())
        client.settimeout(5)
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        next_file = os.open(os.devnull, os.O_RDONLY)
        os.close(next_file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_file, before[1]))
        client.connect(("127.0.0.1", port_of(threaded)))
        client.sendall(GET + b"\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 503 ")
        assert idle[0].recv(1) == b""
    assert tuple(capfd.readouterr()) == ("", "")
