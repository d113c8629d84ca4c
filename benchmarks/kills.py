"""Recordings that are killed at random moments: what is lost, whether it is reported, what remains.

    python benchmarks/kills.py [--runs 100] [--seed 0] [--at-once 4] [--only N] [--keep FOLDER]
        [--face-model FILE]

Each run is `enrapt record --keep-media` with a camera on the loopback, which shows a real face, and outputs
to JSON Lines, CSV, Parquet and standard output. It is ended at a random moment within ten seconds after its
first estimate, or in some runs while it starts, by SIGKILL, or by SIGHUP, as a closed terminal sends it. Then
the same outputs are asked for again, by a replay of the session, and `media.mkv` is replayed.

Lost is what is on standard output and not in a file, in seconds of the session's time; of Parquet only after
SIGHUP, as its index is written last. Judged: at most 1 s lost, after SIGHUP 0.1 s; the replays say that the
session and its media were cut; the estimates of the replay are those of the recording; nothing of the first
run is gone from its outputs. Prints each run of which this is not true, then what was lost.

Needs enrapt[dev].
"""

import argparse
import contextlib
import csv
import json
import multiprocessing
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import av
import msgspec
import numpy as np
import pyarrow.parquet
from live import serve

from enrapt.realtime.features.face.model_file import find_face_model
from enrapt.realtime.store.reader import SessionReader

MOST_LOST = 1.0  # s
STARTING = 0.1  # of the runs are ended before the first estimate
LONGEST = 10.0  # s from the first estimate
KINDS = ("jsonl", "csv", "parquet")
CUT = ("breaks off", "its beginning is damaged", "the file is empty")  # after its header, in it, before it


@dataclass
class Outcome:
    """Attributes:
    lost: s by file.
    failures: what is not as it should be.
    """

    signal: str
    lost: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def enrapt(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "enrapt.cli.main", *map(str, arguments)]


def outputs(folder: Path) -> list[str]:
    return [text for kind in KINDS for text in ("--to", f"{kind}:{folder / f'run.{kind}'}")]


def record(
    folder: Path, camera: str, options: list[str], rng: random.Random, how: signal.Signals
) -> list[dict]:
    """Record until the signal; the estimates that were written to standard output."""
    lines: list[bytes] = []
    began = threading.Event()
    command = enrapt("record", folder / "session", "--keep-media", "--camera", camera, "--mic", "none")
    command += ["--no-page", "--to", "-", *outputs(folder), *options]
    with (folder / "record.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)

        def read() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                began.set()
            began.set()

        reading = threading.Thread(target=read)
        reading.start()
        if rng.random() < STARTING:
            time.sleep(rng.uniform(0.0, 3.0))
        else:
            began.wait(60)
            time.sleep(rng.uniform(0.0, LONGEST))
        process.send_signal(how)
        process.wait(60)
        reading.join()
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def judge(number: int, seed: int, folder: Path, camera: str, options: list[str]) -> Outcome:
    rng = random.Random(f"{seed} {number}")
    how = rng.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGHUP))
    outcome = Outcome(how.name)
    emitted = record(folder, camera, options, rng, how)
    session = folder / "session"
    if not (session / "session.json").exists():
        if emitted:
            outcome.failures.append("estimates, and no session")
        return outcome
    before = {kind: written(folder / f"run.{kind}") for kind in ("jsonl", "csv")}
    killed = how is signal.SIGKILL
    replayed = run("replay", session, "--no-timing", *outputs(folder), *options)
    media = run("replay", session / "media.mkv", *options) if (session / "media.mkv").exists() else None
    expect(outcome, replayed.returncode == int(killed), f"replay: exit status {replayed.returncode}")
    said = "was not ended" in replayed.stderr
    expect(outcome, said == killed, f"of the session, the replay says: {replayed.stderr[-200:]}")
    if media is not None:
        said = any(words in media.stderr for words in CUT)
        expect(outcome, bool(media.returncode) == killed, f"media: exit status {media.returncode}")
        expect(outcome, said == killed, f"of the media, the replay says: {media.stderr[-200:]}")
    last = emitted[-1]["t"] if emitted else 0.0
    reader = SessionReader(session)
    recorded = list(reader.estimates())
    outcome.lost["session"] = last - (recorded[-1].t if recorded else 0.0)
    own, again = ("_recovered", "") if killed else ("", "_2")  # names of the first run, and of the replay
    lines = (folder / f"run{again}.jsonl").read_text().splitlines()
    estimates = [compared(estimate) for estimate in map(json.loads, lines)]
    kept = [compared(json.loads(text)) for text in map(msgspec.json.encode, recorded)]
    # Of the last second, the model's input may have been written and the estimates not: it gives more.
    expect(outcome, estimates[: len(kept)] == kept, "the estimates of the replay differ")
    for kind in KINDS:
        first = folder / f"run{own}.{kind}"
        if kind == "parquet" and killed:
            continue
        times = times_of(first) if first.exists() else []
        outcome.lost[kind] = last - (times[-1] if times else 0.0)
        if kind in before:
            gone = f"{first.name}: {before[kind]} estimates, now {len(times)}"
            expect(outcome, len(times) >= before[kind], gone)
    if media is not None:
        outcome.lost["media"] = last - last_picture(session / "media.mkv")
    most = MOST_LOST if killed else 0.1
    for name, lost in outcome.lost.items():
        expect(outcome, lost <= most, f"{name}: {lost:.2f} s lost")
    return outcome


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(enrapt(*arguments), capture_output=True, text=True, timeout=300)


