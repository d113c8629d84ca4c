"""Arguments that several commands share."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..contracts.errors import UserError


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--bundle", metavar="B", default="default", help="file or name of a shipped bundle (%(default)s)")
    repeated = partial(add, action="append", default=[])
    repeated(
        "--to",
        metavar="ADDRESS",
        help="an output, may be repeated: jsonl:FILE, csv:FILE, parquet:FILE, - for standard output, lsl:, "
        "osc://HOST:PORT/PATH, mqtt://HOST/TOPIC, or ui, a page in the browser",
    )
    repeated("--context", metavar="NAME=X,…", help="a context modality's constant values")
    repeated(
        "--stream",
        metavar="MODALITY=NAME",
        help="the stream that gives a modality: live lsl:NAME, of an XDF file NAME",
    )


def add_face_model_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--face-model", metavar="FILE", type=Path, help="your copy of face_landmarker.task")
    add("--offline", action="store_true", help="never download the face model")


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
        if not (modality and equals and name) or modality in streams:
            raise UserError(f"--stream {text}: give MODALITY=NAME, each modality once")
        streams[modality] = name
    return streams


def face_model_of(args: argparse.Namespace) -> Callable[[], Path]:
    """Finds the face model once it is needed, with a progress bar if it is downloaded."""
    from .view import find_face_model_visibly

    return partial(find_face_model_visibly, args.face_model, args.offline)
