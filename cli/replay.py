"""`enrapt replay`: a recording goes in, estimates come out."""

import argparse
import contextlib
import shlex
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from ..contracts.errors import UserError

if TYPE_CHECKING:
    from ..realtime.engine.estimate import Estimate
    from ..realtime.page.server import PageServer


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "replay",
        help="estimate engagement in a recording",
        description="Estimates engagement in a recording, or again in a session of `enrapt record`. Exit "
        "status 1 where the recording breaks off: the estimates up to there are kept.",
    )
    parser.add_argument(
        "source",
        metavar="SOURCE",
        type=Path,
        help="video with sound, video or sound alone, a session's folder, or an XDF file of LabRecorder",
    )
    add_estimate_arguments(parser)
    parser.add_argument("--realtime", action="store_true", help="give no estimate before its time")
    parser.add_argument("--start", metavar="S", type=float, default=0.0, help="begin at S seconds")
    parser.add_argument("--end", metavar="S", type=float, help="stop at S seconds")
    parser.add_argument(
        "--no-timing",
        dest="timing",
        action="store_false",
        help="leave latencies out: two replays give the same bytes",
    )
    parser.add_argument(
        "--reassemble",
        action="store_true",
        help="of a session: bring what the devices gave to the ticks anew, as if nothing had been late",
    )
    parser.add_argument("--face", metavar="NAME", help="of XDF: the stream of a face's features")
    parser.add_argument("--audio", metavar="NAME", help="of XDF: the stream of sound, or of its features")
    add_face_model_arguments(parser)
    parser.set_defaults(run=run)


def add_estimate_arguments(parser: argparse.ArgumentParser) -> None:
    """What makes estimates, and where they go."""
    parser.add_argument(
        "--bundle",
        metavar="B",
        default="default",
        help="a bundle's file, or a shipped one's name (%(default)s)",
    )
    parser.add_argument(
        "--to",
        metavar="ADDRESS",
        action="append",
        default=[],
        help="where estimates go; may be given several times: jsonl:FILE, csv:FILE, parquet:FILE, - for "
        "standard output, lsl:, osc://HOST:PORT/PATH, mqtt://HOST/TOPIC, or ui, a page in the browser",
    )


def add_face_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--face-model", metavar="FILE", type=Path, help="face_landmarker.task, where you have it"
    )
    parser.add_argument("--offline", action="store_true", help="never fetch the face model")


def run(args: argparse.Namespace) -> int:
    status = replay(
        args.source,
        bundle=args.bundle,
        to=args.to,
        realtime=args.realtime,
        start=args.start,
        end=args.end,
        timing=args.timing,
        face_model=args.face_model,
        offline=args.offline,
        reassemble=args.reassemble,
        streams={m: name for m, name in (("face", args.face), ("audio", args.audio)) if name is not None},
    )
    if not args.to:
        keep = shlex.join(["enrapt", "replay", str(args.source), "--to", "jsonl:estimates.jsonl"])
        print(f"\nNothing was kept. To keep the estimates: {keep}")
    return status


