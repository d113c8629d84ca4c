"""Rates a recording in the browser: plays it while you trace a value, mark intervals, or rate all of it once.

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
    from ..study.annotate.onward import Onward
    from ..study.annotate.task import Task, Wanted

PORT: Final = 8770


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("recording", metavar="SESSION|VIDEO|STUDY", type=Path)
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
        help="of a study, go from one session that is not rated to the next; of a session, offer the "
        "stretches where the model was least sure or most surprised, longest unrated first",
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
    from .show import warn

    token = token_of(args.token_file, warn)
    with tempfile.TemporaryDirectory(prefix="enrapt-annotate-") as folder:  # of mode 700
        if (study := _study_of_sessions(args)) is not None:
            return _study(args, study, Path(folder), token)
        task = _first(args, Path(folder))
        _serve(args, task, token)
    _report([task])
    return 0


def _wanted(args: argparse.Namespace) -> "Wanted":
    from ..study.annotate.task import Wanted

    return Wanted(
        args.rater, args.dimension, args.study, args.intervals, args.tier, args.offer, args.show_estimate
    )


def _study_of_sessions(args: argparse.Namespace) -> Path | None:
    """The study whose sessions are rated one after the other; None if it is only the one recording."""
    from ..study.study import TOML

    recording: Path = args.recording
    if not (recording / TOML).is_file():
        return None
    if not args.offer:
        raise UserError(f"{recording}: a study; --next goes from session to session, or give one of them")
    for option in ("study", "media", "intervals"):
        if getattr(args, option) is not None:
            raise UserError(f"--{option}: is for one recording; {recording} is a study")
    return recording


def _study(args: argparse.Namespace, study: Path, folder: Path, token: str | None) -> int:
    from ..study.annotate.onward import Onward
    from .show import warn

    onward = Onward(study, _wanted(args), folder, warn)
    try:
        progress = _Progress()
        if (task := onward.first(progress)) is None:
            rated, sessions = onward.rated
            print(
                f"{study}: {args.rater} has rated {rated} of {sessions} sessions; none of the others can be"
            )
            return 0
        _serve(args, task, token, onward)
    finally:
        onward.close()
    _report(onward.tasks)
    rated, sessions = onward.rated
    print(f"{study}: {args.rater} has rated {rated} of {sessions} sessions")
    return 0


def _first(args: argparse.Namespace, folder: Path) -> "Task":
    from ..study.annotate.material import material_of
    from ..study.annotate.playable import playable
    from ..study.annotate.task import task_of
    from .show import warn

    material, wanted = material_of(args.recording, args.study, args.media), _wanted(args)
    task_of(wanted, material)  # whatever does not fit is refused before a copy is made, which takes long
    progress = _Progress()
    played = playable(
        material.media,
        folder,
        own_axis=material.own_axis,
        progress=lambda share: progress(str(material.media), share),
    )
    for line in played.notes:
        warn(f"{material.media}: {line}")
    return task_of(wanted, material, played)


def _serve(args: argparse.Namespace, task: "Task", token: str | None, onward: "Onward | None" = None) -> None:
    from ..study.annotate.server import AnnotationServer
    from .show import signals, warn

    over = threading.Event()
    try:
        server = AnnotationServer(task, args.port, token=token, warn=warn, onward=onward)
    except UserError as error:
        raise UserError(f"{str(error).partition(';')[0]}; give another with --port N") from None
    with server, signals(over.set):
        say(f"rate here: {server.address}{' (with ?token= and your token)' if token else ''}")
        say("Ctrl-C ends it; labels are stored while you rate")
        over.wait()


def _report(tasks: "list[Task]") -> None:
    """Print what is stored, and what of it was overwritten."""
    for task in tasks:
        duration = task.played.duration
        for stored in task.stored.values():
            if stored.path.exists():
                print(f"{stored.path}: {100 * stored.rated / duration if duration else 0:.0f} % rated")
        for whole in task.whole.values():
            if whole.value is not None:
                print(f"{whole.path}: {whole.value:g}")
        kept = [path for one in task.stored.values() for path in one.kept]
        for path in kept + [path for one in task.whole.values() for path in one.kept]:
            print(f"{path}: as it was before it was overwritten")


class _Progress:
    """Says on the terminal how much of a copy is made, each tenth."""

    def __init__(self) -> None:
        self._said = ("", -1)

    def __call__(self, name: str, share: float) -> None:
        if (now := (name, int(share * 10))) != self._said:
            self._said = now
            say(f"{name}: making a copy that browsers play, {now[1] * 10} %")
