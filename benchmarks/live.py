"""A live session on a real face, 30 pictures a second: latencies, rate, memory, processor time.

    python benchmarks/live.py [--seconds 60] [--rate 30] [--slow MS] [--face-model FILE] [--mic NAME]
    python benchmarks/live.py --rate 15 --core 0 --share 0.5 --face-every 2    # a small computer

A process serves pictures of the demo clip with the face in sight, 640×480, as MJPEG over HTTP; a live session
uses it as its camera. `--slow` adds that much to every face extraction, as an overloaded machine would.
Afterwards the tracker alone analyses as many pictures as the camera gave (for a minute at most), decoded
already, in the camera's rhythm. The session's processor time includes its devices' processes. Memory is
sampled every ten seconds, from the sixth minute on. `--core` keeps all but the pictures' process on one core,
`--share` gives them that much of it (a cgroup; needs root).
"""

import argparse
import contextlib
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
from mjpeg_camera import mjpeg_camera

from enrapt.cli.demo import CLIP
from enrapt.realtime.features.face import FaceOptions
from enrapt.realtime.features.face.extractor import FaceFeatures
from enrapt.realtime.features.face.model_file import find_face_model
from enrapt.realtime.session import LiveSession
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.samples import SECOND, Frame

SIZE = (640, 480)
SKIP, LENGTH = 25, 75  # pictures of the clip, the face in sight
SETTLED = 300  # s; in the second minute the C library takes 40 MB once, and keeps them


def pictures() -> list[Frame]:
    frames = [item for item in Recording(CLIP, 0.0, 5.0) if isinstance(item, Frame)]
    chosen = frames[SKIP : SKIP + LENGTH]
    there_and_back = [*chosen, *chosen[-2:0:-1]]
    return [
        Frame(i * SECOND // 30, np.ascontiguousarray(cv2.resize(f.image, SIZE)))
        for i, f in enumerate(there_and_back)
    ]


def serve(port: "multiprocessing.Queue[int]", rate: int) -> None:
    """MJPEG over HTTP, in a process of its own."""
    images = (cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR) for frame in pictures())
    jpegs = [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes() for image in images]

    server = mjpeg_camera(lambda number: jpegs[number % len(jpegs)], rate)
    port.put(server.server_port)
    server.serve_forever()


def devices(*others: int) -> list[psutil.Process]:
    """Processes of cameras and microphones: all children but the others."""
    return [child for child in psutil.Process().children(recursive=True) if child.pid not in others]


def memory_of(process: psutil.Process) -> int:
    """Resident bytes; on Linux without file pages, which the system reclaims at will."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return int(process.memory_info().rss)
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return sum(int(lines[name].split()[0]) for name in ("RssAnon", "VmSwap")) * 1024


def processor_time(*others: int) -> float:
    """Seconds of this process and its devices' processes, ended ones included."""
    own = os.times()
    ended = own.children_user + own.children_system
    return own.user + own.system + ended + sum(sum(child.cpu_times()[:2]) for child in devices(*others))


