"""The page in a real browser: delay until an estimate is painted, and frames per second.

    python benchmarks/page.py [--seconds 30]

The page's server shows synthetic estimates at 25 ticks/s to a headless Chromium. An estimate counts as
painted when a message arrives that the page sends to itself in the frame that shows the tick's number. The
chart is 100 ms behind the numbers, so that it moves evenly; the figures are of the numbers.
"""

import argparse
import math
import time
from threading import Event, Thread
from typing import Any

import numpy as np
from browser import browser

from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.page.server import PageServer
from enrapt.realtime.streams.samples import SECOND, Observation

RATE = 25
BEFORE = 60  # s of the run before the page is opened


class Run:
    """A synthetic run that writes ticks to `server` at their times, in its own thread.

    Attributes:
        written: wall clock by tick, when its estimate was written.
    """

    rate = RATE

    def __init__(self, server: PageServer) -> None:
        self.written: dict[int, float] = {}
        self._server, self._end = server, Event()
        server.observe(self)
        for tick in range(BEFORE * RATE):
            self._write(tick)
            time.sleep(0.0005)  # the server's queue is bounded
        self._thread = Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def description(self) -> dict[str, Any]:
        return {
            "kind": "live",
            "name": "live",
            "rate": RATE,
            "bundle": {"name": "synthetic", "sha256": "", "trained_on": "", "not_for": ""},
            "modalities": ["face", "audio"],
            "schemas": {"face": FACE.name, "audio": AUDIO.name},
            "sources": ["face", "audio"],
            "can": ["pause", "mark", "reset", "calibrate"],
            "recording": None,
            "media_kept": False,
            "duration": None,
        }

    def status(self) -> dict[str, Any]:
        return {
            "devices": [{"name": "camera", "state": "open", "format": "640×480, 30 frames/s"}],
            "drops": {"face": {"superseded": len(self.written)}},
            "latency_ms": {"step": {"p50": time.time() % 9, "p95": 9.0, "p99": 9.9}},
            "paused": False,
            "profile": None,
            "calibrating": None,
            "outputs": {},
        }

    person = None

    def landmarks(self) -> None:
        return None

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def follow(self, person: int) -> None: ...
    def mark(self, label: str) -> None: ...
    def reset(self) -> None: ...
    def calibrate(self) -> None: ...

    def _run(self) -> None:
        start, tick = time.monotonic(), BEFORE * RATE
        while not self._end.wait(max(0.0, start + (tick - BEFORE * RATE) / RATE - time.monotonic())):
            self._write(tick)
            tick += 1

    def _write(self, tick: int) -> None:
        t = tick / RATE
        mean, spread = 0.55 + 0.2 * math.sin(t / 7) + 0.08 * math.sin(t / 1.7), 0.1 + 0.02 * math.sin(t / 3)
        face = np.abs(np.sin(np.arange(FACE.dim) + t)).astype(np.float32)
        audio = np.abs(np.sin(np.arange(AUDIO.dim) + 7 * t)).astype(np.float32)
        estimate = Estimate(
            tick,
            t,
            Engagement(*(round(x, 4) for x in (mean, spread, mean - 1.6 * spread, mean + 1.6 * spread))),
            {"face": True, "audio": True},
            {"face": 12.0, "audio": 8.0},
            {"face": round(3 + 4 * math.sin(t), 3), "audio": round(40 + 30 * math.sin(2 * t), 3)},
            Latency(0.07, 21.4, 30.1, {"face": 5.2}),
        )
        age = {"face": 12_000_000, "audio": 8_000_000}
        self.written[tick] = time.time()
        observation = Observation(tick, tick * SECOND // RATE, {"face": face, "audio": audio}, age)
        self._server.write(estimate, observation)


def percentiles(name: str, values: list[float]) -> None:
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    print(f"  {name:40s} p50 {p50:6.1f}   p95 {p95:6.1f}   p99 {p99:6.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    seconds = parser.parse_args().seconds
    server = PageServer(port=0)
    run = Run(server)
    with browser() as driver:
        driver.get(server.address + "#measure")
        time.sleep(3)
        driver.execute_script("performance.clearMarks()")
        time.sleep(seconds)
        marks = "return performance.getEntriesByName(arguments[0]).map("
        drawn = driver.execute_script(
            marks + "m => [m.detail, performance.timeOrigin + m.startTime])", "drawn"
        )
        frames = driver.execute_script(marks + "m => [m.detail, m.startTime])", "frame")
    run.stop()
    server.close(True)
    percentiles("estimate written to number painted", [ms - 1000 * run.written[tick] for tick, ms in drawn])
    print(f"  {len(drawn)} ticks drawn of {round(seconds * RATE)}")
    percentiles("drawing a frame of the chart", [1000 * cost for cost, _ in frames])
    starts = np.array([start for _, start in frames])
    print(f"  {(len(starts) - 1) / (starts[-1] - starts[0]) * 1000:.1f} frames/s")
    percentiles("between frames", list(np.diff(starts)))


if __name__ == "__main__":
    main()
