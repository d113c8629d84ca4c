"""The page is served by a process of its own: whatever becomes of that, the run goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from enrapt.realtime.page import server as server_module
from enrapt.realtime.page.options import TOKEN
from enrapt.realtime.page.server import WAITING, PageServer
from tests.support.served import (
    ThreadedPage,
    close_code,
    observed,
    port_of,
    receive,
    request,
    settle,
    tick,
    varying,
    wait_until,
    websocket,
)

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(server_module, "BACK_OFF", (0.1, 30.0))


def process_of(server: PageServer) -> psutil.Process:
    wait_until(lambda: server._process is not None and server._process.poll() is None)
    return psutil.Process(server._process.pid)


def started(server: PageServer) -> None:
    """Wait for its process to answer."""
    assert request(server, "/health")[0] == 503


def test_values_landmarks_and_status_arrive_as_they_were(server):
    run = observed(server)
    with websocket(server, "/page") as page:
        server.write(*varying(0))
        shown = receive(page, "estimate")["features"]
        assert (shown["yaw_deg"], shown["level_db"]) == (-20.0, -30.0)
        assert receive(page, "status") == {"type": "status", **run.state}


def test_a_page_that_ends_is_started_again_and_its_clients_come_back(quick, server):
    lines = []
    server.warn = lines.append
    observed(server)
    server.write(*tick(0))
    settle(server)
    first = process_of(server)
    with websocket(server, "/page") as page:
        os.kill(first.pid, signal.SIGKILL)
        close_code(page)
    start = time.perf_counter()
    for k in range(1, 100):
        server.write(*tick(k))
    assert time.perf_counter() - start < 1
    wait_until(lambda: lines)
    assert lines == ["the page has ended: signal 9; it is started again"]
    with websocket(server, "/page") as page:  # it waits for the new process
        assert receive(page)["type"] == "hello"
    assert process_of(server) != first
    settle(server)
    assert json.loads(request(server, "/estimate")[2])["tick"] == 99
    counts = server.counts
    assert counts.captured == 102  # with the marks of `settle`
    assert counts.captured == counts.used + counts.dropped.total()


def test_a_page_that_ends_at_once_again_and_again_is_one_line(monkeypatch):
    monkeypatch.setattr(server_module, "BACK_OFF", (0.02, 0.1))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    lines = []
    server = PageServer(port=0)
    server.warn = lines.append
    for k in range(20):
        server.write(*tick(k))
        time.sleep(0.03)
    server.close(True)
    assert lines in ([], ["the page has ended: exit status 1; it is started again"])
    counts = server.counts
    assert counts.captured == 20
    assert counts.dropped["failed"] + counts.used == 20


def test_an_error_of_the_page_is_one_line_and_nothing_else_reaches_the_terminal(quick, monkeypatch, capfd):
    lines = []
    server = ThreadedPage(port=0)
    server.warn = lines.append

    def fail(*_):
        raise ValueError("a\nbug")

    monkeypatch.setattr(server.service, "show", fail)
    server.write(*tick(0))
    wait_until(lambda: lines)
    server.write(*tick(1))
    wait_until(lambda: request(server, "/estimate")[0] == 200)  # of the next
    server.close(True)
    assert lines == ["the page has ended: ValueError: a bug; it is started again"]
    assert server.counts.captured == 2
    assert server.counts.waiting == 0
    assert tuple(capfd.readouterr()) == ("", "")


def test_an_error_of_the_run_in_a_command_ends_the_page_in_one_line(quick, server):
    lines = []
    server.warn = lines.append
    run = observed(server)
    run.pause = lambda: 1 / 0
    with websocket(server, "/page") as page:
        page.send('{"do":"pause"}')
        wait_until(lambda: lines)
    assert lines == ["the page has ended: ZeroDivisionError: division by zero; it is started again"]
    with websocket(server, "/page") as page:
        page.send('{"do":"mark"}')
        wait_until(lambda: ("mark", "") in run.commands)


def test_a_stopped_page_does_not_block_the_run_and_gets_the_newest_ticks(server):
    observed(server)
    server.write(*tick(0))
    settle(server)
    before = server.counts.captured
    process = process_of(server)
    process.suspend()
    took = []
    for k in range(1, WAITING + 1000):
        start = time.perf_counter()
        server.write(*tick(k))
        took.append(time.perf_counter() - start)
    counts = server.counts
    assert sorted(took)[-10] < 0.02
    assert counts.captured == before + WAITING + 999
    assert counts.dropped["full"] > 0
    assert counts.waiting == WAITING
    process.resume()
    wait_until(lambda: counts.waiting == 0)
    settle(server)
    assert json.loads(request(server, "/estimate")[2])["tick"] == WAITING + 999
    assert counts.captured == counts.used + counts.dropped["full"]


def test_close_ends_a_stopped_page(server):
    process = process_of(server)
    started(server)
    process.suspend()
    for k in range(WAITING):
        server.write(*tick(k))
    start = time.perf_counter()
    server.close(True)
    assert time.perf_counter() - start < 5
    assert not process.is_running()
    assert server.counts.waiting == 0


SECRET = "0123456789abcdef-secret"
PROGRAM = f"""
import time
from enrapt.realtime.page.server import PageServer
server = PageServer("0.0.0.0", 0, token={SECRET!r})
print(server.address, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_page_ends_with_the_run_and_shows_no_secret(end):
    environment = {**os.environ, TOKEN: SECRET}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=REPOSITORY,
        env=environment,
    ) as run:
        server = SimpleNamespace(address=run.stdout.readline().decode())
        parent = psutil.Process(run.pid)
        wait_until(lambda: len(parent.children()) == 1)
        (page,) = parent.children()
        wait_until(lambda: request(server, "/health")[0] == 401)
        assert SECRET not in " ".join(page.cmdline())
        assert SECRET not in " ".join(page.environ().values())
        os.kill(page.pid, signal.SIGINT)  # as from the terminal
        os.kill(page.pid, signal.SIGHUP)
        os.kill(page.pid, signal.SIGTERM)
        time.sleep(0.2)
        assert page.is_running()
        run.send_signal(end)
        run.wait()
        wait_until(lambda: not page.is_running() or page.status() == psutil.STATUS_ZOMBIE)


def test_nothing_is_left_open():
    this = psutil.Process()
    before = this.num_fds()
    for _ in range(3):
        other = PageServer(port=0)
        other.write(*tick(0))
        wait_until(lambda other=other: request(other, "/estimate")[0] == 200)
        other.close(True)
    assert this.num_fds() == before


def test_the_page_uses_one_core_at_most_and_a_low_priority(server):
    process = process_of(server)
    started(server)
    assert process.nice() == min(19, os.nice(0) + 10)
    if sys.platform == "linux":
        assert len(process.cpu_affinity()) == 1


def test_the_process_is_light(server):
    started(server)
    maps = {Path(one.path).name for one in process_of(server).memory_maps()}
    assert not [name for name in maps if "onnxruntime" in name or "libav" in name or "cv2" in name]
    assert process_of(server).memory_info().rss < 80 << 20


def test_the_runs_process_imports_no_server():
    program = (
        "import sys; from enrapt.realtime.page import server\n"
        "print({'starlette', 'uvicorn', 'websockets', 'asyncio'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert done.stdout == "set()\n"


def test_the_port_is_free_after_the_end(server):
    port = port_of(server)
    server.close(True)
    again = PageServer(port=port)
    again.close(True)
