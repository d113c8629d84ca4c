"""`enrapt record`: a live session whose features and estimates are kept."""

import argparse
from pathlib import Path

from .live import add_live_arguments, run


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "record",
        help="the same, and keep features and estimates (needs enrapt[record])",
        description="A live session that is recorded: features with their times, what the model was shown, "
        "and estimates, in a folder for `enrapt replay`. Pictures and sound are kept only with --keep-media.",
    )
    parser.add_argument("record", metavar="FOLDER", type=Path, help="a new folder")
    parser.add_argument(
        "--keep-media",
        action="store_true",
        help="keep pictures and sound as well, as media.mkv in the folder; ask the people in them first",
    )
    add_live_arguments(parser)
    parser.set_defaults(run=run)
