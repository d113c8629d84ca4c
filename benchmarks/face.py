"""Our face tracker beside MediaPipe's on the same pictures: ms a picture, memory, start; a second person.

    python benchmarks/face.py [--face-model FILE] [--rounds N] [--core K]

640×480 pictures of the demo clip with the face in sight, on one core. Rounds of the two alternate, so that
other load affects both; the ratio is the median of the rounds'. Needs enrapt[mediapipe]. The second person
is a mirrored copy beside the first one, in a picture twice as wide; four are two rows of them.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
from numpy.typing import NDArray

from enrapt.cli.demo import CLIP
from enrapt.realtime.features.face.extractor import FaceFeatures
from enrapt.realtime.features.face.model_file import find_face_model
from enrapt.realtime.features.face.networks import CROP, Networks
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.samples import Frame

SIZE = (640, 480)
FIRST, PICTURES = 25, 75  # of the clip, the face in sight
INTERVAL = 40  # ms

Picture = NDArray[np.uint8]

# A process of its own: seconds from its start to the first features, and its memory at the end.
START = """
import sys, time
began = time.clock_gettime(time.CLOCK_MONOTONIC)
from pathlib import Path
import numpy as np
from enrapt.realtime.features.face import FaceOptions
pictures = np.load(sys.argv[1])
face = FaceOptions(Path(sys.argv[2]), backend=sys.argv[3]).open()
face.extract(pictures[0], 0)
first = time.clock_gettime(time.CLOCK_MONOTONIC) - began
for i, picture in enumerate(pictures[1:], 1):
    face.extract(picture, i * 40_000_000)
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(first, int(status["VmRSS"].split()[0]) / 1024 - pictures.nbytes / 2**20)
"""


def pictures() -> list[Picture]:
    frames = [item for item in Recording(CLIP, 0.0, 5.0) if isinstance(item, Frame)]
    return [np.ascontiguousarray(cv2.resize(f.image, SIZE)) for f in frames[FIRST : FIRST + PICTURES]]


def milliseconds(extract: Callable[[Picture, int], object], images: list[Picture], began: int) -> float:
    """A picture, on average."""
    start = time.perf_counter()
    for i, image in enumerate(images):
        extract(image, began + i * INTERVAL)
    return 1e3 * (time.perf_counter() - start) / len(images)


def mediapipes(model: Path) -> Callable[[Picture, int], object]:
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model)),
        running_mode=vision.RunningMode.VIDEO,
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    landmarker = vision.FaceLandmarker.create_from_options(options)
    return lambda picture, ms: landmarker.detect_for_video(
        mediapipe.Image(mediapipe.ImageFormat.SRGB, picture), ms
    )


def ours(model: Path) -> Callable[[Picture, int], object]:
    features = FaceFeatures(model)
    return lambda picture, ms: features.extract(picture, ms * 1_000_000)


def networks_alone(model: Path) -> Callable[[Picture, int], object]:
    networks = Networks(model)
    crop, landmarks = np.full((CROP, CROP, 3), 128, np.uint8), np.zeros((478, 3), np.float32)

    def run(picture: Picture, ms: int) -> None:
        networks.landmarks(crop)
        networks.blendshapes(landmarks)

    return run


def beside(images: list[Picture], copies: int) -> list[Picture]:
    pairs = [np.hstack([image, image[:, ::-1]]) for image in images]
    return [np.vstack([pair] * (copies // 2)) for pair in pairs]


def spread(values: NDArray[np.float64]) -> str:
    low, middle, high = np.percentile(values, (5, 50, 95))
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--face-model", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--core", type=int, default=0)
    args = parser.parse_args()
    model = find_face_model(args.face_model)
    images = pictures()
    os.sched_setaffinity(0, {args.core})
    cv2.setNumThreads(1)

    alone = {"MediaPipe": mediapipes(model), "enrapt": ours(model), "the networks": networks_alone(model)}
    people = {n: (ours(model), beside(images, n)) for n in (2, 4)}
    times: dict[str, list[float]] = {name: [] for name in (*alone, "two people", "four people")}
    for number in range(-1, args.rounds):  # the first round warms up
        began = 1 + (number + 1) * (PICTURES + 25) * INTERVAL
        row = [milliseconds(extract, images, began) for extract in alone.values()]
        row += [milliseconds(extract, wide, began) for extract, wide in people.values()]
        if number >= 0:
            for column, ms in zip(times.values(), row, strict=True):
                column.append(ms)
    ms = {name: np.array(column) for name, column in times.items()}
    print(f"{PICTURES} pictures of 640×480, {args.rounds} rounds on core {args.core}; ms a picture")
    for name, values in ms.items():
        print(f"  {name:<14} {spread(values)}")
    print(f"enrapt: {spread(ms['MediaPipe'] / ms['enrapt'])} × MediaPipe's pictures a second;")
    print(f"  with the networks alone it would be {spread(ms['MediaPipe'] / ms['the networks'])} ×")
    second = (ms["two people"] - ms["enrapt"]) / ms["enrapt"]
    print(f"a second person in view costs {spread(second)} of the first")
    npy = Path(os.environ.get("TMPDIR", "/tmp")) / f"enrapt-face-{os.getpid()}.npy"
    np.save(npy, np.stack(images))
    try:
        for backend in ("mediapipe", "litert"):
            command = [sys.executable, "-c", START, str(npy), str(model), backend]
            runs = [subprocess.run(command, capture_output=True, check=True, text=True) for _ in range(5)]
            first, memory = np.median([[float(x) for x in run.stdout.split()] for run in runs], axis=0)
            print(f"{backend}: import and first picture {first:.2f} s, {memory:.0f} MB resident")
    finally:
        npy.unlink()


if __name__ == "__main__":
    main()
