import asyncio
import json
import sys

import pytest

from enrapt.realtime.page.server import PageServer
from tests.support.served import HANDSHAKE, RATE, port_of, tick, until

if sys.platform == "win32":
    pytest.skip("files are not limited there", allow_module_level=True)
import resource

CLIENTS = 1000
TICKS = 2 * RATE


@pytest.fixture
def files():
    """Enough of them: each client is two here."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < 4096:
        pytest.skip(f"only {before[1]} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def _connected(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    asked = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in HANDSHAKE.items())
    writer.write(f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port_of(server)}\r\n{asked}\r\n".encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def _heard(reader):
    """The ticks that arrive, from frames of RFC 6455, section 5.2."""
    ticks = []
    while len(ticks) < TICKS:
        head = await reader.readexactly(4)
        assert head[:2] == b"\x81\x7e"
        ticks.append(json.loads(await reader.readexactly(int.from_bytes(head[2:], "big")))["tick"])
    return ticks


def test_a_thousand_at_once_get_every_tick(files):
    server = PageServer(port=0)

    async def everybody():
        clients = await asyncio.gather(*(_connected(server) for _ in range(CLIENTS)))
        hearing = asyncio.gather(*(_heard(reader) for reader, _ in clients))
        for k in range(TICKS):
            server.write(*tick(k))
            await asyncio.sleep(1 / RATE)
        ticks = await asyncio.wait_for(hearing, 30)
        for _, writer in clients:
            writer.close()
        return ticks

    try:
        assert asyncio.run(everybody()) == [list(range(TICKS))] * CLIENTS
        assert not server._clients.let_go
        until(lambda: server._clients.connected["/ws"] == 0)
    finally:
        server.close(True)


def test_where_files_are_scarce_some_are_left_for_the_rest():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    try:
        server = PageServer(port=0)
        assert server._clients.limit == 256
        server.close(True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
