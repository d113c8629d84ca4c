"""The page in a real browser: how late a tick is drawn, how many frames a second, and pictures of it.

    python benchmarks/page.py [--seconds 30] [--screenshots FOLDER]

A made-up session at 25 ticks/s is shown by the page's server to a Chromium without a screen. "Painted" is
when a message arrives that the page sends to itself in the frame that shows the tick's number, which is
after the frame was painted. The chart runs 100 ms behind the numbers, so that it can move evenly; the
figures are of the numbers.
"""

import argparse
import io
import math
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import numpy as np
from PIL import Image
from selenium import webdriver

from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.engine.estimate import Engagement, Estimate, Latency
from enrapt.realtime.page.server import PageServer
from enrapt.realtime.streams.samples import SECOND, Observation

RATE = 25
BEFORE = 60  # s of the session before the page is opened

HELLO = {
    "kind": "live",
    "name": "live",
    "rate": RATE,
    "bundle": {
        "name": "default",
        "sha256": "61589ad5" + "0" * 56,
        "trained_on": "Simulated conversations, in units matched to what the extractors give on real clips",
        "not_for": "Simulated people only: validated on no human. For trying the pipeline and for "
        "prototypes; not for judging people, least of all at work or in education",
    },
    "modalities": ["face", "audio"],
    "can": ["pause", "mark", "reset", "calibrate"],
    "recording": None,
    "media_kept": False,
    "duration": None,
}


