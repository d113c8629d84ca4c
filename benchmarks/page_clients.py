"""What clients of the page's server cost a run: handing over an estimate, the next one's lateness, processor.

    python benchmarks/page_clients.py [--clients 1000] [--path /ws] [--seconds 10]

A made-up run at 25 ticks/s is told to that many WebSockets, which another process opens and reads. `write` is
given in time and in processor time of its thread: on a busy machine the former is mostly others' turns.
"""

import argparse
import asyncio
import multiprocessing
import resource
import time
from multiprocessing.connection import Connection

import numpy as np

from enrapt.contracts.schemas import FACE
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.page.server import PageServer
from enrapt.realtime.streams.samples import SECOND, Observation

RATE = 25


def made_up(k: int) -> tuple[Estimate, Observation]:
    face = np.linspace(0, 1, FACE.dim, dtype=np.float32)
    estimate = Estimate(
        k,
        k / RATE,
        Engagement(0.61, 0.08, 0.47, 0.74),
        {"face": True, "audio": False},
        {"face": 12.1, "audio": None},
        {"face": 3.1, "audio": None},
        Latency(0.07, 21.4, 3.0, {"face": 5.2}, {"face": 1.0}),
    )
    time = k * SECOND // RATE
    return estimate, Observation(k, time, {"face": face, "audio": None}, {"face": 12_100_000, "audio": None})


def listen(port: int, path: str, clients: int, said: Connection) -> None:
    """Open them, read until the server ends, and say how many ticks the one that got least has got."""

    async def one() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        nonlocal there
        there += 1
        if there == clients:
            said.send(None)
        ticks = 0
        while True:
            try:
                await reader.readuntil(b'"surprise":')  # once in each estimate
            except (asyncio.IncompleteReadError, ConnectionError):
                return ticks
            ticks += 1

    async def everybody() -> int:
        return min(await asyncio.gather(*(one() for _ in range(clients))))

    there = 0
    said.send(asyncio.run(everybody()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--path", choices=["/ws", "/page"], default="/ws")
    parser.add_argument("--seconds", type=float, default=10)
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    server = PageServer(port=0)
    server.hello({"kind": "live", "can": []})
    port = int(server.address.rsplit(":", 1)[1].rstrip("/"))
    hear, said = multiprocessing.get_context("spawn").Pipe(duplex=False)
    listening = multiprocessing.get_context("spawn").Process(
        target=listen, args=(port, args.path, args.clients, said)
    )
    listening.start()
    hear.recv()
    wall, processor, late = [], [], []
    ticks = round(args.seconds * RATE)
    used, due = time.process_time(), time.perf_counter()
    for k in range(ticks):
        tick = made_up(k)
        began, began_processor = time.perf_counter(), time.thread_time()
        server.write(*tick)
        processor.append(time.thread_time() - began_processor)
        wall.append(time.perf_counter() - began)
        due += 1 / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        late.append(time.perf_counter() - due)
    used = time.process_time() - used
    server.close(True)
    print(f"{args.clients} clients of {args.path}, {ticks} ticks; the least any got: {hear.recv()}")
    for name, times in (("write", wall), ("write, processor", processor), ("next tick late", late)):
        p50, p95, p99 = (np.percentile(times, (50, 95, 99)) * 1e6).round(1)
        print(f"{name:<18} p50 {p50:7.1f}   p95 {p95:8.1f}   p99 {p99:8.1f} µs")
    print(f"processor {100 * used / args.seconds:.1f} % of a core")
    listening.join()


if __name__ == "__main__":
    main()
