"""Adapts estimates to one person, from a neutral minute or from labels, and keeps the profile under a name.

SOURCE is a recording, or a session of `enrapt record` or `extract`; without one, this computer's camera and
microphone are used. A session with labels of what the bundle estimates gives a profile from those; otherwise
the person is neutral for a minute. `--profile NAME` of live, record and replay then uses it. A profile holds
means and spreads of features, no picture and no sound, in the user's data folder, for its owner alone.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..contracts.console import say
from ..contracts.errors import UserError
from .arguments import (
    add_face_arguments,
    add_input_arguments,
    context_of,
    faces_of,
    offsets_of,
    seconds,
    streams_of,
)
from .live import add_device_arguments, session_of

if TYPE_CHECKING:
    from ..realtime.engine.engine import Values
    from ..realtime.engine.estimate import Estimate
    from ..realtime.engine.profile import Profile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("source", metavar="SOURCE", type=Path, nargs="?", help="a recording, or a session's folder")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--profile", metavar="NAME", help="of the person; a new one")
    what.add_argument("--list", action="store_true", help="list all profiles")
    what.add_argument("--delete", metavar="NAME", help="delete a profile")
    add("--start", metavar="S", type=seconds, default=0.0, help="of SOURCE: begin at S seconds")
    add("--duration", metavar="S", type=seconds, help="of data, without labels (60)")
    add_device_arguments(parser)
    add_input_arguments(parser)
    add_face_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from ..realtime.store import profiles

    if args.list:
        return _list()
    if args.delete is not None:
        profiles.delete(args.delete)
        print(f"profile {args.delete}: deleted")
        return 0
    profiles.check_new(args.profile)
    if args.people > 1:
        raise UserError("--people: a profile is of one person; follow one")
    status, profile = _calibrated(args)
    if profile is None:
        print("interrupted: no profile was made", file=sys.stderr)
        return 130
    path = profiles.save(profile)
    print(f"{path}: profile {profile.name}, of {profile.made_of}")
    return status


def _calibrated(args: argparse.Namespace) -> "tuple[int, Profile | None]":
    """The exit status of the run, and the profile that its data give; None if it was interrupted."""
    from ..realtime.engine.calibration import USUAL, calibrate
    from ..realtime.run import Run
    from ..realtime.sources.files import open_source
    from ..realtime.streams.samples import SECOND
    from .show import show, warn

    run: Run
    if args.source is None:
        run = session_of(args)
        say("be neutral: look at the screen, and talk as you usually do")
    else:
        streams = {"streams": named} if (named := streams_of(args)) else {}
        source = open_source(args.source, faces=faces_of(args), **streams)
        run = Run(source, args.bundle, context=context_of(args), offsets=offsets_of(args), warn=warn)
    labelled = args.source is not None and _is_labelled(args)
    length = args.duration or (float("inf") if labelled else USUAL)
    ticks: list[Values] = []
    times: list[float] = []

    def collect(estimate: "Estimate") -> None:
        assert run.observation is not None
        if estimate.t >= args.start and (labelled or any(estimate.present.values())):
            ticks.append({**run.observation.values, **run.context})
            times.append(run.observation.time / SECOND)
            if len(ticks) >= length * run.rate:
                run.stop()

    status = show(run, each=collect)
    if status == 130 or (args.source is None and len(ticks) < length * run.rate):
        return 130, None
    labels = None
    if labelled:
        import numpy as np

        from ..study.own_labels import labels_at

        labels = labels_at(args.source, _target(args), np.array(times))
    return status, calibrate(run.bundle, args.profile, ticks, labels)


def _target(args: argparse.Namespace) -> str:
    """What the bundle estimates."""
    from ..bundle.bundle import Bundle

    return next(m.name for m in Bundle.load(args.bundle).metadata.modalities if m.role == "target")


def _is_labelled(args: argparse.Namespace) -> bool:
    from ..study.folders import is_session
    from ..study.labels import of_session

    if not is_session(args.source):
        return False
    target = _target(args)
    return any(label.dimension == target for label in of_session(args.source))


def _list() -> int:
    from ..realtime.store import profiles

    names = profiles.names()
    for name in names:
        try:
            found = profiles.load(name)
        except UserError as error:
            print(f"{name}  {error}")
            continue
        print(f"{name}  {found.made}  {found.bundle} {found.bundle_sha256[:12]}  {found.made_of}")
    if not names:
        print(f"no profiles in {profiles.folder()}")
    return 0
