"""The cost of all outputs at once in a live session, compared with the same session without outputs.

    python benchmarks/outputs.py [--rounds 3] [--seconds 20] [--face-model FILE]

A camera on the loopback shows a real face, 640×480 at 30 pictures a second. Sessions with no output and with
all of them (JSON Lines, CSV, Parquet, LSL, OSC, MQTT and the page with three clients) alternate. Prints the
time from a tick to its estimate in the caller's loop, relative to the earliest, and the session's processor
time. Receivers run in processes of their own. Needs enrapt[dev] and mosquitto.
"""

import argparse
import asyncio
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from live import processor_time, serve

from enrapt.realtime.features.face import FaceOptions
from enrapt.realtime.features.face.model_file import find_face_model
from enrapt.realtime.session import LiveSession

CLIENTS = 3
LSL = "enrapt benchmark"
# Keeps LSL on this machine.
LSL_CONFIG = "[ports]\nIPv6 = disable\n[multicast]\nResolveScope = machine\nListenAddress = 127.0.0.1\n"


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(type=kind) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def watch(address: str, clients: int) -> None:
    """Clients of the page; in a process of its own."""
    import websockets

    async def page() -> None:
        async with websockets.connect(address) as socket:
            async for _ in socket:
                pass

    async def pages() -> None:
        await asyncio.gather(*(page() for _ in range(clients)), return_exceptions=True)

    asyncio.run(pages())


def listen(udp: int) -> None:
    """An OSC receiver and an LSL inlet; in a process of its own."""
    import threading

    import pylsl.util

    receiver = socket.socket(type=socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", udp))
    threading.Thread(target=lambda: [receiver.recv(65536) for _ in iter(int, 1)], daemon=True).start()
    while True:
        for stream in pylsl.resolve_byprop("name", LSL, timeout=1):
            inlet = pylsl.StreamInlet(stream, recover=False)
            try:
                while True:
                    inlet.pull_sample(timeout=1)
            except pylsl.util.LostError:
                pass


def run(address: str, model: Path, seconds: float, to: list[str], others: list[int], watched: int) -> tuple:
    """Delay of ticks, ms, processor time, s per second, and the session's summary."""
    context = multiprocessing.get_context("spawn")
    with LiveSession(address, None, faces=FaceOptions(model), to=to) as session:
        if watched:
            page = f"ws://127.0.0.1:{watched}/page"
            clients = context.Process(target=watch, args=(page, CLIENTS), daemon=True)
            clients.start()
            others = [*others, clients.pid or 0]
        late, began, before = [], None, 0.0
        for estimate in session:
            now = time.monotonic()
            if estimate.t < 3:  # all clients have connected
                continue
            if began is None:
                began, before = now, processor_time(*others)
            late.append(now * 1000 - estimate.t * 1000)
            if now - began > seconds:
                break
        used = (processor_time(*others) - before) / (now - began)
        if watched:
            clients.kill()
    return np.array(late), used, session.summary()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--face-model", type=Path)
    args = parser.parse_args()
    model = find_face_model(args.face_model)
    folder = Path(tempfile.mkdtemp())
    (folder / "lsl.cfg").write_text(LSL_CONFIG)
    os.environ["LSLAPICFG"] = str(folder / "lsl.cfg")
    mqtt, osc, ui = free_port(), free_port(socket.SOCK_DGRAM), free_port()
    broker = subprocess.Popen(
        [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-p", str(mqtt)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    context = multiprocessing.get_context("spawn")
    port: multiprocessing.Queue[int] = context.Queue()
    camera = context.Process(target=serve, args=(port, 30), daemon=True)
    camera.start()
    receiver = context.Process(target=listen, args=(osc,), daemon=True)
    receiver.start()
    address = f"http://127.0.0.1:{port.get()}/"
    everything = [
        *(f"{kind}:{folder / f'estimates.{kind}'}" for kind in ("jsonl", "csv", "parquet")),
        f"lsl:{LSL}",
        f"osc://127.0.0.1:{osc}/engagement",
        f"mqtt://127.0.0.1:{mqtt}/engagement",
        f"ui:{ui}",
    ]
    p99: dict[str, list[float]] = {"none": [], "all": []}
    p50: dict[str, list[float]] = {"none": [], "all": []}
    cpu: dict[str, list[float]] = {"none": [], "all": []}
    others = [process.pid or 0 for process in (camera, receiver, broker)]
    for _ in range(args.rounds):
        for name, to in (("none", []), ("all", everything)):
            late, used, summary = run(address, model, args.seconds, to, others, ui if to else 0)
            late -= late.min()  # the delay of the earliest is unknown, and the same in both
            p50[name].append(float(np.percentile(late, 50)))
            p99[name].append(float(np.percentile(late, 99)))
            cpu[name].append(used)
            for output, counts in summary["outputs"].items():
                if counts["dropped"]:
                    print(f"  {output}: dropped {counts['dropped']} of {counts['captured']}")
    for name in ("none", "all"):
        print(
            f"{name:5s} tick late by p50 {statistics.median(p50[name]):.1f} ms, p99 "
            f"{statistics.median(p99[name]):.1f} ms ({min(p99[name]):.1f} to {max(p99[name]):.1f}), "
            f"{statistics.median(cpu[name]):.1%} of a core"
        )
    change = statistics.median(p99["all"]) / statistics.median(p99["none"]) - 1
    more = statistics.median(cpu["all"]) - statistics.median(cpu["none"])
    print(f"p99 {change:+.1%}, {more:+.1%} of a core")
    for process in (camera, receiver, broker):
        process.kill()


if __name__ == "__main__":
    main()
