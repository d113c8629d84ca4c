"""Writes features, estimates and times of a session, also of several people, or of all sessions of a study,
as one table for other programs: pandas, R, a spreadsheet."""

import argparse
import sys
from pathlib import Path

from ..contracts.errors import UserError, one_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("folder", metavar="SESSION|STUDY", type=Path)
    add("-o", dest="out", metavar="FILE", type=Path, required=True, help=".csv or .parquet")
    add("--samples", metavar="MODALITY", help="a row for each sample of face, audio, … (one for each tick)")
    add("--overwrite", action="store_true", help="replace a file that exists")


def run(args: argparse.Namespace) -> int:
    from ..realtime.store.group import is_group, read_group
    from ..study.feature_table import write_table
    from ..study.study import TOML, StudySession, read_study

    folder: Path = args.folder
    if study := (folder / TOML).exists():
        sessions = list(read_study(folder).sessions)
        if not sessions:
            raise UserError(f"{folder}: no session in it yet; record, extract or import one")
    elif is_group(folder):
        people = [member.person for member in read_group(folder).people]
        sessions = [StudySession(person, folder / person, person) for person in people]
    else:
        sessions = [StudySession(folder.name, folder, "")]
    several = study or len(sessions) > 1
    count, lost = write_table(
        sessions, args.out, samples=args.samples, study=several, overwrite=args.overwrite
    )
    for line in lost:
        print(f"enrapt: {one_line(line)}", file=sys.stderr)
    what = "ticks" if args.samples is None else f"samples of {one_line(args.samples)}"
    print(f"{args.out}: {count} {what} of {len(sessions)} session{'s' * (len(sessions) > 1)}")
    return 1 if lost else 0
