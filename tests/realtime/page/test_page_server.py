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
from enrapt.realtime.page.server import COMMANDS, WAITING, PageServer
from tests.support.served import ask, last_of, listen, port_of, tick, told, until

HELLO = {"kind": "live", "name": "live", "rate": 25, "can": ["pause", "mark"]}


def test_a_websocket_gets_every_tick_exactly_as_a_line_of_json(server):
    with listen(server, "/ws") as client:
        ticks = [tick(k) for k in range(100)]
        for estimate, observation in ticks:
            server.write(estimate, observation)
        assert [client.recv(timeout=10).encode() for _ in ticks] == [msgspec.json.encode(e) for e, _ in ticks]
    assert server.counts.captured == server.counts.used == 100


def test_the_page_hears_what_the_run_is_how_it_goes_and_what_it_says(server):
    server.hello(HELLO)
    server.status({"paused": False})
    estimate, observation = tick(0)
    with listen(server, "/page") as page:
        assert told(page) == {"type": "hello", **HELLO}
        assert told(page) == {"type": "status", "paused": False}
        server.write(estimate, observation)
        message = told(page)
        assert message.pop("type") == "estimate"
        assert message.pop("features")["yaw_deg"] == 0
        assert message == json.loads(msgspec.json.encode(estimate))
        server.mark(1.5, "a „mark“")
        assert told(page) == {"type": "mark", "t": 1.5, "label": "a „mark“"}
        server.status({"paused": True})
        assert told(page) == {"type": "status", "paused": True}
    assert server.counts.captured == server.counts.used == 2


def test_commands_arrive_once_in_order_and_only_those_that_the_run_can_obey(server):
    server.hello(HELLO)
    with listen(server, "/page") as page:
        told(page, "hello")
        for command in (
            {"do": "pause"},
            {"do": "reset"},
            {"do": "mark", "label": "ä" * 200},
            {"do": "calibrate"},
            {"do": "resume"},
        ):
            page.send(json.dumps(command))
        page.ping().wait(10)
        until(lambda: len(server._commands) == 3)
    assert list(server.commands()) == [
        {"do": "pause", "label": ""},
        {"do": "mark", "label": "ä" * 200},
        {"do": "resume", "label": ""},
    ]
    assert list(server.commands()) == []


def test_before_it_is_known_what_the_run_can_nothing_is_obeyed(server):
    with listen(server, "/page") as page:
        page.send('{"do":"pause"}')
        page.send("rubbish")  # after which it has been read
        with pytest.raises(ConnectionClosed):
            page.recv(timeout=10)
    assert list(server.commands()) == []


def test_many_clients_together_cannot_pile_up_commands(server):
    server.hello(HELLO)
    with ExitStack() as stack:
        for _ in range(COMMANDS // 20 + 2):
            page = stack.enter_context(listen(server, "/page"))
            told(page, "hello")
            for _ in range(20):
                page.send('{"do":"mark"}')
    # Closing is answered after what was said.
    until(lambda: not server._clients.listening("/page"))
    assert len(list(server.commands())) == COMMANDS


def test_a_server_that_is_stuck_holds_up_nobody_and_what_is_lost_is_counted(server):
    stuck = threading.Event()
    server._loop.call_soon_threadsafe(stuck.wait)
    began = time.perf_counter()
    for k in range(WAITING + 500):
        server.write(*tick(k))
    assert time.perf_counter() - began < 1
    # What had been handed over before it got stuck is not waiting any more.
    counts = server.counts
    assert counts.captured == WAITING + 500
    assert counts.dropped["full"] == 500 - counts.used
    stuck.set()
    until(lambda: counts.waiting == 0)
    assert counts.used + counts.dropped["full"] == counts.captured


def test_it_ends_at_once_tells_everybody_and_leaves_no_thread():
    before = set(threading.enumerate())
    server = PageServer(port=0)
    with listen(server, "/ws") as client, listen(server, "/page") as page:
        server.write(*tick(0))
        began = time.perf_counter()
        server.close(True)
        assert time.perf_counter() - began < 1
        assert told(client)["tick"] == told(page)["tick"] == 0
        assert last_of(client) == last_of(page) == 1012
    until(lambda: set(threading.enumerate()) == before)  # the clients have threads, too
    server.close(True)
    server.write(*tick(1))  # nobody hears it, and nothing happens


def test_it_ends_at_once_where_a_client_reads_nothing():
    server = PageServer(port=0)
    with socket.create_connection(("127.0.0.1", port_of(server))) as asks_nothing:
        with listen(server, "/ws"), listen(server, "/page"):
            began = time.perf_counter()
            server.close(False)
            assert time.perf_counter() - began < 1
        assert asks_nothing.recv(1) == b""


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6 here")
def test_of_ipv6_the_address_is_in_brackets():
    try:
        server = PageServer("::1", 0)
    except UserError:
        pytest.skip("there is no ::1 here")
    try:
        assert server.address == f"http://[::1]:{port_of(server)}/"
        with urllib.request.urlopen(f"{server.address}openapi.json") as answer:
            assert answer.status == 200
    finally:
        server.close(True)


def test_a_port_that_is_taken_is_told_in_a_line(server):
    port = port_of(server)
    with pytest.raises(UserError, match=rf"^127.0.0.1:{port}: port {port} is taken.*such as ui:{port + 1}$"):
        PageServer(port=port)


@pytest.mark.parametrize(
    ("host", "said"), [("203.0.113.9", "not an address"), ("no.invalid", "no such host")]
)
def test_a_host_that_is_not_here_is_told_in_a_line(host, said):
    with pytest.raises(UserError, match=said) as caught:
        PageServer(host, 0)
    assert "\n" not in str(caught.value)


def test_a_package_that_is_missing_is_told_in_a_line():
    program = (
        "import sys; sys.modules['starlette'] = None\n"
        "from enrapt.realtime.page.server import PageServer\n"
        "from enrapt.contracts.errors import UserError\n"
        "try: PageServer()\n"
        "except UserError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "the page needs starlette: pip install starlette\n"


def test_who_does_not_ask_for_the_page_does_not_load_it():
    program = (
        "import sys; from enrapt.realtime.outputs import Outputs; Outputs([], live=True, warn=print)\n"
        "from enrapt.realtime.outputs.addresses import destination; destination('ui')\n"
        "print({'starlette', 'uvicorn', 'websockets'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("address", ["ui:0", "ws:0", "http:0", "ui:localhost:0", "ui:127.0.0.1:0"])
@pytest.mark.parametrize("live", [True, False])
def test_an_address_opens_it_among_other_outputs(address, live, tmp_path):
    before = set(threading.enumerate())
    with Outputs([f"jsonl:{tmp_path / 'a.jsonl'}", address], live=live, warn=print) as outputs:
        assert outputs.page is not None
        outputs.write(*tick(0))
        until(lambda: ask(outputs.page, "/estimate")[0] == 200)
        assert outputs.counts[address].used == 1
    assert set(threading.enumerate()) == before
    assert (tmp_path / "a.jsonl").read_bytes() == msgspec.json.encode(tick(0)[0]) + b"\n"


def test_there_is_one_of_them():
    with pytest.raises(UserError, match="one server"):
        Outputs(["ui:0", "ws:0"], live=True, warn=print)


@pytest.mark.parametrize("address", ["ui:x", "ui:65536", "ui:-1", "ui:host:", "ui:host:x", "ui:²"])
def test_an_address_without_a_port_is_told_in_a_line(address):
    with pytest.raises(UserError, match="give ui, ui:PORT or ui:HOST:PORT"):
        Outputs([address], live=True, warn=print)