def replay(
    source: Path,
    *,
    bundle: str = "default",
    to: Sequence[str] = (),
    realtime: bool = False,
    start: float = 0.0,
    end: float | None = None,
    timing: bool = True,
    face_model: Path | None = None,
    offline: bool = False,
    reassemble: bool = False,
    streams: Mapping[str, str] | None = None,
    estimates: "list[Estimate] | None" = None,
) -> int:
    """Replay a recording, a session's folder or an XDF file before the user's eyes; give the exit status.

    Args:
        to: addresses of outputs.
        timing: whether what is written has latencies.
        streams: of XDF, by modality the names of streams.
        estimates: where to put the estimates as well.
    """
    from ..bundle.bundle import Bundle
    from ..realtime.engine.engine import Engine
    from ..realtime.features.audio import AudioFeatures
    from ..realtime.features.face import FaceFeatures
    from ..realtime.introduction import introduction
    from ..realtime.introduction import status as how_it_goes
    from ..realtime.outputs import Outputs
    from ..realtime.sources.observation_replay import ObservationReplay
    from ..realtime.sources.recording import BrokenRecording, Recording
    from ..realtime.sources.replay import Replay
    from ..realtime.sources.xdf import XdfReplay, is_xdf
    from ..realtime.statistics import Statistics
    from ..realtime.streams.samples import SECOND
    from .summary import summary
    from .view import View, find_face_model_visibly

    loaded = Bundle.load(bundle)
    engine = Engine(loaded)
    recording = reader = None
    xdf = is_xdf(source)
    if (source.is_dir() or xdf) and (realtime or start or end is not None):
        what = "XDF" if xdf else "a session"
        raise UserError(f"{source}: {what} is replayed whole: no --realtime, --start or --end")
    if streams and not xdf:
        raise UserError(f"{source}: not XDF, so it has no streams to name: no --face or --audio")
    if source.is_dir():
        from ..realtime.sources.session_replay import SessionReplay
        from ..realtime.store.reader import SessionReader

        reader = SessionReader(source)
    elif not xdf:
        recording = Recording(source, start, end)
        end = end or recording.duration
    statistics = Statistics()
    page: PageServer | None = None
    status = 0
    lost: list[str] = []
    broken: BrokenRecording | None = None
    try:
        with ExitStack() as stack:
            outputs = stack.enter_context(Outputs(to, live=realtime, warn=_tell))
            session: Replay | ObservationReplay
            marks: deque[tuple[int, str]] = deque()
            if xdf:
                session = XdfReplay(source, engine, streams)
                lost, marks = session.lost, deque(session.marks)
            elif reader is not None:
                session = SessionReplay(reader, engine, reassemble)
                marks = deque(session.marks)
            else:
                assert recording is not None
                face = audio = None
                if recording.has_video and "face" in engine.inputs:
                    face = stack.enter_context(FaceFeatures(find_face_model_visibly(face_model, offline)))
                if recording.has_audio and "audio" in engine.inputs:
                    audio = AudioFeatures()
                session = Replay(recording, engine, face, audio, realtime=realtime)
            view = View(source.name, start, end, engine.rate, lambda: session.counts)
            stack.enter_context(view)
            if outputs.page is not None:
                outputs.page.hello(introduction(loaded.metadata, "replay", source.name, duration=end))
                print(f"page: {outputs.page.address}", file=sys.stderr)
            began = time.perf_counter()
            try:
                for estimate in session:
                    assert session.observation is not None
                    while marks and marks[0][0] <= session.observation.time:
                        at, label = marks.popleft()
                        outputs.mark(at / SECOND, label)
                    outputs.write(estimate if timing else estimate.without_timing(), session.observation)
                    statistics.add(estimate)
                    view.update(estimate, session.observation)
                    if outputs.page is not None and estimate.tick % engine.rate == 0:
                        outputs.page.status(how_it_goes(statistics, session.counts, outputs.counts))
                    if estimates is not None:
                        estimates.append(estimate)
            except BrokenRecording as error:
                broken = error
            page = outputs.keep_page()
    except KeyboardInterrupt:
        if not statistics.ticks:
            raise
        status = 130
    for line in lost if reader is None else reader.lost:
        print(f"enrapt: {source}: {line}", file=sys.stderr)
        status = status or 1
    if broken is not None:
        print(f"enrapt: {source}: {broken}; the estimates are of what came before", file=sys.stderr)
        status = 1
    wall = time.perf_counter() - began
    # Not between the estimates, where they go to standard output.
    stream = sys.stderr if any(address.split(":")[-1] == "-" for address in to) else sys.stdout
    told = summary(statistics, session.counts, engine.rate, wall, outputs.counts)
    print(told, file=stream, flush=True)
    if page is not None:  # to look at the whole of it
        print(f"\nthe replay is over; {page.address} stays until Ctrl-C", file=sys.stderr)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
        page.close(True)
    return status


def _tell(line: str) -> None:
    print(f"enrapt: {line}", file=sys.stderr)
