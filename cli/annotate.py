"""Rates a recording in the browser: plays it while you trace a value, mark intervals, or give levels.

What is rated says the study that the session belongs to (or --study); without one, --dimension names a trace
from 0 to 1. Labels are stored while you rate, in SESSION/labels/DIMENSION.RATER.csv, or for a video in
VIDEO.labels/. The page is for this machine only; Ctrl-C ends it.
"""

import argparse
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..contracts.console import say
from ..contracts.errors import UserError

if TYPE_CHECKING:
    from ..study.annotate.app import Task
    from ..study.annotate.material import Material
    from ..study.annotate.playable import Playable

PORT: Final = 8770


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("recording", metavar="SESSION|VIDEO", type=Path)
    add("--rater", metavar="NAME", required=True, help="who rates: letters, digits, _ and -")
    add(
        "--dimension",
        metavar="D",
        action="append",
        default=[],
        help="what to rate, may be repeated (all of the study)",
    )
    add("--study", metavar="STUDY", type=Path, help="the study that says what is rated")
    add("--media", metavar="FILE", type=Path, help="what a session without media.mkv was made of")
    add("--intervals", metavar="FILE", type=Path, help="the intervals to rate: labels, or a file for import")
    add("--tier", metavar="T", help="of a file of --intervals with several")
    add(
        "--next",
        dest="offer",
        action="store_true",
        help="offer the stretches where the model was least sure or most surprised, longest unrated first",
    )
    add("--show-estimate", action="store_true", help="show the model's estimate; raters are blind otherwise")
    add("--port", metavar="N", type=_port, default=PORT, help="of the page (%(default)s; 0 for any)")
    add("--token-file", metavar="FILE", type=Path, help="a token that the browser needs (none)")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text}: give 0 to 65535")
    return int(text)


def run(args: argparse.Namespace) -> int:
    from ..realtime.page.options import token_of
    from ..study.annotate.material import material_of
    from ..study.annotate.playable import playable
    from ..study.annotate.server import AnnotationServer
    from .show import signals, warn

    material = material_of(args.recording, args.study, args.media)
    token = token_of(args.token_file, warn)
    over = threading.Event()
    with tempfile.TemporaryDirectory(prefix="enrapt-annotate-") as folder:  # of mode 700
        # Whatever does not fit is refused before a copy is made, which takes long.
        _task(args, material, None)
        progress = _Progress(material.media)
        played = playable(material.media, Path(folder), own_axis=material.own_axis, progress=progress)
        for line in played.notes:
            warn(f"{material.media}: {line}")
        task = _task(args, material, played)
        try:
            server = AnnotationServer(task, args.port, token=token, warn=warn)
        except UserError as error:
            raise UserError(f"{str(error).partition(';')[0]}; give another with --port N") from None
        with server, signals(over.set):
            say(f"rate here: {server.address}{' (with ?token= and your token)' if token else ''}")
            say("Ctrl-C ends it; labels are stored while you rate")
            over.wait()
    for stored in task.stored.values():
        share = 100 * stored.rated / played.duration if played.duration else 0.0
        if stored.path.exists():
            print(f"{stored.path}: {share:.0f} % rated")
        for kept in stored.kept:
            print(f"{kept}: as it was before it was overwritten")
    return 0


def _task(args: argparse.Namespace, material: "Material", played: "Playable | None") -> "Task":
    from ..study.annotate.app import Task
    from ..study.annotate.material import dimensions_of, given_intervals
    from ..study.annotate.playable import Playable
    from ..study.annotate.stored import StoredLabels
    from ..study.annotate.suggest import stretches
    from ..study.check import TOLERANCE
    from ..study.labels import check_spelling

    played = played or Playable(material.media, "", 0.0, 1e9)
    dimensions = dimensions_of(args.recording, args.study, args.dimension)
    check_spelling(material.folder, args.rater)
    limit = played.end + TOLERANCE
    stored = {d.name: StoredLabels(material.folder, args.rater, d, limit) for d in dimensions}
    given = [] if args.intervals is None else given_intervals(args.intervals, args.tier)
    offered, rows = None, None
    if args.offer or args.show_estimate:
        from ..realtime.store.reader import SessionReader

        if material.session is None:
            raise UserError(f"{args.recording}: --next and --show-estimate are for sessions, with estimates")
        estimates = list(SessionReader(material.session).estimates())
        if not estimates:
            raise UserError(f"{material.session}: has no estimates")
        offered = stretches(estimates) if args.offer else None
        if args.show_estimate:
            each = ((e.t, e.engagement.mean, e.engagement.low, e.engagement.high) for e in estimates)
            rows = [row for k, row in enumerate(each) if k % 5 == 0]
    return Task(material, played, args.rater, stored, given, offered, rows)


class _Progress:
    """Says on the terminal how much of the copy is made, each tenth."""

    def __init__(self, path: Path) -> None:
        self._path, self._tenths = path, -1

    def __call__(self, share: float) -> None:
        if (tenths := int(share * 10)) > self._tenths:
            self._tenths = tenths
            say(f"{self._path}: making a copy that browsers play, {tenths * 10} %")
