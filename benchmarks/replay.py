"""A whole replay beside MediaPipe alone on the same pictures: times real time, ratio, resident memory.

    python benchmarks/replay.py [SOURCE] [--face-model FILE] [--rounds N]

Rounds alternate, so that other load affects both. MediaPipe alone gets decoded pictures, on one core; the
replay also decodes, extracts audio features, aligns, steps the model and counts, on all cores. Needs
enrapt[mediapipe].
"""

import argparse
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
from face import mediapipes

from enrapt.cli.demo import CLIP
from enrapt.realtime.features.face import FaceOptions
from enrapt.realtime.features.face.model_file import find_face_model
from enrapt.realtime.run import Run
from enrapt.realtime.sources.media import MediaSource
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.samples import Frame


def alone(model: Path, frames: list[Frame]) -> float:
    """Seconds that MediaPipe takes for decoded pictures, on one core, once it is loaded."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # of its threads, too
    try:
        detect = mediapipes(model)
        start = time.perf_counter()
        for frame in frames:
            detect(frame.image, frame.originating_time // 1_000_000)
        return time.perf_counter() - start
    finally:
        os.sched_setaffinity(0, cores)


def replay(model: Path, source: Path) -> float:
    """Seconds that a whole replay takes, once everything is loaded."""
    with Run(MediaSource(source, faces=FaceOptions(model))) as run:
        start = time.perf_counter()
        for _ in run:
            pass
        return time.perf_counter() - start


def peak_memory(model: Path, source: Path) -> float:
    """Resident memory of `enrapt replay` at its highest, MB."""
    command = [sys.executable, "-m", "enrapt.cli.main", "replay", str(source), "--face-model", str(model)]
    peak = 0.0
    # Not of `getrusage`: that counts what this process had when it started the other.
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with contextlib.suppress(psutil.Error):
                peak = max(peak, psutil.Process(process.pid).memory_info().rss / 1e6)
            time.sleep(0.02)
    assert process.returncode == 0
    return peak


def imported() -> set[str]:
    """Which of torch and mediapipe come with `enrapt.realtime`."""
    program = "import sys, enrapt.realtime; print(*{'torch', 'mediapipe'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path, nargs="?", default=CLIP)
    parser.add_argument("--face-model", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    model = find_face_model(args.face_model)
    memory = peak_memory(model, args.source)

    frames = [piece for piece in Recording(args.source) if isinstance(piece, Frame)]
    height, width, _ = frames[0].image.shape
    seconds = Recording(args.source).duration or len(frames) / 25
    rounds = np.array(
        [(alone(model, frames), replay(model, args.source)) for _ in range(args.rounds)]
    )  # [rounds, 2]
    print(f"{len(frames)} pictures of {width}×{height}, {seconds:.1f} s")
    print(f"median of {args.rounds} rounds (spread)")
    for name, times in zip(("MediaPipe alone", "enrapt replay"), rounds.T, strict=True):
        speeds = np.sort(seconds / times)
        print(f"{name:<16} {np.median(speeds):6.2f} × real time ({speeds[0]:.2f}–{speeds[-1]:.2f})")
    ratios = np.sort(rounds[:, 0] / rounds[:, 1])
    print(f"{'ratio':<16} {np.median(ratios):6.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})")
    print(f"{'resident memory':<16} {memory:6.0f} MB at its highest, of `enrapt replay`")
    print(f"import enrapt.realtime brings in {' and '.join(imported()) or 'neither torch nor mediapipe'}")


if __name__ == "__main__":
    main()
