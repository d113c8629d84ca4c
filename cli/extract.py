"""Makes sessions of recordings: features, their times and estimates, as `enrapt record` does it live.

One session for each recording, named after it (`anna/1.mp4` becomes `anna/1`). The same command goes on where
it was stopped; what is there stays as it is. Exit status 1 if a recording failed or is damaged.
"""

import argparse
import dataclasses
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from ..contracts.errors import UserError, one_line
from .arguments import (
    add_face_arguments,
    add_limit_arguments,
    add_recording_arguments,
    at_least_one,
    context_of,
    faces_of,
    offsets_of,
)
from .recordings import SUFFIXES, Item, find_recordings

if TYPE_CHECKING:
    from rich.text import Text

    from .batch import Result, Row

FOLDER: Final = Path("enrapt-sessions")
ENGINES: Final = ("processes", "ray")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("sources", metavar="SOURCE", nargs="+", help="recordings, folders of them, or patterns")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("-o", "--output", metavar="FOLDER", type=Path, help=f"of the sessions ({FOLDER})")
    place.add_argument("--study", metavar="STUDY", type=Path, help="a study: the sessions are its own")
    add("--jobs", metavar="N", type=at_least_one, help="recordings at the same time (one for each processor)")
    add("--engine", choices=ENGINES, default="processes", help="what runs them (%(default)s)")
    add("--address", metavar="A", help="of a Ray cluster, or auto (a new one on this machine)")
    add("--bundle", metavar="B", default="default", help="file or name of a shipped bundle (%(default)s)")
    add("--context", metavar="NAME=X,…", action="append", default=[], help="a context modality's values")
    add("--offset", metavar="MODALITY=S", action="append", default=[], help="seconds to add to its times")
    add_recording_arguments(parser)
    add_face_arguments(parser)
    add_limit_arguments(parser)
    parser.set_defaults(realtime=None, reassemble=None, stream=[])  # which `replay` has


def run(args: argparse.Namespace) -> int:
    from ..bundle.bundle import Bundle
    from ..realtime.context import context_values
    from ..realtime.features.face.model_file import find_face_model
    from ..realtime.store.arrow import pa as pa  # says what to install, before anything is done
    from .batch import run_each
    from .progress import BatchProgress, announce
    from .replay import settings_of
    from .show import signals
    from .tables import print_table

    if args.address is not None and args.engine != "ray":
        raise UserError("--address: is of a Ray cluster; give --engine ray, too")
    bundle = Bundle.load(args.bundle).metadata
    context_values(context_of(args), {}, bundle)
    settings = settings_of(args) | {"bundle": bundle.sha256}
    if args.face_model is not None:
        args.face_model = find_face_model(args.face_model).absolute()
    if (path := Path(args.bundle)).exists():
        args.bundle = str(path.absolute())  # other processes may work elsewhere
    folder = _folder(args)
    items, left_out = _recordings(args.sources, folder)
    jobs = args.jobs or _processors()
    each = partial(run_each, jobs=jobs)
    if args.engine == "ray":
        from .on_ray import run_on_ray

        each = partial(run_on_ray, jobs=args.jobs, address=args.address)
    announce(items, left_out, jobs, folder)
    function = partial(extract_one, args, folder, settings)
    stop = threading.Event()
    results: list[Result] = []
    with signals(stop.set), BatchProgress(len(items)) as progress:
        for result in each(function, items, stop=stop, progress=progress.update):
            if result.row is not None:
                result = dataclasses.replace(result, kept=result.row["kept"])
            results.append(result)
            progress.report(result)
    results.sort(key=lambda result: result.item.name)
    modalities = [m.name for m in bundle.inputs if m.role == "observed"]
    columns = ["duration", *(f"{m} %" for m in modalities), "lost"]
    print_table("file", columns, "why", _table(results, modalities))
    kept, failed = sum(r.kept for r in results), sum(r.row is None for r in results)
    print(
        f"\n{len(results)} recordings: {kept} done before (skipped), {failed} failed. "
        f"The sessions are in {folder}."
    )
    if len(results) < len(items):
        from ..contracts.console import say

        say(f"interrupted: {len(items) - len(results)} of {len(items)} are left; the same command does them")
        return 130
    return int(any(r.row is None or r.row["problems"] for r in results))


def extract_one(
    args: argparse.Namespace, folder: Path, settings: "Row", item: Item, progress: Callable[[float], None]
) -> "Row":
    """Make the session of a recording; what became of it."""
    from ..realtime.features.face.model_file import find_face_model
    from ..study.extracting import extract
    from .replay import source_of

    model = partial(find_face_model, args.face_model, offline=args.offline)
    extracted = extract(
        item.path,
        folder / session_name(item),
        args.bundle,
        lambda: source_of(args, item.path, faces_of(args, model)),
        settings=settings,
        context=context_of(args),
        offsets=offsets_of(args),
        voice=args.voice,
        progress=progress,
    )
    return dataclasses.asdict(extracted)


def session_name(item: Item) -> str:
    """The name of a recording's session: without the end that says its format."""
    path = PurePosixPath(item.name)
    return str(path.with_suffix("") if path.suffix.lower() in SUFFIXES else path)


def _folder(args: argparse.Namespace) -> Path:
    """Where sessions go; absolute."""
    from ..study.folders import SESSIONS
    from ..study.study import read_study

    if args.study is not None:
        return (read_study(args.study).folder / SESSIONS).absolute()
    folder: Path = (args.output or FOLDER).absolute()
    if os.path.lexists(folder) and not folder.is_dir():
        raise UserError(f"{folder}: is not a folder; give another with --output")
    return folder


def _recordings(sources: Sequence[str], folder: Path) -> tuple[list[Item], list[str]]:
    """The recordings, and what is none; sessions are left out.

    Raises:
        UserError: there is none, or two would be the same session or one within another, or one is hidden.
    """
    found, left_out = find_recordings(sources, folder)
    items = [item for item in found if not item.path.is_dir()]
    left_out += [f"{item.name} (a session)" for item in found if item.path.is_dir()]
    if not items:
        raise UserError(f"{' '.join(sources)}: only sessions, which have features already; give recordings")
    named: dict[PurePosixPath, Item] = {}
    for item in items:
        name = PurePosixPath(session_name(item))
        if any(part.startswith(".") for part in name.parts):
            raise UserError(f"{item.name}: its session would be hidden by its name; rename it")
        if (other := named.setdefault(name, item)) is not item:
            raise UserError(f"{other.name} and {item.name} would both be session {name}; rename one")
    for name, item in named.items():
        if above := next((parent for parent in name.parents if parent in named), None):
            other = named[above]
            raise UserError(f"session {name} of {item.name} would be within that of {other.name}; rename one")
    return items, left_out


def _processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _table(results: "Sequence[Result]", modalities: Sequence[str]) -> "Iterator[list[str | Text]]":
    from rich.text import Text

    for result in results:
        cells = [""] * (2 + len(modalities))
        why = f"failed: {result.error}"
        if (row := result.row) is not None:
            presence = [row["presence"].get(m) for m in modalities]
            shares = ["" if x is None else f"{100 * x:.1f}" for x in presence]
            cells = [f"{row['seconds']:.1f} s", *shares, str(sum(row["lost"].values()))]
            reasons = [f"{n} {reason.replace('_', ' ')}" for reason, n in row["lost"].items()]
            why = "; ".join([*row["problems"], *reasons, *row["notes"]])
        style = "red" if row is None else "yellow" if row["problems"] else ""
        yield [one_line(result.item.name), *cells, Text(one_line(why), style)]
