"""Screenshots of the page for the documentation, from real runs.

    python benchmarks/screenshots.py [--folder docs/screenshots] [--face-model FILE]

The camera is the demo clip, sent in a loop as MJPEG over HTTP by another process; the microphone is its
sound, sent over Lab Streaming Layer. A live session estimates from them, a headless Chromium shows its page,
and at the end the clip is replayed. To lose the face, the camera sends grey noise; to lose the camera, its
process is killed. Takes six minutes.
"""

import argparse
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from browser import browser, emulate, screenshot
from mjpeg_camera import mjpeg_camera

from enrapt.cli.demo import CLIP
from enrapt.realtime import LiveSession
from enrapt.realtime.features.face import FaceOptions
from enrapt.realtime.features.face.model_file import find_face_model

SAMPLES = 16_000  # a second
CHUNK = 320  # samples sent at once
SOUND = "enrapt screenshots"  # the stream's name
LSL = "[multicast]\nResolveScope = machine\n[lab]\nKnownPeers = {127.0.0.1}\n[log]\nlevel = -2\n"
DESKTOP, PHONE = (1200, 1000), (360, 780)
LENGTH = 65  # s of the clip; the face is missing from 20 to 32, the sound from 44 to 56


def send_pictures(port: Any, start: float, covered: Any) -> None:
    """Serve the clip as MJPEG over HTTP; grey noise while `covered` is set."""
    video = cv2.VideoCapture(str(CLIP))
    rate = video.get(cv2.CAP_PROP_FPS)
    images = []
    while (read := video.read())[0]:
        images.append(read[1])
    random = np.random.default_rng(0)
    noise = [random.integers(80, 100, images[0].shape, np.uint8) for _ in range(10)]

    def encoded(images: list[Any]) -> list[bytes]:
        return [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes() for image in images]

    clip, grey = encoded(images), encoded(noise)

    def jpeg(number: int) -> bytes:
        jpegs = grey if covered.is_set() else clip
        return jpegs[number % len(jpegs)]

    server = mjpeg_camera(jpeg, rate, start)
    port.send(server.server_port)
    server.serve_forever()


def send_sound(start: float) -> None:
    """Send the clip's sound over Lab Streaming Layer, in time with the pictures."""
    import pylsl

    command = ["ffmpeg", "-loglevel", "error", "-i", CLIP, *f"-ac 1 -ar {SAMPLES} -f f32le -".split()]
    decoded = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    samples = np.frombuffer(decoded, np.float32)
    chunks = samples[: len(samples) // CHUNK * CHUNK].reshape(-1, CHUNK, 1)
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo(SOUND, "Audio", 1, SAMPLES, "float32", SOUND), CHUNK)
    offset = pylsl.local_clock() - time.monotonic()
    number = int((time.monotonic() - start) * SAMPLES / CHUNK)
    while True:
        number += 1
        end = start + number * CHUNK / SAMPLES
        time.sleep(max(0.0, end - time.monotonic()))
        outlet.push_chunk(chunks[(number - 1) % len(chunks)].tolist(), end + offset)


class Devices:
    """The camera and the sound.

    Attributes:
        camera: its address.
        covered: set while the camera shows no face.
    """

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._start = time.monotonic()
        self.covered = context.Event()
        receiver, sender = context.Pipe(duplex=False)
        self._pictures = context.Process(
            target=send_pictures, args=(sender, self._start, self.covered), daemon=True
        )
        self._sound = context.Process(target=send_sound, args=(self._start,), daemon=True)
        self._pictures.start()
        self._sound.start()
        self.camera = f"http://127.0.0.1:{receiver.recv()}/"

    def wait_for(self, position: float) -> None:
        """Wait until the clip is at that position, s, again."""
        time.sleep((position - (time.monotonic() - self._start)) % LENGTH)

    def lose_camera(self) -> None:
        self._pictures.kill()

    def close(self) -> None:
        self._pictures.kill()
        self._sound.kill()


@contextmanager
def devices() -> Iterator[Devices]:
    opened = Devices()
    try:
        yield opened
    finally:
        opened.close()


def live(take: Callable[[LiveSession, Devices], None], face_model: Path, **options: Any) -> None:
    """Run a live session until `take`, in another thread, has taken its pictures."""
    with devices() as opened, ThreadPoolExecutor(1) as thread:
        audio = f"lsl:{SOUND}"
        with LiveSession(
            opened.camera,
            None,
            streams={"audio": audio},
            faces=FaceOptions(face_model),
            to=["ui:0"],
            **options,
        ) as session:
            taken = thread.submit(take, session, opened)
            for _ in session:
                if taken.done():
                    break
        taken.result()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("docs/screenshots"))
    parser.add_argument("--face-model", metavar="FILE", type=Path)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    folder, face_model = args.folder.resolve(), find_face_model(args.face_model).resolve()
    with tempfile.TemporaryDirectory() as temporary, browser(*DESKTOP) as driver:
        os.chdir(temporary)  # for the recording
        Path("sessions").mkdir()
        Path("lsl.cfg").write_text(LSL)
        os.environ["LSLAPICFG"] = str(Path("lsl.cfg").resolve())

        def shot(name: str) -> None:
            screenshot(driver, folder / f"{name}.png")

        def states(session: LiveSession, devices: Devices) -> None:
            emulate(driver, *DESKTOP)
            driver.get(session.page.address)
            time.sleep(30)
            devices.wait_for(37)
            session.mark("question 2")
            devices.wait_for(61)
            shot("running")
            emulate(driver, *DESKTOP, "dark")
            devices.wait_for(62.5)
            shot("dark")
            emulate(driver, *PHONE)
            devices.wait_for(64)
            shot("phone")

        def losses(session: LiveSession, devices: Devices) -> None:
            emulate(driver, *DESKTOP)
            driver.get(session.page.address)
            time.sleep(10)
            devices.wait_for(8)
            devices.covered.set()
            devices.wait_for(12.5)
            shot("face_lost")
            devices.covered.clear()
            devices.wait_for(36)
            devices.lose_camera()
            devices.wait_for(43)
            shot("camera_lost")

        live(states, face_model)
        live(losses, face_model, record=Path("sessions/anna"), keep_media=True)
        time.sleep(2)
        shot("not_connected")

        port = free_port()
        command = [sys.executable, "-m", "enrapt.cli.main", "replay", str(CLIP), "--realtime"]
        command += ["--to", f"ui:{port}", "--face-model", str(face_model)]
        replay = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while b"page:" not in (line := replay.stderr.readline()):
            assert line, "the replay has failed"
        driver.get(f"http://127.0.0.1:{port}/")
        time.sleep(LENGTH + 4)
        at = "document.getElementById('at')"
        driver.execute_script(f"{at}.value = 38; {at}.dispatchEvent(new Event('input'))")
        time.sleep(1)
        shot("replay")
        replay.send_signal(signal.SIGINT)
        replay.communicate()


if __name__ == "__main__":
    main()
