"""Keeps one's own sessions together with what raters say of them: who was recorded, how far labels cover it,
what cannot be used and why, how far raters agree."""

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..contracts.errors import UserError, one_line

if TYPE_CHECKING:
    from ..study.check import Checked
    from ..study.summary import Agreement

WIDTH: Final = 100  # columns of a table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="WHAT", required=True)

    def command(name: str, what: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=what, description=what)
        added.set_defaults(what=name)
        return added

    new = command("new", "make a folder with a study.toml to fill in")
    new.add_argument("folder", metavar="FOLDER", type=Path, help="a new folder, or one without a study.toml")
    for name, what in (
        ("status", "who has been recorded, for how long, and what is rated by whom"),
        ("check", "what cannot be used, and why; exit status 1 if there is something"),
    ):
        command(name, what).add_argument("folder", metavar="STUDY", type=Path)
    agreement = command("agreement", "how far raters agree, how late they react, and their consensus")
    agreement.add_argument("folder", metavar="STUDY", type=Path)
    agreement.add_argument("--dimension", metavar="NAME", help="(the study's only one)")
    agreement.add_argument("--no-features", action="store_true", help="estimate lags from ratings alone")
    agreement.add_argument("-o", dest="out", metavar="FILE.png", type=Path, help="draw traces and consensus")
    consensus = command("consensus", "write the raters' consensus beside each session, as labels/made/…")
    consensus.add_argument("folder", metavar="STUDY", type=Path)
    consensus.add_argument("--dimension", metavar="NAME", help="(the study's only one)")
    consensus.add_argument("--no-features", action="store_true", help="estimate lags from ratings alone")
    consensus.add_argument("--overwrite", action="store_true", help="replace those that were made before")
    joined = command(
        "join", "make one session of several people of those that several machines have recorded"
    )
    joined.add_argument(
        "folder",
        metavar="FOLDER",
        type=Path,
        help="with the session of each, in a folder of the person's name",
    )
    export = command("export", "write labels and estimates of a session for ELAN (.eaf), or as CSV")
    export.add_argument("folder", metavar="SESSION", type=Path)
    export.add_argument("-o", dest="out", metavar="FILE", type=Path, required=True, help=".eaf or .csv")
    export.add_argument("--media", metavar="FILE", type=Path, help="the film that an .eaf is linked to")
    export.add_argument("--overwrite", action="store_true", help="replace a file that exists")


def run(args: argparse.Namespace) -> int:
    folder: Path = args.folder
    if args.what == "new":
        from ..study.study import new_study

        path = new_study(folder)
        print(f"{path}: fill it in; record with: enrapt record {folder / 'sessions'}/PERSON/1")
        return 0
    if args.what == "join":
        from ..study.joining import join

        for member, found in join(folder):
            print(
                f"{member.person}: begins at {member.offset:.4f} s, drift {1e6 * member.drift:+.1f} ppm, by "
                f"{counted(found.measured, 'comparison')} with the clock of {found.host} (median error "
                f"{1000 * found.error:.2f} ms)"
            )
        print(f"{folder}: a session of several people; see them with: enrapt plot {folder}")
        return 0
    if args.what == "export":
        from ..study.writing import write_labels

        for line in write_labels(folder, args.out, media=args.media, overwrite=args.overwrite):
            print(line)
        print(f"{args.out}: written")
        return 0
    from ..study.check import check_study
    from ..study.study import read_study

    study = read_study(folder)
    if args.what == "agreement":
        return _agreement(args)
    if args.what == "consensus":
        return _consensus(args)
    checked = check_study(study)
    if not checked:
        raise UserError(f"{folder}: no session in {folder / 'sessions'} yet; record or import one")
    if args.what == "status":
        _print_status(study.description.name, checked)
        return 0
    for one in checked:
        for line in one.problems:
            print(f"{one.session.name}: {one_line(line)}")
    wrong = sum(bool(one.problems) for one in checked)
    print(f"{counted(len(checked), 'session')}, " + (f"{wrong} with problems" if wrong else "all usable"))
    return 1 if wrong else 0


def _print_status(name: str, checked: "Sequence[Checked]") -> None:
    from ..study.study import spelling

    people = {spelling(one.session.person) for one in checked}
    total = sum(one.seconds for one in checked)
    sizes = f"{counted(len(checked), 'session')} of {counted(len(people), 'person', 'people')}"
    print(f"{one_line(name)}: {sizes}, {duration(total)}\n")
    rows = []
    for one in checked:
        modalities = ", ".join(
            name if schema.partition("/")[0] == name else f"{name} ({schema or 'plain'})"
            for name, schema in one.schemas.items()
        )
        shares = [f"{r.dimension}: {r.rater} {100 * r.share:.0f} %" for r in one.rated]
        problems = str(len(one.problems) or "")
        names = one_line(one.session.name), one_line(one.session.person)
        labels = "\n".join(shares) or "none"
        rows.append([*names, duration(one.seconds), modalities, labels, problems])
    _print_table([("session", 24), ("person", 14), ("length", 0), ("modalities", 18), ("labels", 26),
                  ("problems", 0)], rows)  # fmt: skip
    if any(one.problems for one in checked):
        print("\nenrapt study check says what the problems are")


