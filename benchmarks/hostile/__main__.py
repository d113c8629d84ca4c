"""Hostile inputs of five kinds, each given to a command in a process of its own, which is judged.

    python -m benchmarks.hostile [--kinds media arrow …] [--part 1/10] [--seed 0] [--jobs 2]
        [--only KIND:N] [--keep FOLDER] [--face-model FILE]

1,000 recordings, 700 recorded sessions, 200 XDF files, 200 bundles, 200 training inputs: bytes changed, and
structures that lie with right checksums: lengths, shapes, types, extreme numbers, NaN, times that go
backwards or are far apart, duplicates, missing files, links, pipes, devices. Input N of a kind follows from
the seed and N (and the encoders); `--part 2/10` makes every tenth, from the second on.

Of each command: exit status 0, 1 or 2, the latter two with a line and no traceback; at most 60 s, without
what it waited for a core, and 1 GB resident; its outputs whole under their names, with finite numbers, or
absent. Prints each input of which this is not true, then a table; the exit status is 1 if there is one.
`--only KIND:N` shows what was printed.

A process is a fork of one that has imported what commands of its kind need, as starting Python takes most of
a short command's time; the memory measured includes what was imported. Each twentieth is a new process: only
there is tested what a start can do wrong, and how the libraries' threads begin.

Needs enrapt[dev], tests/ and Linux.
"""

import argparse
import contextlib
import importlib
import os
import pickle
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from . import trial
from .trial import LOG, Result, Trial

KINDS: Final = ("media", "arrow", "xdf", "bundles", "training")
NEW: Final = 20  # each such trial is a new process


def run_kind(
    kind: str, seed: int, numbers: Sequence[int], jobs: int, folder: Path, face_model: Path | None
) -> Iterator[tuple[int, Trial, Result, Path]]:
    """The trials of these numbers as they end, each with its folder, which the caller may remove."""
    module = importlib.import_module(f"{__package__}.{kind}")
    seeds = folder / "seeds"
    seeds.mkdir()
    if face_model is not None:
        (seeds / "face_landmarker.task").symlink_to(face_model.absolute())
    for name in module.IMPORTS:
        importlib.import_module(name)
    # Encoders and networks have threads, which do not survive a fork: whatever starts some is forked itself.
    _, state = os.waitpid(trial.forked(lambda: module.prepare(seeds) or 0), 0)
    if state:
        raise SystemExit(f"{kind}: the inputs to change could not be made")
    running: dict[int, int] = {}
    for number in numbers:
        if len(running) == jobs:
            yield _next(running, folder)
        place = folder / str(number)
        place.mkdir()
        running[trial.forked(lambda: _one(module, seed, number, seeds, place))] = number  # noqa: B023
    while running:
        yield _next(running, folder)


def _one(module: Any, seed: int, number: int, seeds: Path, place: Path) -> int:
    rng = random.Random(f"{module.__name__} {seed} {number}")
    made = module.make(rng, seeds, place)
    result = trial.run(made, place, new=number % NEW == NEW - 1)
    (place / "result").write_bytes(pickle.dumps((made, result)))
    return 0


def _next(running: dict[int, int], folder: Path) -> tuple[int, Trial, Result, Path]:
    process, _ = os.wait()
    number = running.pop(process)
    place = folder / str(number)
    try:
        made, result = pickle.loads((place / "result").read_bytes())
    except OSError:  # its traceback has been printed
        made, result = Trial("none", []), Result(99, 0.0, 0.0, ["the input could not be made"])
    return number, made, result, place


def measure(args: argparse.Namespace, kind: str) -> list[Result]:
    """Run a kind's trials; prints those that fail."""
    count = importlib.import_module(f"{__package__}.{kind}").COUNT
    first, step = args.part
    numbers = [args.only[1]] if args.only else range(first - 1, count, step)
    results = []
    with tempfile.TemporaryDirectory() as place:
        done = run_kind(kind, args.seed, numbers, args.jobs, Path(place), args.face_model)
        for number, made, result, folder in done:
            results.append(result)
            for failure in result.failures:
                print(f"--seed {args.seed} --only {kind}:{number} ({made.label}): {failure}", flush=True)
            if args.only:
                print(made.label, made.command, result, sep="\n")
                with contextlib.suppress(OSError):
                    print((folder / LOG).read_text(errors="replace"))
            if args.keep and (result.failures or args.only):
                shutil.copytree(folder, args.keep / f"{kind}_{number}", symlinks=True, ignore=_no_pipes)
            shutil.rmtree(folder)
    return results


def _no_pipes(folder: str, names: list[str]) -> list[str]:
    paths = (Path(folder, name) for name in names)
    return [p.name for p in paths if not (p.is_symlink() or p.is_file() or p.is_dir())]


def table(results: dict[str, list[Result]]) -> Iterator[str]:
    """A line a kind."""
    yield f"{'kind':<9} inputs  exit 0  exit 1  exit 2  failed  longest s  largest MB"
    for kind, each in results.items():
        ends = Counter(result.status for result in each)
        failed = sum(bool(result.failures) for result in each)
        longest = max(result.wall for result in each)
        largest = max(result.resident for result in each)
        counts = "".join(f"{ends[status]:>8}" for status in (0, 1, 2))
        yield f"{kind:<9} {len(each):>6}{counts}{failed:>8}{longest:>11.1f}{largest:>12.0f}"


def _part(text: str) -> tuple[int, int]:
    first, step = map(int, text.split("/"))
    if not 1 <= first <= step:
        raise argparse.ArgumentTypeError(f"{text}: give N/M, such as 1/10")
    return first, step


def _input(text: str) -> tuple[str, int]:
    kind, _, number = text.partition(":")
    if kind not in KINDS or not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{text}: give KIND:N, such as media:17")
    return kind, int(number)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--kinds", nargs="+", choices=KINDS, default=KINDS)
    add("--part", type=_part, default=(1, 1), metavar="N/M")
    add("--seed", type=int, default=0)
    add("--jobs", type=int, default=2)
    add("--only", type=_input, metavar="KIND:N")
    add("--keep", type=Path, metavar="FOLDER", help="keep the inputs that fail here, with what was printed")
    add("--face-model", type=Path)
    args = parser.parse_args(argv)
    if args.only:
        args.kinds = [args.only[0]]
    if "media" in args.kinds:
        from enrapt.realtime.features.face.model_file import find_face_model

        args.face_model = find_face_model(args.face_model)
    results, began = {}, time.monotonic()
    for kind in args.kinds:
        results[kind] = _in_a_fork(args, kind)
    print(*table(results), sep="\n")
    print(f"{sum(map(len, results.values()))} inputs in {(time.monotonic() - began) / 60:.1f} minutes")
    return int(any(result.failures for each in results.values() for result in each))


def _in_a_fork(args: argparse.Namespace, kind: str) -> list[Result]:
    """Each kind's process imports only what the kind needs."""
    with tempfile.NamedTemporaryFile() as file:

        def work() -> int:
            results = measure(args, kind)
            Path(file.name).write_bytes(pickle.dumps(results))
            return 0

        _, state = os.waitpid(trial.forked(work), 0)
        if state:
            raise SystemExit(f"{kind}: failed; see above")
        results: list[Result] = pickle.loads(Path(file.name).read_bytes())
        return results


if __name__ == "__main__":
    sys.exit(main())
