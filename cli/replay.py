"""Estimates engagement in recordings, or again in sessions recorded with `enrapt record`.

Several recordings, or a folder or a pattern of them, give a folder of results with a table; the same command
goes on where it was stopped. Exit status 1 if a recording is damaged: estimates of what can be read are kept.
"""

import argparse
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contracts.console import say
from .arguments import (
    add_face_arguments,
    add_limit_arguments,
    add_profile_argument,
    add_recording_arguments,
    add_run_arguments,
    at_least_one,
    context_of,
    faces_of,
    limits_of,
    offsets_of,
    outputs_of,
    streams_of,
)
from .recordings import names_one

if TYPE_CHECKING:
    from ..realtime.features.face import FaceOptions
    from ..realtime.sources.source import Source

FOLDER = Path("enrapt-replay")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "sources",
        metavar="SOURCE",
        nargs="+",
        help="video with sound, video or sound alone, a session's folder, or an XDF file of LabRecorder; "
        "or several, a folder of them, or a pattern",
    )
    add_run_arguments(parser)
    add_profile_argument(parser)
    add("--realtime", action="store_true", default=None, help="emit each estimate at its time, not before")
    add_recording_arguments(parser)
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
    add_face_arguments(parser)
    add_limit_arguments(parser)
    several = parser.add_argument_group("several recordings")
    add = several.add_argument
    add("-o", "--output", metavar="FOLDER", type=Path, help=f"of results ({FOLDER})")
    add("--format", choices=("jsonl", "csv", "parquet"), help="of estimates (jsonl)")
    add("--jobs", metavar="N", type=at_least_one, help="recordings at the same time (half the processors)")


def run(args: argparse.Namespace) -> int:
    several = len(args.sources) > 1 or not names_one(args.sources[0])
    if several or args.output or args.format or args.jobs:
        from .replay_many import replay_many

        return replay_many(args)
    from ..realtime.run import Run
    from .show import show, warn

    (path,) = map(Path, args.sources)
    source = source_of(args, path, faces_of(args))
    replay = Run(
        source,
        args.bundle,
        to=outputs_of(args),
        record=args.record,
        context=context_of(args),
        offsets=offsets_of(args),
        voice=args.voice,
        profile=args.profile,
        timing=args.timing,
        overwrite=args.overwrite,
        warn=warn,
    )
    status = show(replay)
    if not args.to and args.record is None:
        keep = shlex.join(["enrapt", "replay", str(path), "--to", "jsonl:estimates.jsonl"])
        say(f"\nNo estimates were kept. To keep them: {keep}", sys.stdout)
    return status


def options_of(args: argparse.Namespace) -> dict[str, Any]:
    """Options of the source that were given."""
    names = ["realtime", "start", "end", "reassemble", "max_gap", "strict"]
    names += ["video_track", "audio_track", "audio_channel", "partner_channel"]
    given = {name: getattr(args, name) for name in names} | {"streams": streams_of(args) or None}
    given["limits"] = limits_of(args)
    return {name: value for name, value in given.items() if value is not None}


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """JSON values: what estimates depend on, beside the recording and the bundle."""
    settings = options_of(args) | {"context": context_of(args), "offsets": offsets_of(args)}
    if (limits := settings.get("limits")) is not None:
        settings["limits"] = asdict(limits)
    if getattr(args, "profile", None) is not None:
        from ..realtime.store import profiles

        settings["profile"] = [args.profile, profiles.load(args.profile).made]
    faces = [args.person, args.person_handover, args.people, args.voice, args.face_backend]
    return settings | {"faces": faces}


def source_of(args: argparse.Namespace, path: Path, faces: "FaceOptions") -> "Source":
    from ..realtime.sources.files import open_source

    return open_source(path, faces=faces, **options_of(args))
