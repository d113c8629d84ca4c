import asyncio
import json
import sys

import pytest

from tests.support.served import HANDSHAKE, RATE, ThreadedPage, port_of, tick, wait_until

if sys.platform == "win32":
    pytest.skip("no limit of open files", allow_module_level=True)
import resource

pytestmark = pytest.mark.live

CLIENTS = 100
TICKS = RATE


async def _connect(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    headers = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in HANDSHAKE.items())
    writer.write(f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port_of(server)}\r\n{headers}\r\n".encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def _received(reader):
    """Ticks, from the frames of RFC 6455, section 5.2."""
    ticks = []
    while len(ticks) < TICKS:
        head = await reader.readexactly(4)
        assert head[:2] == b"\x81\x7e"
        ticks.append(json.loads(await reader.readexactly(int.from_bytes(head[2:], "big")))["tick"])
    return ticks


def test_hundred_clients_receive_every_tick(threaded):
    async def run():
        clients = await asyncio.gather(*(_connect(threaded) for _ in range(CLIENTS)))
        receiving = asyncio.gather(*(_received(reader) for reader, _ in clients))
        for k in range(TICKS):
            threaded.write(*tick(k))
            await asyncio.sleep(1 / RATE)
        ticks = await asyncio.wait_for(receiving, 30)
        for _, writer in clients:
            writer.close()
        return ticks

    assert asyncio.run(run()) == [list(range(TICKS))] * CLIENTS
    assert not threaded.service.clients.disconnected
    wait_until(lambda: threaded.service.clients.connected["/ws"] == 0)


@pytest.mark.parametrize(("files", "clients"), [(2048, 100), (256, 64)])
def test_limit_leaves_open_files_for_the_rest_of_the_program(files, clients):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, before[1]))
    try:
        server = ThreadedPage(port=0)
        assert server.service.clients.limit == clients
        server.close(True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