def _agreed(args: argparse.Namespace) -> "Agreement":
    from ..study.check import check_sessions, usable
    from ..study.study import TOML, read_study
    from ..study.summary import agreement_of
    from .show import warn

    study = read_study(args.folder)
    names = [dimension.name for dimension in study.description.dimensions]
    if not names:
        raise UserError(f"{args.folder / TOML}: has no [[dimensions]]; say there what is rated")
    if args.dimension is None and len(names) != 1:
        raise UserError(f"{args.folder}: {len(names)} dimensions ({', '.join(names)}); give --dimension NAME")
    found, left_out = usable(check_sessions(study))
    for line in left_out:
        warn(line)
    return agreement_of(study, found, args.dimension or names[0], use_features=not args.no_features)


def _consensus(args: argparse.Namespace) -> int:
    from ..study.consensus_labels import write_consensus

    found = _agreed(args)
    for path in write_consensus(found, overwrite=args.overwrite):
        print(path)
    raters = counted(len(found.consensus.raters), "rater")
    print(f"{found.dimension.name}: the consensus of {raters} on {counted(len(found.sessions), 'session')}")
    return 0


def _agreement(args: argparse.Namespace) -> int:
    if args.out is not None and args.out.suffix != ".png":
        raise UserError(f"{args.out}: name a file that ends in .png")
    found = _agreed(args)
    _print_agreement(found)
    if args.out is not None and found.dimension.kind == "session":
        raise UserError(f"{args.out}: ratings of whole sessions have no traces to draw")
    if args.out is not None:
        from ..study.picture import STRIPS, draw_agreement

        dimension = found.dimension
        sessions = [one.session.name for one in found.sessions]
        bounds = dimension.low, dimension.high
        draw_agreement(found.consensus, found.times, sessions, dimension.name, bounds, args.out)
        drawn = min(len(sessions), STRIPS)
        print(f"\n{args.out}: {drawn} of {len(sessions)} sessions")
    return 0


def _print_agreement(found: "Agreement") -> None:
    consensus, before, after = found.consensus, found.before, found.after
    raters, sessions = len(consensus.raters), len(found.sessions)
    print(f"{found.dimension.name}: {counted(raters, 'rater')}, {counted(sessions, 'session')}\n")
    rows = []
    for k, rater in enumerate(consensus.raters):
        lag = number(float(consensus.lags[k]), 2, " s")
        numbers = [number(float(each[k])) for each in (before.rest, after.rest, consensus.weights)]
        rows.append([rater, lag, *numbers])
    heads = ["rater", "lag", "CCC with the rest", "without lags", "weight"]
    _print_table([(head, 0) for head in heads], rows)
    print()
    level = "ordinal" if found.dimension.levels else "interval"
    rows = [
        [name, number(getattr(before, key)), number(getattr(after, key))]
        for name, key in (
            ("CCC, mean of pairs", "pairs"),
            ("ICC(2,1), one rater", "single"),
            (f"ICC(2,k), mean of {len(consensus.raters)}", "average"),
            (f"Krippendorff's alpha, {level}", "alpha"),
        )
    ]
    _print_table([("agreement", 0), ("as rated", 0), ("without lags", 0)], rows)
    if found.dimension.kind == "session":
        print("\none value for each session: no lag is estimated")
    elif found.dimension.kind == "interval":
        print("\nintervals are rated afterwards: no lag is estimated")
    elif found.features:
        print(f"\nthe lag that all raters share is that behind {', '.join(found.features)}")
    else:
        print("\nwithout features only differences of lags can be seen: the quickest rater has 0 s")
    if after.complete < 1:
        print(f"ICC is over the {100 * after.complete:.0f} % of the times that all have rated")


def number(value: float, digits: int = 3, unit: str = "") -> str:
    """A number for people; a dash where there is none."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}{unit}"


def counted(count: int, one: str, several: str = "") -> str:
    """A number of things."""
    return f"{count} {one if count == 1 else several or f'{one}s'}"


def duration(seconds: float) -> str:
    """Minutes and seconds, or hours and minutes."""
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def _print_table(columns: Sequence[tuple[str, int]], rows: Sequence[Sequence[str]]) -> None:
    """A table of at most `WIDTH` columns: cells are folded. Widths of 0 are as wide as their cells."""
    from rich.table import Table
    from rich.text import Text

    from .styled import StyledConsole

    console = StyledConsole(sys.stdout)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, width in columns:
        table.add_column(name, max_width=width or None, no_wrap=not width, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell if "\n" in cell else one_line(cell)) for cell in row))
    console.print(table)