def expect(outcome: Outcome, held: bool, what: str) -> None:
    if not held:
        outcome.failures.append(what)


def compared(estimate: dict) -> dict:
    """Without what a replay cannot have, and what outputs have beside what is recorded."""
    beside = ("latency_ms", "wall_clock", "marks")
    return {name: value for name, value in estimate.items() if name not in beside}


def written(path: Path) -> int:
    """Whole estimates in a text output, or in what a killed run has left of it."""
    for candidate in (path, path.with_name(f"{path.name}.part")):
        if candidate.exists():
            return candidate.read_bytes().count(b"\n") - (path.suffix == ".csv")
    return 0


def last_picture(path: Path) -> float:
    """Its time on the session's clock, s."""
    last = 0.0
    with contextlib.suppress(av.error.FFmpegError), av.open(str(path)) as container:
        for packet in container.demux(video=0):
            if packet.pts is not None and packet.time_base is not None:
                last = float(packet.pts * packet.time_base)
    return last


def times_of(path: Path) -> list[float]:
    match path.suffix:
        case ".jsonl":
            return [json.loads(line)["t"] for line in path.read_text().splitlines()]
        case ".csv":
            with path.open(newline="") as file:
                return [float(row["t_s"]) for row in csv.DictReader(file)]
    times: list[float] = pyarrow.parquet.read_table(path)["t_s"].to_pylist()
    return times


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--only", type=int, metavar="N", help="this run alone")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the runs that fail here")
    parser.add_argument("--face-model", type=Path)
    args = parser.parse_args()
    signal.signal(signal.SIGHUP, lambda *_: None)  # children inherit what `nohup` leaves, to ignore it
    options = ["--face-model", str(find_face_model(args.face_model))]
    context = multiprocessing.get_context("spawn")
    port: multiprocessing.Queue[int] = context.Queue()
    server = context.Process(target=serve, args=(port, 15), daemon=True)
    server.start()
    camera = f"http://127.0.0.1:{port.get()}/"
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as place, ThreadPoolExecutor(args.at_once) as pool:

        def one(number: int) -> Outcome:
            folder = Path(place) / str(number)
            folder.mkdir()
            outcome = judge(number, args.seed, folder, camera, options)
            for failure in outcome.failures:
                print(f"--seed {args.seed} --only {number} ({outcome.signal}): {failure}", flush=True)
            if outcome.failures and args.keep:
                shutil.copytree(folder, args.keep / str(number))
            shutil.rmtree(folder)
            return outcome

        numbers = range(args.runs) if args.only is None else [args.only]
        outcomes = list(pool.map(one, numbers))
    server.kill()
    report(outcomes, print)
    return int(any(outcome.failures for outcome in outcomes))


def report(outcomes: Sequence[Outcome], say: Callable[[str], object]) -> None:
    for how in ("SIGKILL", "SIGHUP"):
        of_signal = [outcome for outcome in outcomes if outcome.signal == how]
        begun = [outcome for outcome in of_signal if outcome.lost]
        failed = sum(bool(outcome.failures) for outcome in of_signal)
        say(
            f"{how}: {len(of_signal)} runs, {len(of_signal) - len(begun)} of them before the session began; "
            f"{failed} failed"
        )
        for name in ("session", *KINDS, "media"):
            if lost := [outcome.lost[name] for outcome in begun if name in outcome.lost]:
                say(f"  {name:<8} lost {np.median(lost):6.2f} s at the median, {max(lost):6.2f} s at most")


if __name__ == "__main__":
    sys.exit(main())
