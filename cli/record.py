"""`enrapt record`: a live session, and its features and estimates are kept."""

import argparse
from pathlib import Path

from .live import add_live_arguments, run


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "record",
        help="the same, and keep features and estimates (needs enrapt[record])",
        description="A live session that is kept: features with their times, what the model was shown, and "
        "estimates, in a folder that `enrapt replay` takes. Pictures and sound are kept only if you say so.",
    )
    parser.add_argument("record", metavar="FOLDER", type=Path, help="a new one")
    parser.add_argument(
        "--keep-media",
        action="store_true",
        help="keep pictures and sound as well, as media.mkv in the folder; ask the people in it first",
    )
    add_live_arguments(parser)
    parser.set_defaults(run=run)
