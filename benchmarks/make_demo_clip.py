"""Make `cli/demo.mp4`, the clip of `enrapt demo`.

    apt install espeak-ng
    python -m venv /tmp/clip && /tmp/clip/bin/pip install av numpy opencv-python-headless scikit-image
    /tmp/clip/bin/python benchmarks/make_demo_clip.py

The image is NASA's portrait of the astronaut Eileen Collins, in the public domain; scikit-image ships it. A
virtual camera moves over it. The voice is espeak-ng's and says that it is a computer's. For three seconds no
face is in the frame, and for another three the sound is digital silence.
"""

import shutil
import subprocess
import sys
import tempfile
import wave
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

CLIP: Final = Path(__file__).parents[1] / "cli" / "demo.mp4"
SECONDS: Final = 20
FPS: Final = 25
SIZE: Final = (640, 480)
RATE: Final = 22_050  # samples/s, espeak-ng's
SILENT: Final = (13.7, 16.8)  # s
ROOM: Final = -65.0  # dBFS of room noise, so that only `SILENT` looks like a muted microphone

SPOKEN: Final = (  # start in s, text
    (
        0.3,
        "Hello! This is a portrait from NASA's archive, seen by a virtual camera. The voice is a computer's.",
    ),
    (7.2, "Now the camera looks away, and there is no face to see."),
    (10.8, "Here it is again. Next comes silence."),
    (16.9, "The sound is back. Now try your own camera!"),
)

# Key frames of the camera: time in s, centre of view (pixels of the portrait), width of view (pixels), and
# roll, yaw and pitch (degrees). Between them it eases from one to the next.
CAMERA: Final = np.array([
    (0.0, 246, 168, 400, 0, 0, 0),
    (3.0, 228, 124, 250, 4, 8, -4),
    (5.0, 224, 130, 270, -5, -10, 4),
    (6.8, 240, 140, 300, 0, 4, 0),
    (7.7, 408, 150, 196, 0, 0, 0),  # the model of the shuttle
    (8.8, 414, 170, 190, 3, 0, 0),
    (9.5, 394, 410, 230, 0, 0, 0),  # the helmet
    (9.9, 390, 414, 226, -2, 0, 0),
    (10.8, 232, 140, 290, 0, 0, 0),
    (13.0, 224, 120, 220, -8, 10, 6),
    (15.0, 240, 136, 300, 6, -12, -6),
    (17.0, 226, 126, 230, 0, 6, 6),
    (18.5, 236, 140, 290, -4, -6, -3),
    (20.0, 246, 168, 400, 0, 0, 0),
])  # fmt: skip


def camera(t: float) -> NDArray[np.float64]:
    """Centre, width and angles at `t` seconds, with the motion of a hand-held camera."""
    i = min(int(np.searchsorted(CAMERA[:, 0], t, side="right")) - 1, len(CAMERA) - 2)
    u = (t - CAMERA[i, 0]) / (CAMERA[i + 1, 0] - CAMERA[i, 0])
    u = u * u * (3 - 2 * u)
    view = (1 - u) * CAMERA[i, 1:] + u * CAMERA[i + 1, 1:]
    shake = np.sin(2 * np.pi * t * np.array([0.31, 0.43, 0.23, 0.37, 0.29, 0.47]))
    return view + shake * [1.5, 1.0, 2.0, 0.6, 1.5, 1.0]


def frame_at(portrait: NDArray[np.uint8], t: float) -> NDArray[np.uint8]:
    """The camera's frame, `[480, 640, 3]`."""
    x, y, width, *angles = camera(t)
    roll, yaw, pitch = np.deg2rad(angles)
    turn = cv2.Rodrigues(np.array([0, 0, roll]))[0] @ cv2.Rodrigues(np.array([pitch, yaw, 0.0]))[0]
    focal = 1.2 * SIZE[0]
    lens = np.array([[focal, 0, SIZE[0] / 2], [0, focal, SIZE[1] / 2], [0, 0, 1]])
    scale = width / SIZE[0]
    wall = np.array([[focal * scale, 0, x], [0, focal * scale, y], [0, 0, 1]])
    seen = cv2.warpPerspective(
        portrait,
        wall @ turn @ np.linalg.inv(lens),
        SIZE,
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    light = 1 + 0.04 * np.sin(2 * np.pi * 0.13 * t) + 0.02 * np.sin(2 * np.pi * 0.71 * t)
    return cv2.convertScaleAbs(seen, alpha=light)


def sound() -> NDArray[np.float32]:
    """The voice in a quiet room, `[SECONDS * RATE]`, full scale ±1."""
    rng = np.random.default_rng(0)
    samples = 10 ** (ROOM / 20) * rng.normal(size=SECONDS * RATE)
    for start, text in SPOKEN:
        voice = spoken(text)
        first = round(start * RATE)
        free = SILENT[0] if start < SILENT[0] else SECONDS
        if start + voice.size / RATE > free:
            sys.exit(f"{text!r} takes {voice.size / RATE:.1f} s, but only {free - start:.1f} s are free")
        samples[first : first + voice.size] += voice
    samples[round(SILENT[0] * RATE) : round(SILENT[1] * RATE)] = 0
    return samples.astype(np.float32)


def spoken(text: str) -> NDArray[np.float64]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "voice.wav"
        subprocess.run(["espeak-ng", "-v", "en-us", "-s", "160", "-w", file, text], check=True)
        with wave.open(str(file)) as wav:
            assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (RATE, 1, 2)
            samples = np.frombuffer(wav.readframes(wav.getnframes()), np.int16)
    return 0.6 * np.trim_zeros(samples) / 32768


def main() -> None:
    if shutil.which("espeak-ng") is None:
        sys.exit("espeak-ng is missing: apt install espeak-ng")
    portrait = data.astronaut()
    samples = sound()
    unfinished = CLIP.with_suffix(".part.mp4")
    with av.open(str(unfinished), "w", options={"movflags": "faststart"}) as container:
        video = container.add_stream(
            "libx264", rate=FPS, options={"crf": "27", "preset": "veryslow", "g": "50"}
        )
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        audio = container.add_stream("aac", rate=RATE, options={"aac_pns": "0"})
        audio.layout, audio.bit_rate = "mono", 64_000
        for k in range(SECONDS * FPS):
            frame = av.VideoFrame.from_ndarray(frame_at(portrait, k / FPS))
            frame.pts, frame.time_base = k, Fraction(1, FPS)
            container.mux(video.encode(frame))
            # The sound of this frame, so that the file is interleaved.
            for i in range(*(-(-n * RATE // FPS // 1024) * 1024 for n in (k, k + 1)), 1024):
                block = av.AudioFrame.from_ndarray(samples[None, i : i + 1024], "fltp", "mono")
                block.sample_rate, block.pts, block.time_base = RATE, i, Fraction(1, RATE)
                container.mux(audio.encode(block))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    unfinished.replace(CLIP)
    print(f"{CLIP}: {CLIP.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
