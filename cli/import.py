"""Takes labels, or features, from a file of another program: ELAN, NOVA, OpenFace, openSMILE, XDF, subtitles,
tables.

With --dimension and --rater, labels are written beside the session. Without, features become a new session.
"""

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..contracts.errors import UserError, one_line

if TYPE_CHECKING:
    from ..study.readers.contents import Samples, Track
    from ..study.study import Dimension, Study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("file", metavar="FILE", type=Path)
    add("--session", metavar="SESSION", type=Path, help="the session's folder")
    add("--study", metavar="STUDY", type=Path, help="the study, where the session is sessions/NAME")
    add("--name", metavar="NAME", help="of the session in the study (that of FILE)")
    add("--rater", metavar="R", help="whose labels these are (what the file says)")
    add("--dimension", metavar="D", help="what is rated; one of study.toml")
    add(
        "--tier", metavar="T", help="of a file with several: ELAN's tier, XDF's stream, the table's dimension"
    )
    add("--confidence", metavar="T", help="the tier with the confidence of each interval")
    add("--column", metavar="C", help="of a table: the values")
    add("--mapping", metavar="FILE", type=Path, help="a TOML file that says which column of a table is what")
    add("--offset", metavar="S", type=_seconds, default=0.0, help="seconds to add to the file's times")
    add("--turns", metavar="F=T,…", help="tiers as who speaks: own=TIER,partner=TIER,backchannel=TIER")
    add("--modality", metavar="M", help="the name of the features' modality (face, audio, turns, …)")
    add("-o", dest="out", metavar="FOLDER", type=Path, help="the new session, with all of SESSION")
    add("--overwrite", action="store_true", help="replace labels that exist")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= 1e9:
        raise argparse.ArgumentTypeError(f"{text}: give seconds")
    return value


def run(args: argparse.Namespace) -> int:
    from ..study.folders import session_folder
    from ..study.readers.file import read_file
    from ..study.study import read_study

    if args.session is None and args.study is None:
        raise UserError("give --session FOLDER, or --study FOLDER and the session's --name")
    if args.study is not None:
        study = read_study(args.study)
        dimension = None if args.dimension is None else study.dimension(args.dimension)
        if dimension is not None and dimension.kind == "session":
            return _ratings(args, study, dimension)
    session: Path = args.session or session_folder(args.study, args.name or args.file.stem)
    named = [name for name in (args.tier, args.confidence) if name is not None]
    streams = [*named, *(text.partition("=")[2] for text in (args.turns or "").split(",") if text)]
    tracks = read_file(args.file, column=args.column, mapping=args.mapping, streams=streams)
    if args.dimension is not None:
        return _labels(args, tracks, session)
    return _features(args, tracks, session)


def _ratings(args: argparse.Namespace, study: "Study", dimension: "Dimension") -> int:
    """Of whole sessions, from a table."""
    from ..study.session_ratings import import_ratings

    others = ("session", "name", "confidence", "offset", "turns", "modality", "out")
    if unused := next((name for name in others if getattr(args, name)), None):
        raise UserError(
            f"--{unused}: {dimension.name} is rated once for a whole session: give a table with the columns "
            "session, value and rater, or a --mapping"
        )
    written = import_ratings(
        args.file,
        study,
        dimension,
        rater=args.rater,
        column=args.column,
        mapping=args.mapping,
        tier=args.tier,
        overwrite=args.overwrite,
    )
    sessions, raters = {path.parent for path in written}, {path.name for path in written}
    print(f"{args.file}: {len(written)} ratings of {len(sessions)} sessions, raters: {len(raters)}")
    return 0


