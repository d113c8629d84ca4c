"""Replays a shipped clip, and writes the estimates and a plot of them to a folder."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..contracts.console import say
from ..contracts.errors import UserError
from .arguments import add_face_model_arguments, face_model_of

if TYPE_CHECKING:
    from ..realtime.engine.estimate import Estimate

CLIP = Path(__file__).with_name("demo.mp4")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add, folder = parser.add_argument, Path("enrapt-demo")
    add("-o", dest="folder", metavar="FOLDER", type=Path, default=folder, help="(%(default)s)")
    add_face_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from ..realtime.features.face import FaceOptions
    from ..realtime.run import Run
    from ..realtime.sources.media import MediaSource
    from ..realtime.timeline import draw_timeline
    from .show import show, warn

    folder: Path = args.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); give another folder with -o") from None
    say(
        "A synthetic clip: the face is out of sight for a while, and the sound is off for\n"
        "a while. The model was trained on simulated people only: the demo shows how enrapt\n"
        "works, not how engaged a person is.\n",
        sys.stdout,
    )
    source = MediaSource(CLIP, faces=FaceOptions(face_model_of(args)))
    estimates: list[Estimate] = []
    run = Run(source, to=[f"jsonl:{folder / 'estimates.jsonl'}"], overwrite=True, warn=warn)
    status = show(run, each=estimates.append)
    draw_timeline(estimates, folder / "engagement.png", "The demo clip: engagement, and its inputs")
    say(
        f"\nWritten to {folder}: estimates.jsonl (a line a tick), engagement.png (a plot of them)", sys.stdout
    )
    return status
