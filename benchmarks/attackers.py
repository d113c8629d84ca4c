"""Attackers of a live session, each for a process of its own; see `attacked`."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

CLIENTS: Final = 1000
FLOODERS: Final = 20
_PAUSE: Final = 1.0  # s; that a client rests, so that the attackers do not only wait for their own core

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def behave(core: int) -> None:
    """Run on one core, and only when nobody else wants it."""
    os.nice(19)
    if sys.platform == "linux":
        os.sched_setaffinity(0, {core})


def clients(port: int, core: int) -> None:
    """A thousand clients of the page's server, each with one way of doing harm, over and over."""
    behave(core)
    kinds = (_garbage, _slow, _half, _header, _body, _frames, _silent, _resets, _requests, _marks)
    asyncio.run(_all(port, [kinds[n % len(kinds)] for n in range(CLIENTS)]))


def marks(port: int, core: int) -> None:
    """Marks from the page, as fast as the server reads them."""
    behave(core)
    asyncio.run(_all(port, [_marks] * FLOODERS))


def burn(share: float, core: int) -> None:
    """Use that much of a core, for nothing: what an attacker takes by running at all."""
    behave(core)
    while True:
        began, used = time.monotonic(), time.process_time()
        while time.process_time() - used < share * 0.02 and time.monotonic() - began < 0.02:
            pass
        time.sleep(max(0.0, began + 0.02 - time.monotonic()))


async def _all(port: int, kinds: list[Callable[[Streams], Awaitable[None]]]) -> None:
    async def one(attack: Callable[[Streams], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(random.uniform(0, _PAUSE))
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                streams = await asyncio.open_connection("127.0.0.1", port)
                try:
                    async with asyncio.timeout(20):
                        await attack(streams)
                except TimeoutError:
                    pass
                finally:
                    streams[1].close()

    await asyncio.gather(*map(one, kinds))


async def _garbage(streams: Streams) -> None:
    streams[1].write(random.randbytes(4096))
    await streams[0].read()


async def _slow(streams: Streams) -> None:
    """A byte a second, so that it is never idle."""
    for byte in b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: " + b"a" * 1000:
        streams[1].write(bytes([byte]))
        await asyncio.sleep(1)


async def _half(streams: Streams) -> None:
    streams[1].write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    await streams[0].read()


async def _header(streams: Streams) -> None:
    streams[1].write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
    for _ in range(100):
        streams[1].write(b"a" * 10_000)
        await streams[1].drain()


async def _body(streams: Streams) -> None:
    streams[1].write(b"POST /estimate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000000000\r\n\r\n")
    while True:
        streams[1].write(b"a" * 10_000)
        await streams[1].drain()
        await asyncio.sleep(0.05)


async def _upgraded(streams: Streams, path: str) -> None:
    port = streams[1].get_extra_info("peername")[1]
    streams[1].write(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    if b" 101 " not in await streams[0].readuntil(b"\r\n\r\n"):
        raise ConnectionError


def _frame(payload: bytes, opcode: int = 1, declared: int | None = None, masked: bool = True) -> bytes:
    head = bytes([0x80 | opcode, 0x80 * masked | 127]) + struct.pack(">Q", declared or len(payload))
    return head + bytes(4) * masked + payload  # a mask of zeros changes nothing


async def _frames(streams: Streams) -> None:
    """Frames that are too long, not masked, of no kind, not text, fragments, pings."""
    await _upgraded(streams, random.choice(("/ws", "/page")))
    streams[1].write(
        random.choice(
            (
                _frame(b"a" * 100, declared=2**62),
                _frame(b"{}", masked=False),
                _frame(b"a", opcode=7),
                _frame(b"\xff\xfe"),
                _frame(b"[" * 50_000),
                b"".join(_frame(b"p", opcode=9) for _ in range(1000)),
                _frame(json.dumps({"do": "no such"}).encode()) * 1000,
                random.randbytes(1000),
            )
        )
    )
    await streams[0].read()


async def _silent(streams: Streams) -> None:
    """Asks for every estimate and reads none."""
    streams[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    streams[1].transport.pause_reading()  # type: ignore[attr-defined]
    port = streams[1].get_extra_info("peername")[1]
    streams[1].write(
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    await asyncio.sleep(15)


async def _resets(streams: Streams) -> None:
    """Leaves with a reset, not an end."""
    linger = struct.pack("ii", 1, 0)
    streams[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    streams[1].write(b"GET /history HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")


async def _requests(streams: Streams) -> None:
    """Many requests at once, of the largest answer."""
    port = streams[1].get_extra_info("peername")[1]
    streams[1].write(f"GET /history HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode() * 20)
    await streams[0].read(1_000_000)


async def _marks(streams: Streams) -> None:
    await _upgraded(streams, "/page")
    command = {"do": "mark", "label": "x" * 200}
    frames = _frame(json.dumps(command).encode()) * 50
    reading = asyncio.ensure_future(_discard(streams[0]))
    with contextlib.suppress(asyncio.CancelledError):
        for _ in itertools.count():
            streams[1].write(frames)
            await streams[1].drain()
            await asyncio.sleep(0.05)
    reading.cancel()


async def _discard(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 16):
        pass
