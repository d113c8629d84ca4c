"""Cost of the page's clients: `write` in the run's thread, lateness of the next tick, processor time.

    python benchmarks/page_clients.py [--clients 0 3 100] [--path /ws] [--seconds 10]

Synthetic estimates at 25 ticks/s are sent to WebSockets that another process opens and reads. `write` is
given in wall time and in processor time of its thread; on a busy machine the wall time includes other threads
and processes. `delivery` is from `write` until the last client has read the estimate.
"""

import argparse
import asyncio
import multiprocessing
import resource
import time
from multiprocessing.connection import Connection

import numpy as np
import psutil

from enrapt.contracts.schemas import FACE
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.page import server as server_module
from enrapt.realtime.page.server import PageServer
from enrapt.realtime.streams.samples import SECOND, Observation

RATE = 25


def synthetic(k: int) -> tuple[Estimate, Observation]:
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


def read(port: int, path: str, clients: int, results: Connection) -> None:
    """Open the clients and read until the server closes them.

    Sends None when all are connected; at the end the fewest ticks that a client got, and by tick when the
    last client had read it.
    """
    latest: dict[int, float] = {}

    async def client() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        nonlocal connected
        connected += 1
        if connected == clients:
            results.send(None)
        ticks = 0
        while True:
            try:
                await reader.readuntil(b'"surprise":')  # once in each estimate
            except (asyncio.IncompleteReadError, ConnectionError):
                return ticks
            latest[ticks] = time.monotonic()
            ticks += 1

    async def run() -> int:
        return min(await asyncio.gather(*(client() for _ in range(clients))))

    connected = 0
    fewest = asyncio.run(run())
    results.send((fewest, latest))


def measure(clients: int, path: str, seconds: float) -> None:
    # More clients than a page accepts, to find out how many it could serve.
    server_module.CONNECTIONS = max(server_module.CONNECTIONS, 2 * clients)  # type: ignore[misc]
    server = PageServer(port=0)
    results, sender = multiprocessing.get_context("spawn").Pipe(duplex=False)
    port = int(server.address.rsplit(":", 1)[1].rstrip("/"))
    reading = multiprocessing.get_context("spawn").Process(target=read, args=(port, path, clients, sender))
    if clients:
        reading.start()
        results.recv()
    wall, processor, late, written = [], [], [], {}
    ticks = round(seconds * RATE)
    used, served, due = time.process_time(), _used_by(server), time.perf_counter()
    for k in range(ticks):
        tick = synthetic(k)
        written[k] = time.monotonic()
        start, start_processor = time.perf_counter(), time.thread_time()
        server.write(*tick)
        processor.append(time.thread_time() - start_processor)
        wall.append(time.perf_counter() - start)
        due += 1 / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        late.append(time.perf_counter() - due)
    used, served = time.process_time() - used, _used_by(server) - served
    server.close(True)
    print(f"{clients} clients of {path}, {ticks} ticks", end="")
    rows = [("write", wall), ("write, processor", processor), ("next tick late", late)]
    if clients:
        fewest, latest = results.recv()
        reading.join()
        rows.append(("delivery", [latest[k] - written[k] for k in sorted(latest)]))
        print(f"; fewest that a client got: {fewest}", end="")
    print()
    for name, times in rows:
        p50, p95, p99 = (np.percentile(times, (50, 95, 99)) * 1e6).round(1)
        print(f"  {name:<18} p50 {p50:8.1f}   p95 {p95:8.1f}   p99 {p99:8.1f} µs")
    print(f"  processor {100 * used / seconds:.1f} % of a core, the page's {100 * served / seconds:.1f} %")


def _used_by(server: PageServer) -> float:
    """Processor time of the page's process, s."""
    while server._process is None:
        time.sleep(0.01)  # it is about to start
    return sum(psutil.Process(server._process.pid).cpu_times()[:2])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, nargs="+", default=[0, 3, 100])
    parser.add_argument("--path", choices=["/ws", "/page"], default="/ws")
    parser.add_argument("--seconds", type=float, default=10)
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    for clients in args.clients:
        measure(clients, args.path, args.seconds)


if __name__ == "__main__":
    main()