class Session:
    """Made-up ticks, written to `server` in their rhythm by a thread of its own.

    Attributes:
        face: whether there is one in sight.
        camera: the device's state.
        written: by tick, the wall clock when its estimate was made.
    """

    def __init__(self, server: PageServer, **hello: object) -> None:
        self.server, self.face, self.camera = server, True, "open"
        self.written: dict[int, float] = {}
        self._tick, self._missing, self._end = 0, 0, Event()
        server.hello({**HELLO, **hello})
        for _ in range(BEFORE * RATE):
            self._write()
            time.sleep(0.0005)  # the server's queue is bounded
        self._thread = Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        began, first = time.monotonic(), self._tick
        while not self._end.wait(max(0.0, began + (self._tick - first) / RATE - time.monotonic())):
            self._write()
            if self._tick % RATE == 0:
                self.server.status(self._status())

    def _write(self) -> None:
        k = self._tick
        t = k / RATE
        face = self.face and not 20 <= t < 26
        audio = not 34 <= t < 36
        self._missing = 0 if face else self._missing + 1
        spread = 0.09 + 0.14 * (1 - math.exp(-self._missing / 40)) + 0.02 * math.sin(t / 3)
        mean = 0.55 + 0.2 * math.sin(t / 7) + 0.08 * math.sin(t / 1.7) + 0.02 * math.sin(5 * t)
        low, high = max(0.0, mean - 1.64 * spread), min(1.0, mean + 1.5 * spread)
        ages = {"face": 12.0 + 25 * (k % 3 == 0), "audio": 8.0}
        there = {"face": face, "audio": audio}
        estimate = Estimate(
            tick=k,
            t=t,
            engagement=Engagement(*(round(x, 4) for x in (mean, spread, low, high))),
            present=there,
            age_ms={name: ages[name] if there[name] else None for name in there},
            surprise={
                "face": round(3 + 4 * math.sin(t), 3) if face else None,
                "audio": round(40 + 30 * math.sin(2 * t), 3) if audio else None,
            },
            latency_ms=Latency(0.07, 21.4, 30.1, {"face": 5.2}),
        )
        seen = np.full(FACE.dim, 0.02, np.float32)
        for name, x in (
            ("mouthSmileLeft", 0.5 + 0.3 * math.sin(t / 3)),
            ("mouthSmileRight", 0.48 + 0.3 * math.sin(t / 3)),
            ("browInnerUp", 0.22),
            ("jawOpen", 0.2 + 0.15 * math.sin(9 * t)),
            ("eyeLookOutLeft", 0.3 + 0.25 * math.sin(t / 2)),
            ("yaw", 0.25 * math.sin(t / 4)),
            ("pitch", 0.1 * math.sin(t)),
            ("roll", -0.06),
        ):
            seen[FACE.index(name)] = x
        heard = np.zeros(AUDIO.dim, np.float32)
        heard[AUDIO.index("level")] = -32 + 9 * math.sin(7 * t)
        heard[AUDIO.index("speech")] = heard[AUDIO.index("voicing")] = float(math.sin(t) > -0.3)
        values = {"face": seen if face else None, "audio": heard if audio else None}
        age = {name: None if ms is None else round(ms * 1e6) for name, ms in estimate.age_ms.items()}
        observation = Observation(k, k * SECOND // RATE, values, age)
        self.written[k] = time.time()
        self.server.write(estimate, observation)
        self._tick += 1

    def _status(self) -> dict[str, object]:
        stages = {"face": (5.1, 7.9, 11.2), "step": (0.07, 0.09, 0.15), "tick": (30.2, 41.0, 50.0)}
        return {
            "devices": [
                {"name": "camera", "state": self.camera, "format": "640×480, 30 frames/s"},
                {"name": "microphone", "state": "open", "format": "16000 Hz, mono"},
            ],
            "drops": {"face": {"superseded": 31}, "audio": {}},
            "latency_ms": {
                stage: dict(zip(("p50", "p95", "p99"), ms, strict=True)) for stage, ms in stages.items()
            },
            "paused": False,
            "calibrated": 0.53,
            "outputs": {},
        }


@contextmanager
def browser(width: int = 1200, height: int = 900) -> Iterator[webdriver.Chrome]:
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        for option in (
            "headless",
            "no-sandbox",
            "disable-gpu",
            "disable-background-networking",
            "hide-scrollbars",
        ):
            options.add_argument(f"--{option}")
        options.add_argument(f"--user-data-dir={profile}")
        options.add_argument(f"--window-size={width},{height}")
        service = webdriver.ChromeService(executable_path="/usr/bin/chromedriver")
        driver = webdriver.Chrome(options, service)
        try:
            yield driver
        finally:
            driver.quit()


def look(driver: webdriver.Chrome, width: int, height: int, scheme: str = "light") -> None:
    """Another size (a phone's, of 360 px, is less than a window can have) and another scheme of colours."""
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def measure(seconds: float) -> None:
    server = PageServer("127.0.0.1", free_port())
    session = Session(server)
    with browser() as driver:
        driver.get(server.address + "#measure")
        time.sleep(3)
        driver.execute_script("performance.clearMarks()")
        time.sleep(seconds)
        took = "return performance.getEntriesByName(arguments[0]).map("
        drawn = driver.execute_script(
            took + "m => [m.detail, performance.timeOrigin + m.startTime])", "drawn"
        )
        frames = driver.execute_script(took + "m => [m.detail, m.startTime])", "frame")
    session.stop()
    server.close(True)
    late = [ms - 1000 * session.written[tick] for tick, ms in drawn]
    percentiles("an estimate is made … its number is painted", late)
    print(f"  {len(drawn)} ticks drawn of {round(seconds * RATE)}; the chart is 100 ms behind them by design")
    percentiles("a frame of the chart costs", [1000 * cost for cost, _ in frames])
    starts = np.array([start for _, start in frames])
    print(f"  {(len(starts) - 1) / (starts[-1] - starts[0]) * 1000:.1f} frames/s")
    percentiles("from a frame to the next", list(np.diff(starts)))


def percentiles(name: str, values: list[float]) -> None:
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    print(f"  {name:44s} p50 {p50:6.1f}   p95 {p95:6.1f}   p99 {p99:6.1f} ms")


def screenshots(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with browser() as driver:

        def shown(name: str, do: Callable[[], None] = lambda: None, wait: float = 1.5) -> None:
            do()
            time.sleep(wait)
            picture = Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB")
            picture.quantize(256).save(folder / f"{name}.png", optimize=True)

        def lose(what: str) -> None:
            session.face, session.camera = False, "lost" if what == "camera" else "open"

        server = PageServer("127.0.0.1", free_port())
        session = Session(server)
        look(driver, 1200, 900)
        driver.get(server.address)
        time.sleep(2)
        server.mark(session._tick / RATE - 6, "question 2")
        shown("running")
        shown("dark", lambda: look(driver, 1200, 900, "dark"))
        shown("phone", lambda: look(driver, 360, 780))
        look(driver, 1200, 900)
        server.hello({**HELLO, "recording": "sessions/anna", "media_kept": True})
        shown("face_lost", lambda: lose("face"), 4)
        shown("camera_lost", lambda: lose("camera"), 2.5)
        session.stop()
        server.close(True)
        shown("not_connected")

        server = PageServer("127.0.0.1", free_port())
        session = Session(server, kind="replay", name="interview.mp4", can=[], duration=300.0)
        driver.get(server.address)
        time.sleep(2)
        move = (
            "const at = document.getElementById('at'); at.value = 41.2; at.dispatchEvent(new Event('input'))"
        )
        shown("replay", lambda: driver.execute_script(move))
        session.stop()
        server.close(True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--screenshots", metavar="FOLDER", type=Path)
    args = parser.parse_args()
    if args.screenshots:
        screenshots(args.screenshots)
    else:
        measure(args.seconds)


if __name__ == "__main__":
    main()
