"""`enrapt record`: a live session, and its features and estimates are kept."""

import argparse
from pathlib import Path

from .live import add_live_arguments, run


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "record",
        help="the same, and keep features and estimates (needs enrapt[record])",
        description="A live session that is kept: features with their times, what the model was shown, and "
        "estimates, in a folder that `enrapt replay` takes. No picture and no sound is kept.",
    )
    parser.add_argument("record", metavar="FOLDER", type=Path, help="a new one")
    add_live_arguments(parser)
    parser.set_defaults(run=run)
