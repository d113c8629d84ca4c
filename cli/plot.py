"""Draws estimates as a PNG picture, or as a self-contained HTML page; several people in a strip each, also
those who have a session each in one folder (`enrapt record --person`).

The page needs no network; it can be zoomed, and shows every value.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..contracts.errors import UserError

if TYPE_CHECKING:
    from ..realtime.engine.estimate import Estimate
    from ..realtime.store.reader import SessionReader
    from ..realtime.timeline import Mark, Strip


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
    drawn, lost = _read(source)
    if out.suffix == ".png":
        from ..realtime.timeline import draw_strips

        draw_strips(drawn, out, source.name)
    else:
        from ..realtime.report import write_strips

        write_strips(drawn, out, source.name)
    for line in lost:
        print(f"{source}: {line}")
    ticks = len({estimate.tick for strip in drawn for estimate in strip.estimates})
    ends = [t for strip in drawn for t in (strip.estimates[0].t, strip.estimates[-1].t)]
    print(f"{out}: {ticks} ticks, {max(ends) - min(ends):.1f} s")
    return 1 if lost else 0


def _read(source: Path) -> "tuple[list[Strip], list[str]]":
    """A strip for each person, and what of a session is lost."""
    from ..realtime.store.estimates_file import read_estimates
    from ..realtime.timeline import strips

    if not source.is_dir():
        return strips(read_estimates(source)), []
    from ..realtime.store.group import is_group
    from ..realtime.store.reader import SessionReader

    if is_group(source):
        return _group(source)
    reader = SessionReader(source)
    estimates, marks = _session(reader, source)
    return strips(estimates, marks, reader.began), reader.lost


def _session(reader: "SessionReader", folder: Path) -> "tuple[list[Estimate], list[Mark]]":
    from ..realtime.store.estimates_file import plausible
    from ..realtime.streams.samples import SECOND

    estimates = plausible(reader.estimates(), folder)
    return estimates, [(time / SECOND, label) for time, label in reader.marks()]


def _group(folder: Path) -> "tuple[list[Strip], list[str]]":
    """The people of a group on its axis; one whose session cannot be read is left out."""
    from msgspec.structs import replace

    from ..realtime.store.group import read_group
    from ..realtime.store.reader import SessionReader
    from ..realtime.streams.wall_clock import parsed
    from ..realtime.timeline import Strip

    group, drawn, lost = read_group(folder), [], []
    began = parsed(group.started)
    for member in group.people:
        try:
            reader = SessionReader(folder / member.person)
            estimates, marks = _session(reader, folder / member.person)
            missing = reader.lost
        except UserError as error:
            lost.append(f"{member.person}: {error}")
            continue
        lost += [f"{member.person}: {line}" for line in missing]
        moved = [replace(estimate, t=member.common(estimate.t)) for estimate in estimates]
        drawn.append(Strip(member.person, moved, [(member.common(t), label) for t, label in marks], began))
    if not drawn:
        raise UserError(lost[0])
    return drawn, lost
