"""Damaged recordings of ten formats, each replayed in a process of its own: crashes, hangs, memory, outputs.

    python -m benchmarks.mutated [--files 300] [--seed 0] [--face-model FILE] [--only N] [--keep FOLDER]

File N of a seed has format N mod 10 and a mutation drawn from (seed, N): truncated, bits flipped anywhere or
bytes replaced at the beginning, a block zeroed, two blocks swapped. It is the same in each run if the
encoders give the same; `--keep` keeps the files that fail. Of each replay: exit status 0, 1 or 2, the latter
two with a line and no traceback; at most 60 s and 600 MB resident; estimates whole under their name, or not
there. Prints a table and each file of which this is not true; then the exit status is 1. `--only N` replays
that file alone and shows its output.

Needs enrapt[dev] and Linux.
"""

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from enrapt.contracts.schemas import AUDIO, FACE
from enrapt.realtime.features.face.model_file import find_face_model
from tests.support import recordings, xdf_files
from tests.support.bundles import make_bundle

LONGEST = 60.0  # s
LARGEST = 600.0  # MB
KILLED_AT = 2000.0  # MB; spares the machine
SECONDS = 3

VIDEO = {"pictures": recordings.every(0.04, SECONDS * 25), "size": (64, 48), "sound": (0, SECONDS)}
FORMATS = {
    "mp4": VIDEO | {"codec": "libx264", "sound_codec": "aac"},
    "mkv": VIDEO | {"codec": "libx264", "sound_codec": "aac"},
    "webm": VIDEO | {"codec": "libvpx", "sound_codec": "libopus"},
    "avi": VIDEO | {"codec": "mjpeg", "pixels": "yuvj420p"},
    "ts": VIDEO | {"codec": "mpeg2video", "sound_codec": "mp2"},
    "flv": VIDEO | {"codec": "flv", "sound_codec": "libmp3lame", "rate": 44_100},
    "mp3": {"sound": (0, SECONDS), "sound_codec": "libmp3lame"},
    "opus": {"sound": (0, SECONDS), "sound_codec": "libopus"},
    "wav": {"sound": (0, SECONDS), "layout": "stereo"},
    "xdf": {},
}
MUTATIONS = ("truncated", "flipped", "beginning", "zeroed", "swapped")


@dataclass(frozen=True)
class Result:
    """Attributes:
    status: exit status; minus the signal's number where one ended it.
    wall: s.
    resident: MB, at its highest.
    failures: what is not as it should be.
    """

    status: int
    wall: float
    resident: float
    failures: list[str]


def make_seeds(folder: Path) -> dict[str, bytes]:
    """A sound recording of each format."""
    seeds = {}
    for suffix, what in FORMATS.items():
        path = folder / f"seed.{suffix}"
        if suffix == "xdf":
            xdf_files.write(
                path, xdf_files.face(SECONDS, name="face"), xdf_files.audio(SECONDS, name="audio")
            )
        else:
            recordings.write(path, options={"fflags": "+bitexact"}, **what)  # no random identifiers
        seeds[suffix] = path.read_bytes()
        path.unlink()
    return seeds


