"""A live session under attack: ticks in order, and how much later its estimates are.

    python benchmarks/attacked.py [--rounds 5] [--seconds 15] [--only ATTACK …] [--face-model FILE]

Sessions with a camera on the loopback, which shows a real face, and the page take turns: without an attack,
and with each of these:

    clients  1,000 clients of the page's server: garbage, a byte a second, endless headers and bodies, frames
             that lie, clients that never read, resets, floods of requests and marks
    marks    20 clients that send marks from the page as fast as they can
    camera   of three pictures of the camera one is cut, one is not a JPEG, or one has 4096×4096 pixels
    output   JSON Lines into a pipe that nobody reads

Attackers run on one core, at the lowest priority. After each attack follows a session in which a process on
that core only uses as much processor time as the attackers did: the attack is compared with that, since they
would cost as much whatever they did.

`late` is from a tick's time to its estimate in the caller's loop, relative to the earliest of its session;
`beyond` is what of it was not waiting for the camera: a picture that comes late, or is damaged, makes a tick
wait to its deadline. Prints the 99th percentiles, the median of all rounds, and their changes. Exit status 1
if ticks were missing, or a 99th percentile of `beyond` grew by 5 % or more than half a millisecond.

Needs enrapt[dev] and Linux.
"""

import argparse
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import attackers
import cv2
import numpy as np
import psutil
from live import pictures
from mjpeg_camera import mjpeg_camera
from outputs import free_port

from enrapt.realtime.engine.estimate import Estimate
from enrapt.realtime.features.face import FaceOptions
from enrapt.realtime.features.face.model_file import find_face_model
from enrapt.realtime.session import LiveSession
from enrapt.realtime.streams.pacing import MAX_WAIT
from enrapt.realtime.streams.samples import SECOND

ATTACKS = ("clients", "marks", "camera", "output")
SETTLING = 2.0  # s, of a session's beginning
CORE = (os.cpu_count() or 1) - 1
MOST = 0.05
LEAST = 0.5  # ms; less is no change that a 99th percentile of some hundred ticks could show


@dataclass(frozen=True)
class Measured:
    """Attributes:
    late, beyond: ms, the 99th percentiles.
    contiguous: whether each tick came, in order.
    share: of a core that the attackers used.
    """

    late: float
    beyond: float
    contiguous: bool
    share: float


def serve(port: "multiprocessing.Queue[int]", hostile: Any) -> None:
    """The camera; while `hostile` is set, one of three pictures does harm."""
    images = (cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR) for frame in pictures())
    jpegs = [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes() for image in images]
    huge = cv2.imencode(".jpg", np.zeros((4096, 4096, 3), np.uint8))[1].tobytes()
    bad = (jpegs[0][: len(jpegs[0]) // 2], random.Random(0).randbytes(30_000), b"\xff\xd8\xff", huge)

    def jpeg(number: int) -> bytes:
        return (
            bad[number // 3 % len(bad)] if hostile.value and number % 3 == 0 else jpegs[number % len(jpegs)]
        )

    server = mjpeg_camera(jpeg, 30)
    port.put(server.server_port)
    server.serve_forever()


@contextmanager
def process(target: Callable[..., None], *args: Any) -> Iterator[psutil.Process]:
    started = multiprocessing.get_context("spawn").Process(target=target, args=args, daemon=True)
    started.start()
    try:
        yield psutil.Process(started.pid)
    finally:
        started.kill()
        started.join()


def session(address: str, model: Path, seconds: float, attack: str, share: float, hostile: Any) -> Measured:
    """One session; `attack` may be `none`, or `burn`, which uses `share` of a core."""
    port = free_port()
    hostile.value = attack == "camera"
    with ExitStack() as stack:
        to = [f"ui:{port}"]
        if attack == "output":
            pipe = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "pipe.jsonl"
            os.mkfifo(pipe)
            unread = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            stack.callback(os.close, unread)
            to.append(f"jsonl:{pipe}")
        live = stack.enter_context(
            LiveSession(address, None, faces=FaceOptions(model), to=to, warn=lambda _: None)
        )
        attacker = None
        if attack == "burn" and share > 0:
            attacker = stack.enter_context(process(attackers.burn, share, CORE))
        elif attack in ("clients", "marks"):
            attacker = stack.enter_context(process(getattr(attackers, attack), port, CORE))
        late, waited, ticks = [], [], []
        began, used = None, 0.0
        for estimate in live:
            now = time.monotonic()
            ticks.append(estimate.tick)
            if estimate.t < SETTLING:
                continue
            if began is None:
                began, used = now, _used(attacker)
            late.append(now * 1000 - estimate.t * 1000)
            waited.append(_waited(estimate))
            if now - began > seconds:
                break
        share = (_used(attacker) - used) / seconds
    hostile.value = False
    after = np.array(late) - min(late)
    beyond = np.array(late) - np.array(waited)
    p99 = float(np.percentile(after, 99)), float(np.percentile(beyond - beyond.min(), 99))
    return Measured(*p99, ticks == list(range(ticks[0], ticks[0] + len(ticks))), share)


def _waited(estimate: Estimate) -> float:
    """ms that a tick waited for its picture, at most until its deadline."""
    assert estimate.latency_ms
    return estimate.latency_ms.waits.get("face", MAX_WAIT / SECOND * 1000)


def _used(attacker: psutil.Process | None) -> float:
    return 0.0 if attacker is None else sum(attacker.cpu_times()[:2])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--only", nargs="+", choices=ATTACKS, default=ATTACKS)
    parser.add_argument("--face-model", type=Path)
    args = parser.parse_args()
    model = find_face_model(args.face_model)
    context = multiprocessing.get_context("spawn")
    port: multiprocessing.Queue[int] = context.Queue()
    hostile = context.Value("b", False)
    measured: dict[str, list[Measured]] = defaultdict(list)
    with process(serve, port, hostile):
        address = f"http://127.0.0.1:{port.get()}/"
        for _ in range(args.rounds):
            measured["none"].append(session(address, model, args.seconds, "none", 0.0, hostile))
            for attack in args.only:
                under = session(address, model, args.seconds, attack, 0.0, hostile)
                measured[attack].append(under)
                burnt = session(address, model, args.seconds, "burn", under.share, hostile)
                measured[f"as much as {attack}"].append(burnt)
    return report(measured, args.only)


def report(measured: dict[str, list[Measured]], attacks: tuple[str, ...]) -> int:
    failed = False
    late = {name: statistics.median(m.late for m in each) for name, each in measured.items()}
    beyond = {name: statistics.median(m.beyond for m in each) for name, each in measured.items()}
    print("p99, ms                 late   beyond   of a core   ticks")
    for name, each in measured.items():
        share = statistics.median(m.share for m in each)
        whole = all(m.contiguous for m in each)
        failed |= not whole
        ticks = "contiguous" if whole else "missing"
        print(f"{name:<20} {late[name]:>7.1f}  {beyond[name]:>7.1f}   {share:>8.0%}   {ticks}")
    for name in attacks:
        control = f"as much as {name}"
        changes = [figure[name] / figure[control] - 1 for figure in (late, beyond)]
        more = beyond[name] - beyond[control]
        failed |= changes[1] >= MOST and more > LEAST
        print(f"{name}: late {changes[0]:+.1%}, beyond {changes[1]:+.1%} ({more:+.1f} ms)")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
