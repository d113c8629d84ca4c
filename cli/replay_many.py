"""Several recordings: a folder of results, a table, and progress."""

import argparse
import csv
import importlib.metadata
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from rich.text import Text

from ..bundle.bundle import Bundle
from ..contracts.errors import UserError, one_line
from ..contracts.files import write_atomically
from ..contracts.owned import discard_left_over
from ..realtime.context import context_values
from ..realtime.features.face.model_file import find_face_model
from ..realtime.outputs.addresses import destination
from ..realtime.run import Run
from ..realtime.sources.source import SourceFailure
from .arguments import context_of, faces_of, offsets_of
from .batch import Result, Row, run_batch
from .progress import BatchProgress, announce
from .recordings import Item, find_recordings
from .replay import FOLDER, settings_of, source_of
from .show import problems, signals
from .tables import print_table

_REPORT: Final = 250  # ticks between two reports of progress


def replay_many(args: argparse.Namespace) -> int:
    """Replay all of them, and give the exit status: 1 if one failed or has problems, 130 if interrupted."""
    single = ("to", "record", "realtime", "overwrite", "allow_origin", "token_file")
    if refused := [name.replace("_", "-") for name in single if getattr(args, name)]:
        raise UserError(
            f"--{refused[0]}: is for one recording; the estimates of several go to the folder of --output"
        )
    folder, estimates = args.output or FOLDER, args.format or "jsonl"
    jobs = args.jobs or max(1, (os.cpu_count() or 1) // 2)
    # What no recording could be replayed with is refused at once.
    bundle = Bundle.load(args.bundle).metadata
    context_values(context_of(args), {}, bundle)
    destination(f"{estimates}:{folder}")
    settings = settings_of(args)
    if args.face_model is not None:
        find_face_model(args.face_model)
    items, left_out = find_recordings(args.sources, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); give another with --output") from None
    announce(items, left_out, jobs, folder)
    settings |= {
        "enrapt": importlib.metadata.version("enrapt"),
        "bundle": bundle.sha256,
        "timing": args.timing,
        "format": estimates,
    }
    stop = threading.Event()
    function = partial(replay_one, args, folder, estimates)
    results: list[Result] = []
    with signals(stop.set), BatchProgress(len(items)) as progress:
        for result in run_batch(function, items, folder, settings, jobs, stop, progress.update):
            results.append(result)
            progress.report(result)
    results.sort(key=lambda result: result.item.name)
    modalities = [m.name for m in bundle.inputs if m.role == "observed"]
    write_atomically(folder / "results.csv", _csv(results, modalities))
    columns = ["duration", "ticks", *(f"{m} %" for m in modalities)]
    print_table("file", columns, "trouble", _table(results, modalities))
    kept, failed = sum(r.kept for r in results), sum(r.row is None for r in results)
    print(
        f"\n{len(results)} recordings: {kept} done before (skipped), {failed} failed. In {folder}: "
        f"results.csv (this table), and of each its estimates ({estimates}) and a summary (json)."
    )
    if len(results) < len(items):
        print(
            f"interrupted: {len(items) - len(results)} of {len(items)} are left; the same command does them",
            file=sys.stderr,
        )
        return 130
    return int(any(r.row is None or r.row["problems"] for r in results))


def replay_one(
    args: argparse.Namespace, folder: Path, estimates: str, item: Item, progress: Callable[[float], None]
) -> Row:
    """Replay a recording to a file of estimates; its summary."""
    path = folder / f"{item.name}.estimates.{estimates}"
    discard_left_over(path)
    model = partial(find_face_model, args.face_model, offline=args.offline)
    source = source_of(args, item.path, faces_of(args, model))
    warnings: list[str] = []
    replay = Run(
        source,
        args.bundle,
        to=[f"{estimates}:{path}"],
        context=context_of(args),
        offsets=offsets_of(args),
        voice=args.voice,
        profile=args.profile,
        timing=args.timing,
        warn=warnings.append,
    )
    failure: SourceFailure | None = None
    with replay:
        length = (source.duration or 0.0) - source.start
        try:
            for estimate in replay:
                if length > 0 and estimate.tick % _REPORT == 0:
                    progress(min((estimate.t - source.start) / length, 1.0))
        except SourceFailure as error:
            failure = error
    row = {"duration": source.duration} | replay.summary()
    repairs = [str(segment) for segment in source.segments if segment.reason]
    notes = [*repairs, *row["notes"], *warnings]
    return row | {"notes": notes, "problems": problems(replay, failure)}


def _trouble(result: Result) -> str:
    if result.row is None:
        return f"failed: {result.error}"
    return "; ".join([*result.row["problems"], *result.row["notes"]])


def _csv(results: Sequence[Result], modalities: Sequence[str]) -> bytes:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        ["file", "started", "duration_s", "ticks", *(f"{m}_present" for m in modalities), "trouble"]
    )
    for result in results:
        row = result.row or {"started": None, "duration": None, "ticks": None, "presence": {}}
        presence = [row["presence"].get(m) for m in modalities]
        table.writerow(
            [result.item.name, row.get("started"), row["duration"], row["ticks"], *presence, _trouble(result)]
        )
    return text.getvalue().encode(errors="replace")


def _table(results: Sequence[Result], modalities: Sequence[str]) -> Iterator[list[str | Text]]:
    for result in results:
        cells = [""] * (2 + len(modalities))
        if (row := result.row) is not None:
            duration = "" if row["duration"] is None else f"{row['duration']:.1f} s"
            presence = [row["presence"].get(m) for m in modalities]
            cells = [duration, str(row["ticks"]), *("" if x is None else f"{100 * x:.1f}" for x in presence)]
        style = "red" if row is None else "yellow" if row["problems"] else ""
        yield [one_line(result.item.name), *cells, Text(one_line(_trouble(result)), style)]
