"""Arguments that several commands share."""

import argparse
import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from ..contracts.errors import UserError

if TYPE_CHECKING:
    from ..realtime.features.face import FaceOptions
    from ..realtime.sources.limits import Limits


def add_run_arguments(
    parser: argparse.ArgumentParser, repeated_by: str | type[argparse.Action] = "append"
) -> None:
    """Those of commands that run a bundle.

    Args:
        repeated_by: the action of options of a source and its outputs that may be repeated.
    """
    add_input_arguments(parser, repeated_by)
    add = parser.add_argument
    repeated = partial(add, action=repeated_by, default=[])
    repeated(
        "--to",
        metavar="ADDRESS",
        help="an output, may be repeated: jsonl:FILE, csv:FILE, parquet:FILE, - for standard output, lsl:, "
        "osc://HOST:PORT/PATH, mqtt://HOST/TOPIC, or ui, a page in the browser",
    )
    add("--overwrite", action="store_true", help="replace output files that exist, rather than keep both")
    add(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a site whose pages may read the page's estimates and control the run, such as "
        "https://app.example; may be repeated",
    )
    add("--token-file", metavar="FILE", type=Path, help="the token that clients of the page need (made up)")


def add_input_arguments(
    parser: argparse.ArgumentParser, repeated_by: str | type[argparse.Action] = "append"
) -> None:
    """The bundle, and where its inputs come from."""
    add = parser.add_argument
    add("--bundle", metavar="B", default="default", help="file or name of a shipped bundle (%(default)s)")
    repeated = partial(add, action=repeated_by, default=[])
    repeated("--context", metavar="NAME=X,…", help="a context modality's constant values")
    repeated(
        "--stream",
        metavar="MODALITY=NAME",
        help="the stream that gives a modality: live lsl:NAME, osc://HOST:PORT/PATH or ws://…, "
        "of an XDF file NAME",
    )
    repeated("--offset", metavar="MODALITY=S", help="seconds to add to a modality's times: its clock is off")


def add_profile_argument(
    parser: argparse.ArgumentParser, action: str | type[argparse.Action] = "store"
) -> None:
    parser.add_argument(
        "--profile", metavar="NAME", action=action, help="of the person, made by `enrapt calibrate`"
    )


def add_face_model_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--face-model", metavar="FILE", type=Path, help="your copy of face_landmarker.task")
    add("--offline", action="store_true", help="never download the face model")


def add_face_arguments(
    parser: argparse.ArgumentParser, person_by: str | type[argparse.Action] = "store", names: str = ""
) -> None:
    """Those of commands that look for faces in pictures.

    Args:
        person_by: the action of `--person`.
        names: what it says of names in its help.
    """
    add = parser.add_argument
    add(
        "--person",
        metavar="P",
        action=person_by,
        type=person,
        default="largest",
        help=f"whom to follow: largest, first, left, right, centre, or an id (%(default)s){names}",
    )
    add(
        "--person-handover",
        metavar="S",
        type=handover,
        default=None,
        help="choose again when that person has been gone for S seconds, or never (never)",
    )
    add(
        "--people",
        metavar="N",
        type=at_least_one,
        default=1,
        help="estimates of up to N people (%(default)s)",
    )
    add(
        "--voice",
        choices=("followed", "speaker", "none", "all"),
        default="followed",
        help="with --people, whose the sound is (%(default)s)",
    )
    add("--face-backend", choices=("litert", "mediapipe"), default="litert", help="(%(default)s)")
    add_face_model_arguments(parser)


def outputs_of(args: argparse.Namespace, default: Sequence[str] = ()) -> list[str]:
    """The values of `--to` and `default`; the page's with its options."""
    options = [("allow-origin", origin) for origin in args.allow_origin]
    options += [("token-file", str(args.token_file))] if args.token_file is not None else []
    addresses = [*args.to, *default]
    if options and not any(map(is_page, addresses)):
        raise UserError(f"--{options[0][0]}: is for clients of the page; give --to ui, too")
    query = urlencode(options)
    return [
        f"{address}{'&' if '?' in address else '?'}{query}" if query and is_page(address) else address
        for address in addresses
    ]


def is_page(address: str) -> bool:
    """Whether an address of an output is the page's."""
    return address.partition("?")[0].partition(":")[0] in ("ui", "ws", "http")


