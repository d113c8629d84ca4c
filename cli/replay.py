"""Estimates engagement in a recording, or again in a session recorded with `enrapt record`.

Exit status 1 if the recording is damaged: estimates up to the damage are kept.
"""

import argparse
import shlex
from pathlib import Path

from .arguments import add_face_model_arguments, add_run_arguments, context_of, face_model_of, streams_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "source",
        metavar="SOURCE",
        type=Path,
        help="video with sound, video or sound alone, a session's folder, or an XDF file of LabRecorder",
    )
    add_run_arguments(parser)
    add("--realtime", action="store_true", default=None, help="emit each estimate at its time, not before")
    add("--start", metavar="S", type=float, help="begin at S seconds")
    add("--end", metavar="S", type=float, help="stop at S seconds")
    add(
        "--no-timing",
        dest="timing",
        action="store_false",
        help="write no latencies: two replays give the same bytes",
    )
    add(
        "--reassemble",
        action="store_true",
        default=None,
        help="align a session's samples again, as if none had been late",
    )
    add("--record", metavar="FOLDER", type=Path, help="keep features and estimates in a new folder")
    add_face_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from ..realtime.run import Run
    from ..realtime.sources.files import open_source
    from .show import show, warn

    given = {"streams": streams_of(args) or None}
    given |= {name: getattr(args, name) for name in ("realtime", "start", "end", "reassemble")}
    options = {name: value for name, value in given.items() if value is not None}
    source = open_source(args.source, face_model=face_model_of(args), **options)
    context = context_of(args)
    replay = Run(
        source, args.bundle, to=args.to, record=args.record, context=context, timing=args.timing, warn=warn
    )
    status = show(replay)
    if not args.to and args.record is None:
        keep = shlex.join(["enrapt", "replay", str(args.source), "--to", "jsonl:estimates.jsonl"])
        print(f"\nNo estimates were kept. To keep them: {keep}")
    return status
