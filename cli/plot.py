"""Draws estimates as a PNG picture, or as a self-contained HTML page; several people in a strip each.

The page needs no network; it can be zoomed, and shows every value.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..contracts.errors import UserError

if TYPE_CHECKING:
    from ..realtime.engine.estimate import Estimate
    from ..realtime.timeline import Mark


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "source",
        metavar="SOURCE",
        type=Path,
        help="a file of estimates (JSON Lines, CSV, Parquet), or the folder of a recorded session",
    )
    add("-o", dest="out", metavar="FILE", type=Path, help="FILE.png or FILE.html (beside SOURCE, a PNG)")


def run(args: argparse.Namespace) -> int:
    source: Path = args.source if args.source.name else args.source.resolve()
    out: Path = args.out or source.with_suffix(".png")
    if out.suffix not in (".png", ".html"):
        raise UserError(f"{out}: name a file that ends in .png or .html")
    estimates, marks, lost = _read(source)
    if out.suffix == ".png":
        from ..realtime.timeline import draw_timeline

        draw_timeline(estimates, out, source.name, marks)
    else:
        from ..realtime.report import write_report

        write_report(estimates, out, source.name, marks)
    for line in lost:
        print(f"{source}: {line}")
    ticks = len({estimate.tick for estimate in estimates})
    print(f"{out}: {ticks} ticks, {estimates[-1].t - estimates[0].t:.1f} s")
    return 1 if lost else 0


def _read(source: Path) -> "tuple[list[Estimate], list[Mark], list[str]]":
    """Estimates, marks, and what of a session is lost."""
    from ..realtime.store.estimates_file import plausible, read_estimates

    if not source.is_dir():
        return read_estimates(source), [], []
    from ..realtime.store.reader import SessionReader
    from ..realtime.streams.samples import SECOND

    reader = SessionReader(source)
    estimates = plausible(reader.estimates(), source)
    return estimates, [(time / SECOND, label) for time, label in reader.marks()], reader.lost