def _labels(args: argparse.Namespace, tracks: "list[Track]", session: Path) -> int:
    from ..realtime.store.reader import SessionReader
    from ..study import labels, ratings
    from ..study.check import misfits, span_of
    from ..study.importing import choose, label_of
    from ..study.readers.contents import Spans

    span = span_of(SessionReader(session))
    track = choose(tracks, args.tier, args.file, args.rater)
    dimension = _dimension(args, session, "interval" if isinstance(track, Spans) else "trace")
    confidence = None if args.confidence is None else choose(tracks, args.confidence, args.file)
    if confidence is not None and not (isinstance(confidence, Spans) and isinstance(track, Spans)):
        raise UserError(f"--confidence {args.confidence}: is for intervals, of which each has one")
    if not (rater := args.rater or track.rater):
        raise UserError(f"{args.file}: does not say who rated; give --rater NAME")
    labels.check_spelling(session / labels.FOLDER, rater)
    try:
        label, notes = label_of(track, rater, dimension, confidence=confidence, offset=args.offset)
    except UserError as error:
        raise UserError(f"{args.file}: {error}") from None
    if wrong := next(misfits(label, {dimension.name: dimension}, span), None):
        raise UserError(f"{args.file}: {one_line(wrong)}")
    path = labels.path_of(session, label.dimension, label.rater)
    labels.write(label, path, overwrite=args.overwrite)
    for note in notes:
        print(f"{args.file}: {note}")
    assert label.span is not None
    count = len(label.times) if isinstance(label, ratings.Trace) else len(label.start)
    what = "values" if isinstance(label, ratings.Trace) else "intervals"
    share = (
        "" if span is None else f", {100 * label.rated / max(span[1] - span[0], 1e-9):.0f} % of the session"
    )
    print(f"{path}: {count} {what} from {label.span[0]:.1f} to {label.span[1]:.1f} s{share}")
    return 0


def _dimension(args: argparse.Namespace, session: Path, kind: Literal["trace", "interval"]) -> "Dimension":
    """As the study says that the session belongs to; of that kind and any range, if it belongs to none."""
    from ..study.study import TOML, Dimension, read_study

    folders = [args.study] if args.study is not None else list(session.absolute().parents)
    for folder in folders:
        if args.study is not None or (folder / TOML).is_file():
            return read_study(folder).dimension(args.dimension)
    return Dimension(args.dimension, kind, low=-1e9, high=1e9)


def _features(args: argparse.Namespace, tracks: "list[Track]", session: Path) -> int:
    from ..study.importing import write_session

    samples = _turns(args, tracks) if args.turns else _samples(args, tracks)
    base, folder = (args.session, args.out) if args.session is not None else (None, session)
    if folder is None:
        raise UserError(f"{session}: stays as it is; name a new session with -o FOLDER, or give --dimension")
    seconds = write_session(folder, samples, args.file.name, base)
    for name, each in samples.items():
        for note in each.notes:
            print(f"{args.file}: {one_line(note)}")
        schema = each.schema or "no schema"
        print(f"{name}: {len(each.times)} samples of {each.values.shape[1]} numbers, {schema}")
    print(f"{folder}: a session of {seconds:.1f} s")
    return 0


def _samples(args: argparse.Namespace, tracks: "list[Track]") -> "dict[str, Samples]":
    from dataclasses import replace

    from ..study.importing import choose
    from ..study.readers.contents import Samples

    only = [track for track in tracks if isinstance(track, Samples)]
    if not only:
        raise UserError(
            f"{args.file}: has intervals, no features; give --dimension for labels, or --turns for who speaks"
        )
    track = choose(only, args.tier, args.file)
    assert isinstance(track, Samples)
    usual = "face" if track.schema == "openface/1" else (track.schema or "features").partition("/")[0]
    return {args.modality or usual: replace(track, times=track.times + args.offset)}


def _turns(args: argparse.Namespace, tracks: "list[Track]") -> "dict[str, Samples]":
    from ..contracts.schemas import TURNS
    from ..study.importing import choose, turns_of
    from ..study.readers.contents import Spans

    chosen: dict[str, list[Spans]] = {}
    for text in args.turns.split(","):
        feature, equals, tier = text.partition("=")
        if not equals or feature not in TURNS.features:
            raise UserError(f"--turns {args.turns}: give {', '.join(f'{f}=TIER' for f in TURNS.features)}")
        track = choose(tracks, tier, args.file)
        if not isinstance(track, Spans):
            raise UserError(f"--turns {text}: has no intervals")
        chosen.setdefault(feature, []).append(track)
    return {args.modality or TURNS.name.partition("/")[0]: turns_of(chosen, offset=args.offset)}
