import itertools
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import ExitStack

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed

from enrapt.contracts.errors import UserError
from enrapt.realtime.outputs import Outputs
from enrapt.realtime.page.server import PageServer
from enrapt.realtime.page.service import COMMANDS
from tests.support.served import (
    FakeRun,
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


def test_websocket_receives_every_estimate_as_a_line_of_json(server):
    with websocket(server, "/ws") as client:
        ticks = [tick(k) for k in range(100)]
        for estimate, observation in ticks:
            server.write(estimate, observation)
        assert [client.recv(timeout=10).encode() for _ in ticks] == [msgspec.json.encode(e) for e, _ in ticks]
    assert server.counts.captured == server.counts.used == 100


def test_page_receives_description_then_estimates_status_landmarks_and_marks(server):
    run = observed(server)
    estimate, observation = tick(0)
    with websocket(server, "/page") as page:
        assert receive(page) == {"type": "hello", **run.description()}
        server.write(estimate, observation)
        message = receive(page)
        assert message.pop("type") == "estimate"
        assert message.pop("features")["yaw_deg"] == 0
        assert message == json.loads(msgspec.json.encode(estimate))
        assert receive(page) == {"type": "status", **run.state}
        server.mark(1.5, "a „mark“")
        assert receive(page) == {"type": "mark", "t": 1.5, "label": "a „mark“"}
        run.shown = None, {}, 1.5
        server.write(*tick(1))
        assert receive(page)["type"] == "estimate"
        assert receive(page) == {
            "type": "landmarks",
            "person": None,
            "points": None,
            "others": [],
            "aspect": 1.5,
        }
    with websocket(server, "/page") as late:
        assert [receive(late)["type"] for _ in range(2)] == ["hello", "status"]
    assert server.counts.captured == server.counts.used == 3


def test_status_is_sent_once_a_second(server):
    observed(server)
    with websocket(server, "/page") as page:
        for k in range(2 * FakeRun.rate + 1):
            server.write(*tick(k))
        kinds = [receive(page)["type"] for _ in range(1 + 2 * FakeRun.rate + 1 + 3)]
    statuses = [i for i, kind in enumerate(kinds) if kind == "status"]
    assert kinds[0] == "hello"
    assert [j - i for i, j in itertools.pairwise(statuses)] == [FakeRun.rate + 1] * 2


def test_commands_call_the_run_once_in_order_and_only_those_that_it_can(server):
    run = observed(server, can=["pause", "mark"])
    with websocket(server, "/page") as page:
        for command in (
            {"do": "pause"},
            {"do": "reset"},
            {"do": "mark", "label": "ä" * 200},
            {"do": "calibrate"},
            {"do": "resume"},
        ):
            page.send(json.dumps(command))
        wait_until(lambda: len(run.commands) == 3)
    assert run.commands == [("pause", ""), ("mark", "ä" * 200), ("resume", "")]


def test_commands_are_ignored_before_a_run_is_observed(server):
    with websocket(server, "/page") as page:
        page.send('{"do":"pause"}')
        page.send("invalid")
        with pytest.raises(ConnectionClosed):
            page.recv(timeout=10)


def test_commands_of_all_clients_together_are_limited(threaded):
    run = observed(threaded)
    with ExitStack() as stack:
        pages = [stack.enter_context(websocket(threaded, "/page")) for _ in range(COMMANDS // 20 + 2)]
        for page in pages:
            for _ in range(20):
                page.send('{"do":"mark"}')
    # The server confirms that a client closes after it has handled what the client sent.
    wait_until(lambda: not threaded.service.clients.connected["/page"])
    wait_until(lambda: len(run.commands) >= COMMANDS)
    time.sleep(0.1)
    assert len(run.commands) == COMMANDS


def test_close_sends_what_waits_closes_clients_and_ends_the_thread():
    before = set(threading.enumerate())
    server = PageServer(port=0)
    with websocket(server, "/ws") as client, websocket(server, "/page") as page:
        server.write(*tick(0))
        start = time.perf_counter()
        server.close(True)
        assert time.perf_counter() - start < 1
        assert receive(client)["tick"] == receive(page)["tick"] == 0
        assert close_code(client) == close_code(page) == 1012
    wait_until(lambda: set(threading.enumerate()) == before)  # clients have threads, too
    server.close(True)
    server.write(*tick(1))  # has no effect
    server.observe(FakeRun())
    assert server.counts.captured == 1


def test_close_does_not_wait_for_a_connection_without_a_request():
    server = PageServer(port=0)
    with socket.create_connection(("127.0.0.1", port_of(server))) as silent:
        with websocket(server, "/ws"), websocket(server, "/page"):
            start = time.perf_counter()
            server.close(False)
            assert time.perf_counter() - start < 1
        assert silent.recv(1) == b""


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_address_of_ipv6_has_brackets():
    try:
        server = PageServer("::1", 0)
    except UserError:
        pytest.skip("no ::1")
    try:
        assert server.address == f"http://[::1]:{port_of(server)}/"
        with urllib.request.urlopen(f"{server.address}openapi.json") as response:
            assert response.status == 200
    finally:
        server.close(True)


def test_port_in_use_is_one_line(server):
    port = port_of(server)
    with pytest.raises(UserError, match=rf"^127.0.0.1:{port}: port {port} is in use.*such as ui:{port + 1}$"):
        PageServer(port=port)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("203.0.113.9", "not an address"),
        ("no.invalid", "no such host"),
        ("a" * 64, "no such host"),
        ("a\0", "no such host"),
    ],
)
def test_unusable_host_is_one_line(host, reason):
    with pytest.raises(UserError, match=reason) as caught:
        PageServer(host, 0)
    assert "\n" not in str(caught.value)


def test_missing_package_is_one_line():
    program = (
        "import sys; sys.modules['starlette'] = None\n"
        "from enrapt.realtime.outputs import Outputs\n"
        "from enrapt.contracts.errors import UserError\n"
        "try: Outputs(['ui:0'], live=True, warn=print)\n"
        "except UserError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "the page needs starlette: pip install starlette\n"


def test_packages_are_imported_only_for_a_page():
    program = (
        "import sys; from enrapt.realtime.outputs import Outputs; Outputs([], live=True, warn=print)\n"
        "from enrapt.realtime.outputs.addresses import destination; destination('ui')\n"
        "print({'starlette', 'uvicorn', 'websockets'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("address", ["ui:0", "ws:0", "http:0", "ui:localhost:0", "ui:127.0.0.1:0"])
@pytest.mark.parametrize("live", [True, False])
def test_address_opens_a_page_among_other_outputs(address, live, tmp_path):
    before = set(threading.enumerate())
    with Outputs([f"jsonl:{tmp_path / 'a.jsonl'}", address], live=live, warn=print) as outputs:
        assert outputs.page is not None
        outputs.write(*tick(0))
        wait_until(lambda: request(outputs.page, "/estimate")[0] == 200)
        assert outputs.counts[address].used == 1
    assert set(threading.enumerate()) == before
    assert (tmp_path / "a.jsonl").read_bytes() == msgspec.json.encode(tick(0)[0]) + b"\n"


def test_only_one_page():
    with pytest.raises(UserError, match="one server"):
        Outputs(["ui:0", "ws:0"], live=True, warn=print)


@pytest.mark.parametrize("address", ["ui:x", "ui:65536", "ui:-1", "ui:host:", "ui:host:x", "ui:²"])
def test_invalid_address_is_one_line(address):
    with pytest.raises(UserError, match="give ui, ui:PORT or ui:HOST:PORT"):
        Outputs([address], live=True, warn=print)