@contextlib.contextmanager
def limited(core: int | None, share: float) -> Iterator[None]:
    """This process and those it starts on one core, or on a share of it."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    first = Path("/sys/fs/cgroup/cpu")  # of cgroups version 1
    root = first if first.is_dir() else Path("/sys/fs/cgroup")
    group = root / f"enrapt-{os.getpid()}"
    group.mkdir()
    period, quota = 20_000, round(20_000 * share)  # µs
    if root == first:
        (group / "cpu.cfs_period_us").write_text(str(period))
        (group / "cpu.cfs_quota_us").write_text(str(quota))
    else:
        (group / "cpu.max").write_text(f"{quota} {period}")
    (group / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        (root / "cgroup.procs").write_text(str(os.getpid()))
        os.sched_setaffinity(0, before)
        group.rmdir()


class Slow(FaceFeatures):
    extra = 0.0

    def extract(self, picture, at):
        time.sleep(self.extra)
        return super().extract(picture, at)


class Kept:
    """Numbers in memory that is taken at once."""

    def __init__(self, most: int) -> None:
        self._values, self.n = np.full(most, np.nan), 0

    def add(self, value: float) -> None:
        self._values[self.n] = value
        self.n += 1

    @property
    def values(self) -> np.ndarray:
        return self._values[: self.n]


def percentiles(name: str, values: np.ndarray) -> None:
    if not len(values):
        return
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    print(f"  {name:44s} p50 {p50:6.1f}   p95 {p95:6.1f}   p99 {p99:6.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=30)
    parser.add_argument("--slow", type=float, default=0.0)
    parser.add_argument("--mic")
    parser.add_argument("--face-every", type=int, default=1)
    parser.add_argument("--core", type=int)
    parser.add_argument("--share", type=float, default=1.0, help="of that core")
    parser.add_argument("--face-model", type=Path)
    args = parser.parse_args()
    model = find_face_model(args.face_model)
    frames = pictures()
    context = multiprocessing.get_context("spawn")
    port: multiprocessing.Queue[int] = context.Queue()
    server = context.Process(target=serve, args=(port, args.rate), daemon=True)
    server.start()
    address = f"http://127.0.0.1:{port.get()}/"
    if args.slow:
        from enrapt.realtime.features.face import extractor as module

        Slow.extra = args.slow / 1000
        module.FaceFeatures = Slow  # type: ignore[misc]

    # Allocated at once: a growing list would look like a growing session.
    most = round((args.seconds + 10) * 25)
    ticks, gaps, first_use = Kept(most), Kept(most), Kept(most)
    waits = {modality: Kept(most) for modality in ("face", "audio")}
    memory: list[tuple[float, float, int, int]] = []  # s, MB, threads, open files
    me = psutil.Process()
    session = LiveSession(
        address,
        args.mic,
        faces=FaceOptions(model),
        camera_rate=args.rate,
        face_every=args.face_every,
    )
    with limited(args.core, args.share), session:
        loaded = processor_time(server.pid)
        began = time.monotonic()
        newest = -1.0
        for estimate in session:
            now = time.monotonic()
            assert estimate.tick == ticks.n
            assert estimate.latency_ms
            ticks.add(estimate.latency_ms.tick)
            gaps.add(now)
            for modality, ms in estimate.latency_ms.waits.items():
                waits[modality].add(ms)
            if (age := estimate.age_ms["face"]) is not None and estimate.t - age / 1000 > newest + 0.001:
                newest = estimate.t - age / 1000
                first_use.add(estimate.latency_ms.tick + age)
            if estimate.tick % 250 == 0 and now - began > SETTLED:
                used = sum(map(memory_of, (me, *devices(server.pid))))
                memory.append((now - began, used / 1e6, me.num_threads(), me.num_fds()))
            if now - began > args.seconds:
                break
        live = processor_time(server.pid) - loaded
    server.kill()
    took = gaps.values[-1] - gaps.values[0]
    off = abs((ticks.n - 1) / took / session.rate - 1)
    print(f"{ticks.n} ticks in {took:.2f} s: rate off by {off:.4%}, each in order")
    percentiles("a tick's time to its estimate", ticks.values)
    for modality, values in waits.items():
        percentiles(f"  of that, waiting for {modality}", values.values)
    percentiles("a picture's arrival to its first use", first_use.values)
    for modality, counts in session.counts.items():
        dropped = " + ".join(f"{n} {reason}" for reason, n in counts.dropped.items() if n) or "0 dropped"
        exact = counts.captured == counts.used + counts.dropped.total()
        print(f"  {modality}: {counts.captured} captured = {counts.used} used + {dropped}: {exact}")

    if (microphone := session.microphone) is not None:
        drift = microphone.sound.clock.drift * 1e6
        print(f"  microphone: {microphone.overflows} overflows, drift {drift:+.0f} ppm")
    if len(memory) > 2:
        seconds, megabytes, threads, files = np.array(memory).T
        slope = np.polyfit(seconds / 3600, megabytes, 1)[0]
        print(f"  memory {megabytes[-1]:.0f} MB, slope {slope:+.2f} MB an hour")
        for what, n in (("threads", threads), ("open files", files)):
            print(f"  {n.min():.0f} to {n.max():.0f} {what}")

    face = session.counts["face"]
    given = face.captured
    looked = given - face.dropped["superseded"] - face.dropped["skipped"]
    pictures_alone = min(given, 60 * args.rate)
    features = FaceFeatures(model)
    features.extract(frames[0].image, 0)
    alone, began = processor_time(server.pid), time.monotonic()
    for i in range(1, pictures_alone + 1):
        time.sleep(max(0.0, began + i / args.rate - time.monotonic()))
        features.extract(frames[i % len(frames)].image, i * SECOND // args.rate)
    alone = (processor_time(server.pid) - alone) / pictures_alone
    of_all, of_looked = live / (alone * given) - 1, live / (alone * looked) - 1
    print(f"  processor: {live / took:.0%} of a core, {1000 * live / given:.1f} ms per picture,")
    print(f"    the tracker alone {1000 * alone:.1f} ms; beside it on all of them {of_all:+.0%},")
    print(f"    on the {looked / given:.0%} of them that were analysed {of_looked:+.0%}")


if __name__ == "__main__":
    main()
