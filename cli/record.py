"""Estimates engagement live, and keeps features with their times, the model's input, and estimates.

The folder can be replayed with `enrapt replay`. Pictures and sound are kept only with --keep-media. Several
people with devices of their own, each after a --person NAME, have a session each in the folder, on one clock.
"""

import argparse
from pathlib import Path

from . import live

run = live.run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("record", metavar="FOLDER", type=Path, help="a new folder")
    add(
        "--keep-media",
        action="store_true",
        help="keep pictures and sound as well, as media.mkv in the folder; ask the people in them first",
    )
    add(
        "--clock",
        metavar="lsl:NAME",
        help="follow the clock of the machine that sends this stream, to join sessions of several machines",
    )
    live.add_arguments(parser)
