"""Estimates engagement live, until Ctrl-C.

No picture and no sound is kept, and nothing leaves the machine but estimates, to the outputs that --to names.
A device that is lost is missing until it returns. Several people with devices of their own are named, each
before them: --person anna --camera 0 --mic lapel --person ben --camera 1.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..contracts.errors import UserError
from .arguments import (
    add_face_arguments,
    add_profile_argument,
    add_run_arguments,
    at_least_one,
    context_of,
    faces_of,
    is_page,
    offsets_of,
    outputs_of,
    streams_of,
)
from .people import Own, OwnList, Person, each_person

if TYPE_CHECKING:
    from ..realtime.session import LiveSession


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    parser.set_defaults(
        record=None, keep_media=False, clock=None, named=[]
    )  # which `record` and `--person` have
    add_device_arguments(parser, Own)
    add_run_arguments(parser, OwnList)
    add_profile_argument(parser, Own)
    add("--stats", metavar="FILE", type=Path, help="at the end, also write the summary as JSON")
    add("--duration", metavar="S", type=float, help="stop after S seconds")
    add("--preview", action="store_true", help="show the face's landmarks on the page; never the picture")
    add("--no-page", action="store_true", help="do not open the page that a terminal gets by default")
    add_face_arguments(
        parser,
        Person,
        "; or the name of one of several people, to whom the devices and outputs after it belong",
    )


def add_device_arguments(
    parser: argparse.ArgumentParser, action: str | type[argparse.Action] = "store"
) -> None:
    """The camera and the microphone.

    Args:
        action: of those that a person has of their own.
    """
    add = parser.add_argument
    own = partial(add, action=action)
    own("--camera", metavar="C", default=0, help="number, path, RTSP or MJPEG address, or none (%(default)s)")
    own("--mic", metavar="NAME", default="default", help="name or part of it, or none (the system's default)")
    own("--partner-mic", metavar="NAME", help="of whoever the person talks with, for bundles that take it")
    own("--audio-channel", metavar="N", type=at_least_one, help="of the microphone, from 1 (a mix of all)")
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


def run(args: argparse.Namespace) -> int:
    from .show import show, warn

    if not args.named:
        return show(_session(args, args.record, _page(args)), duration=args.duration, stats=args.stats)
    from ..realtime.group import Group
    from .show_group import show_group

    people = each_person(args)
    folders = {name: None if args.record is None else args.record / name for name in people}
    default = _page(args)
    pages = outputs_of(args, default) if args.to or default else []
    if pages:  # whose options these are then
        for own in people.values():
            own.allow_origin, own.token_file = (
                (args.allow_origin, args.token_file) if any(map(is_page, own.to)) else ([], None)
            )
    sessions = {name: _session(own, folders[name], []) for name, own in people.items()}
    group = Group(sessions, args.record, warn, next(iter(pages), None))
    return show_group(group, duration=args.duration, stats=args.stats)


def _session(args: argparse.Namespace, record: Path | None, pages: Sequence[str]) -> "LiveSession":
    return session_of(
        args,
        preview=args.preview,
        to=outputs_of(args, pages),
        record=record,
        keep_media=args.keep_media,
        clock=args.clock,
        profile=args.profile,
        overwrite=args.overwrite,
    )


def session_of(args: argparse.Namespace, **options: Any) -> "LiveSession":
    """The session of the devices that the arguments name."""
    from ..realtime.session import LiveSession
    from .show import warn

    return LiveSession(
        None if args.camera == "none" else args.camera,
        None if args.mic == "none" else args.mic,
        streams=streams_of(args),
        camera_size=_size(args.camera_size),
        camera_rate=args.camera_rate,
        face_every=args.face_every,
        max_wait=args.max_wait / 1000,
        faces=faces_of(args),
        bundle=args.bundle,
        context=context_of(args),
        offsets=offsets_of(args),
        voice=args.voice,
        audio_channel=args.audio_channel,
        partner_mic=args.partner_mic,
        warn=warn,
        **options,
    )


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
