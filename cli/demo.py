"""`enrapt demo`: the shipped clip through the shipped bundle."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..contracts.errors import UserError
from .replay import add_face_model_arguments, replay

if TYPE_CHECKING:
    from ..realtime.engine.estimate import Estimate

CLIP = Path(__file__).with_name("demo.mp4")


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "demo",
        help="see it work on a shipped clip",
        description="Replays a shipped clip, and leaves the estimates and a picture of them in a folder.",
    )
    parser.add_argument(
        "-o", dest="folder", metavar="FOLDER", type=Path, default=Path("enrapt-demo"), help="(%(default)s)"
    )
    add_face_model_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    folder: Path = args.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); name another folder with -o") from None
    print(
        "A made-up clip: for a while the face is out of sight, for a while there is no\n"
        "sound. The model has seen simulated people only: this shows how things work,\n"
        "not how engaged anybody is.\n"
    )
    estimates: list[Estimate] = []
    status = replay(
        CLIP,
        to=[f"jsonl:{folder / 'estimates.jsonl'}"],
        face_model=args.face_model,
        offline=args.offline,
        estimates=estimates,
    )
    from ..realtime.timeline import draw_timeline

    draw_timeline(estimates, folder / "engagement.png", "The demo clip: engagement, and what it rests on")
    print(f"\nLeft in {folder}: estimates.jsonl (a line a tick), engagement.png (the same as a picture)")
    return status