def mutated(whole: bytes, mutation: str, rng: random.Random) -> bytes:
    data = bytearray(whole)
    n = len(data)
    if mutation == "truncated":
        del data[rng.randrange(1, n) :]
    elif mutation == "flipped":
        for _ in range(rng.choice((1, 10, 100))):
            data[rng.randrange(n)] ^= 1 << rng.randrange(8)
    elif mutation == "beginning":
        for _ in range(rng.randrange(1, 12)):
            data[rng.randrange(min(n, 1500))] = rng.randrange(256)
    elif mutation == "zeroed":
        size = rng.randrange(1, n // 3)
        start = rng.randrange(n - size)
        data[start : start + size] = bytes(size)
    else:
        size = rng.randrange(1, n // 4)
        a = rng.randrange(n - 2 * size)
        b = rng.randrange(a + size, n - size)
        data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]
    return bytes(data)


def replay(file: Path, folder: Path, options: list[str]) -> Result:
    """Replay a file by the command; what it prints is in `folder / "log"`."""
    estimates, log = folder / "estimates.jsonl", folder / "log"
    command = [sys.executable, "-m", "enrapt.cli.main", "replay", str(file), "--to", f"jsonl:{estimates}"]
    began = time.monotonic()
    failures: list[str] = []
    with log.open("wb") as output:
        process = subprocess.Popen([*command, *options], stdout=output, stderr=subprocess.STDOUT)
        while True:
            ended, state, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            if not failures:
                if time.monotonic() - began > LONGEST:
                    failures.append(f"runs for more than {LONGEST:.0f} s")
                elif resident(process.pid) > KILLED_AT:
                    failures.append(f"takes more than {KILLED_AT:.0f} MB")
                if failures:
                    process.kill()
            time.sleep(0.02)
        process.returncode = os.waitstatus_to_exitcode(state)  # waited for here, not by subprocess
    peak = usage.ru_maxrss * 1024 / 1e6
    result = Result(process.returncode, time.monotonic() - began, peak, failures)
    if not failures:
        failures += found(result, estimates, log.read_text(errors="replace"))
    return result


def resident(process: int) -> float:
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except OSError:
        return 0.0
    return int(pages) * resource.getpagesize() / 1e6


def found(result: Result, estimates: Path, log: str) -> list[str]:
    """What a replay that ended by itself did wrong."""
    failures = []
    if result.status not in (0, 1, 2):
        failures.append(f"exit status {result.status}")
    elif result.status and "enrapt: " not in log:
        failures.append(f"exit status {result.status} without a line")
    if "Traceback" in log:
        failures.append(f"traceback: {log.strip().splitlines()[-1]}")
    if result.resident > LARGEST:
        failures.append(f"{result.resident:.0f} MB")
    if estimates.with_name(f"{estimates.name}.part").exists():
        failures.append("estimates left as .part")
    if estimates.exists():
        try:
            for line in estimates.read_text().splitlines():
                json.loads(line)
        except ValueError as error:
            failures.append(f"estimates: {error}")
    return failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--face-model", type=Path)
    parser.add_argument("--only", type=int, metavar="N", help="replay this file alone, and show its output")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the files that fail here")
    args = parser.parse_args()
    results: dict[str, list[Result]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        inputs = (
            ("face", FACE.dim, FACE.name, FACE.max_age),
            ("audio", AUDIO.dim, AUDIO.name, AUDIO.max_age),
        )
        options = ["--bundle", str(make_bundle(folder / "tiny.onnx", inputs))]
        options += ["--face-model", str(find_face_model(args.face_model))]
        seeds = make_seeds(folder)
        for number in range(args.files) if args.only is None else [args.only]:
            suffix = list(seeds)[number % len(seeds)]
            rng = random.Random(f"{args.seed} {number}")
            mutation = rng.choice(MUTATIONS)
            run_folder = folder / str(number)
            run_folder.mkdir()
            file = run_folder / f"{args.seed}_{number}_{mutation}.{suffix}"
            file.write_bytes(mutated(seeds[suffix], mutation, rng))
            result = replay(file, run_folder, options)
            results[suffix].append(result)
            for failure in result.failures:
                print(f"--seed {args.seed} --only {number} ({suffix}, {mutation}): {failure}", flush=True)
            if result.failures and args.keep:
                args.keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, args.keep)
            if args.only is not None:
                print((run_folder / "log").read_text(errors="replace"))
            shutil.rmtree(run_folder)
    print("format  files  exit 0  exit 1  exit 2  failed      s     MB")
    for suffix, of_format in results.items():
        ends = Counter(result.status for result in of_format)
        failed = sum(bool(result.failures) for result in of_format)
        longest = max(result.wall for result in of_format)
        largest = max(result.resident for result in of_format)
        counts = "".join(f" {ends[status]:>7}" for status in (0, 1, 2))
        print(f"{suffix:<7} {len(of_format):>5}{counts} {failed:>7} {longest:>6.1f} {largest:>6.0f}")
    return int(any(result.failures for of_format in results.values() for result in of_format))


if __name__ == "__main__":
    sys.exit(main())
