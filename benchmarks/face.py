"""Face features and MediaPipe alone, on the same pictures: ms per picture, resident memory.

    python benchmarks/face.py VIDEO [--face-model FILE] [--pictures N] [--rounds N]

Rounds alternate; the best round of each counts, because other programs only add time.
"""

import argparse
import sys
import time
from pathlib import Path

import mediapipe
import numpy as np
import psutil
from mediapipe.tasks.python.core.base_options import BaseOptions
from mediapipe.tasks.python.vision.core.vision_task_running_mode import VisionTaskRunningMode
from mediapipe.tasks.python.vision.face_landmarker import FaceLandmarker, FaceLandmarkerOptions

from enrapt.realtime.features.face import FaceFeatures
from enrapt.realtime.features.face.model_file import find_face_model
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.samples import Frame


def alone(model: Path, frames: list[Frame]) -> float:
    """Seconds of MediaPipe's Python interface."""
    options = FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model)),
        running_mode=VisionTaskRunningMode.VIDEO,
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    with FaceLandmarker.create_from_options(options) as landmarker:
        start = time.perf_counter()
        for frame in frames:
            image = mediapipe.Image(mediapipe.ImageFormat.SRGB, frame.image)
            landmarker.detect_for_video(image, 1 + frame.originating_time // 1_000_000)
        return time.perf_counter() - start


def ours(model: Path, frames: list[Frame]) -> float:
    """Seconds of `FaceFeatures`."""
    with FaceFeatures(model) as features:
        start = time.perf_counter()
        for frame in frames:
            features.extract(frame.image, frame.originating_time)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--face-model", type=Path)
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    model = find_face_model(args.face_model)

    frames: list[Frame] = []
    for piece in Recording(args.video):
        if isinstance(piece, Frame):
            frames.append(piece)
        if len(frames) == args.pictures:
            break
    if not frames:
        sys.exit(f"{args.video}: no pictures in this file")
    height, width, _ = frames[0].image.shape

    process = psutil.Process()
    before = process.memory_info().rss
    rounds = np.array([(alone(model, frames), ours(model, frames)) for _ in range(args.rounds)])
    theirs, mine = 1e3 * rounds.min(axis=0) / len(frames)
    grown = (process.memory_info().rss - before) / 2**20
    print(f"{len(frames)} pictures of {width}×{height}, best of {args.rounds} rounds")
    print(f"MediaPipe alone   {theirs:6.2f} ms per picture")
    print(f"enrapt's features {mine:6.2f} ms per picture, {mine / theirs:.3f} times MediaPipe's time")
    print(f"resident memory   {grown:6.0f} MiB more than before the first of them")


if __name__ == "__main__":
    main()
