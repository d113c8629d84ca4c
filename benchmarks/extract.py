"""Extraction of recordings with one processor and with two: recordings' seconds a second, ratio, load.

    python benchmarks/extract.py [SOURCE] [--copies N] [--face-model FILE] [--rounds N] [--ray]

Each round extracts copies of a clip three times: in one process on one processor, in one process on two, in
two processes on two. Rounds alternate, so that other load affects all. Processes are started anew each time,
which is in the figures. --ray adds two workers of a Ray cluster of this machine (needs enrapt[ray]).
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from enrapt.cli.demo import CLIP
from enrapt.realtime.features.face.model_file import find_face_model
from enrapt.realtime.sources.recording import Recording


def extract(
    folder: Path, sessions: Path, model: Path, processors: set[int], *options: str
) -> tuple[float, float]:
    """Seconds that it takes on these processors, by the clock and of processors."""
    command = [sys.executable, "-m", "enrapt.cli.main", "extract", str(folder), "-o", str(sessions)]
    command += ["--face-model", str(model), *options]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)  # child processes inherit it
    try:
        start, used = time.perf_counter(), _used()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - start, _used() - used
    finally:
        os.sched_setaffinity(0, before)


def _used() -> float:
    """Processor seconds of processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path, nargs="?", default=CLIP)
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--face-model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ray", action="store_true")
    args = parser.parse_args()
    model = find_face_model(args.face_model).absolute()
    first, second = sorted(os.sched_getaffinity(0))[:2]
    runs = {
        "1 job on 1 processor": ({first}, "--jobs", "1"),
        "1 job on 2": ({first, second}, "--jobs", "1"),
        "2 jobs on 2": ({first, second}, "--jobs", "2"),
    }
    if args.ray:
        runs["2 jobs on 2 by Ray"] = ({first, second}, "--jobs", "2", "--engine", "ray")
    seconds = (Recording(args.source).duration or 0.0) * args.copies
    rounds, loads = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "recordings"
        folder.mkdir()
        for k in range(args.copies):
            shutil.copy(args.source, folder / f"{k}{args.source.suffix}")
        for k in range(args.rounds):
            loads.append(os.getloadavg()[0])
            times = []
            for number, (processors, *options) in enumerate(runs.values()):
                sessions = Path(name) / f"sessions-{k}-{number}"
                times.append(extract(folder, sessions, model, processors, *options))
                shutil.rmtree(sessions)
            rounds.append(times)
    taken, used = np.moveaxis(np.array(rounds), 2, 0)  # [rounds, runs]
    print(f"{args.copies} recordings, {seconds:.0f} s; load {min(loads):.1f}–{max(loads):.1f}")
    print(f"median of {args.rounds} rounds (spread)")
    for name, times, processor in zip(runs, taken.T, used.T, strict=True):
        speeds, ratios = np.sort(seconds / times), np.sort(taken[:, 0] / times)
        print(
            f"{name:<22} {np.median(speeds):6.2f} × real time ({speeds[0]:.2f}–{speeds[-1]:.2f}), "
            f"{np.median(ratios):.2f} × the first ({ratios[0]:.2f}–{ratios[-1]:.2f}), "
            f"{np.median(processor):.1f} s of processors"
        )


if __name__ == "__main__":
    main()