def add_recording_arguments(parser: argparse.ArgumentParser) -> None:
    """What of a recording is read."""
    add = parser.add_argument
    add("--start", metavar="S", type=float, help="begin at S seconds")
    add("--end", metavar="S", type=float, help="stop at S seconds")
    add("--max-gap", metavar="S", type=seconds, help="leave out gaps longer than this, or inf (60)")
    add("--strict", action="store_true", default=None, help="stop at the first damage")
    for track in ("--video-track", "--audio-track"):
        add(track, metavar="N", type=at_least_one, help="from 1; see `enrapt inspect` (the default one)")
    add("--audio-channel", metavar="N", type=at_least_one, help="take this one, from 1 (a mix of all)")
    add(
        "--partner-channel",
        choices=("left", "right"),
        help="of a stereo recording: whoever the person talks with; the person is on the other one",
    )


def add_limit_arguments(parser: argparse.ArgumentParser) -> None:
    """The fields of `Limits`."""
    limits = parser.add_argument_group("limits of a recording; larger ones may take much memory or time")
    add = partial(limits.add_argument, type=at_least_one)
    add("--max-pixels", metavar="N", help="of a picture (4096×4096)")
    add("--max-channels", metavar="N", help="of sound (64)")
    add("--max-sample-rate", metavar="HZ", help="of sound (1000000)")
    add("--max-probe", metavar="BYTES", help="from the beginning, in which tracks are looked for (5000000)")


def limits_of(args: argparse.Namespace) -> "Limits | None":
    """The limits that were given; None if none was."""
    from ..realtime.sources.limits import Limits

    given = {field.name: getattr(args, field.name) for field in fields(Limits)}
    given = {name: value for name, value in given.items() if value is not None}
    return Limits(**given) if given else None


def context_of(args: argparse.Namespace) -> dict[str, list[float]] | None:
    """The values of `--context`; None without it."""
    context = {}
    for text in args.context:
        name, _, numbers = text.partition("=")
        try:
            context[name] = [float(number) for number in numbers.split(",")]
        except ValueError:
            raise UserError(f"--context {text}: give NAME=X or NAME=X,Y,…") from None
    return context or None


def streams_of(args: argparse.Namespace) -> dict[str, str]:
    """The values of `--stream`."""
    streams = {}
    for text in args.stream:
        modality, equals, name = text.partition("=")
        if not (modality and equals and name) or modality in streams or set(":?") & set(modality):
            raise UserError(f"--stream {text}: give MODALITY=NAME, each modality once")
        streams[modality] = name
    return streams


def offsets_of(args: argparse.Namespace) -> dict[str, float] | None:
    """The values of `--offset`, seconds by modality; None without it."""
    offsets: dict[str, float] = {}
    for text in args.offset:
        modality, _, number = text.partition("=")
        try:
            offset = float(number)
        except ValueError:
            offset = math.nan
        if not modality or modality in offsets or not math.isfinite(offset):
            raise UserError(f"--offset {text}: give MODALITY=SECONDS, each modality once")
        offsets[modality] = offset
    return offsets or None


def at_least_one(text: str) -> int:
    """The type of a number of an argument that counts from 1."""
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text}: give 1 or more")
    return int(text)


def seconds(text: str) -> float:
    """The type of a length of time: seconds from 0, or `inf`."""
    with contextlib.suppress(ValueError):
        if (number := float(text)) >= 0:
            return number
    raise argparse.ArgumentTypeError(f"{text}: give seconds, 0 or more, or inf")


def person(text: str) -> str | int:
    """The type of `--person`; which words there are, the run checks."""
    return int(text) if text.isascii() and text.isdecimal() else text


def handover(text: str) -> float | None:
    """The type of `--person-handover`: seconds from 0, or `never`."""
    return None if text == "never" else seconds(text)


def face_model_of(args: argparse.Namespace) -> Callable[[], Path]:
    """Finds the face model once it is needed, with a progress bar if it is downloaded."""
    from .view import find_face_model_visibly

    return partial(find_face_model_visibly, args.face_model, args.offline)


def faces_of(args: argparse.Namespace, model: Callable[[], Path] | None = None) -> "FaceOptions":
    """How to look for faces, and whom to follow."""
    from ..realtime.features.face import FaceOptions

    return FaceOptions(
        model or face_model_of(args), args.person, args.person_handover, args.people, args.face_backend
    )
