"""Estimates engagement live, until Ctrl-C.

No picture and no sound is kept, and nothing leaves the machine but estimates, to the outputs that --to names.
A device that is lost is missing until it returns.
"""

import argparse
import sys
from pathlib import Path

from ..contracts.errors import UserError
from .arguments import (
    add_face_arguments,
    add_run_arguments,
    at_least_one,
    context_of,
    faces_of,
    is_page,
    offsets_of,
    outputs_of,
    streams_of,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    parser.set_defaults(record=None, keep_media=False)  # which `record` has
    add("--camera", metavar="C", default=0, help="number, path, RTSP or MJPEG address, or none (%(default)s)")
    add("--mic", metavar="NAME", default="default", help="name or part of it, or none (the system's default)")
    add("--audio-channel", metavar="N", type=at_least_one, help="of the microphone, from 1 (a mix of all)")
    add_run_arguments(parser)
    add("--stats", metavar="FILE", type=Path, help="at the end, also write the summary as JSON")
    add("--duration", metavar="S", type=float, help="stop after S seconds")
    add("--camera-size", metavar="WxH", default="640x480", help="to ask the camera for (%(default)s)")
    add("--camera-rate", metavar="HZ", type=int, default=30, help="to ask the camera for (%(default)s)")
    add("--face-every", metavar="N", type=int, default=1, help="look for the face in every N-th picture")
    add(
        "--max-wait",
        metavar="MS",
        type=float,
        default=50.0,
        help="longest wait for late data before an estimate is emitted (%(default)s)",
    )
    add("--preview", action="store_true", help="show the face's landmarks on the page; never the picture")
    add("--no-page", action="store_true", help="do not open the page that a terminal gets by default")
    add_face_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from ..realtime.session import LiveSession
    from .show import show, warn

    session = LiveSession(
        None if args.camera == "none" else args.camera,
        None if args.mic == "none" else args.mic,
        streams=streams_of(args),
        camera_size=_size(args.camera_size),
        camera_rate=args.camera_rate,
        face_every=args.face_every,
        max_wait=args.max_wait / 1000,
        faces=faces_of(args),
        preview=args.preview,
        bundle=args.bundle,
        to=outputs_of(args, _page(args)),
        record=args.record,
        keep_media=args.keep_media,
        context=context_of(args),
        offsets=offsets_of(args),
        voice=args.voice,
        audio_channel=args.audio_channel,
        overwrite=args.overwrite,
        warn=warn,
    )
    return show(session, duration=args.duration, stats=args.stats)


def _page(args: argparse.Namespace) -> list[str]:
    """The address of the page that a terminal gets by default."""
    if any(map(is_page, args.to)) or args.no_page or not sys.stderr.isatty():
        return []
    return ["ui"]


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UserError(f"--camera-size {text}: give width and height, such as 640x480")
    return int(width), int(height)
