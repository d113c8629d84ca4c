"""`enrapt live`: a camera and a microphone go in, estimates come out."""

import argparse
import json
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..contracts.errors import UserError
from .replay import add_estimate_arguments, add_face_model_arguments

if TYPE_CHECKING:
    from ..realtime.session import LiveSession


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "live",
        help="estimate engagement from a camera and a microphone",
        description="Estimates engagement live, until Ctrl-C. No picture and no sound is kept, and nothing "
        "leaves the machine but estimates, to where --to says. A device that is lost is missing until it is "
        "back.",
    )
    add_live_arguments(parser)
    parser.set_defaults(run=run, record=None, keep_media=False)


def add_live_arguments(parser: argparse.ArgumentParser) -> None:
    """What `live` and `record` are told."""
    parser.add_argument(
        "--camera",
        metavar="C",
        default=0,  # a number only where nobody has said one: LiveSession tells
        help="number, /dev path, RTSP or HTTP-MJPEG address, or none (%(default)s)",
    )
    parser.add_argument(
        "--mic", metavar="NAME", default="default", help="its name or a part of it, or none (the system's)"
    )
    parser.add_argument("--face", metavar="lsl:NAME", help="features from this LSL stream, not a camera")
    parser.add_argument(
        "--audio", metavar="lsl:NAME", help="features or sound from this LSL stream, not a microphone"
    )
    add_estimate_arguments(parser)
    parser.add_argument("--stats", metavar="FILE", type=Path, help="write the summary as JSON at the end")
    parser.add_argument("--duration", metavar="S", type=float, help="stop after S seconds")
    parser.add_argument(
        "--context",
        metavar="NAME=X,…",
        action="append",
        default=[],
        help="numbers of a context modality of the bundle, constant over the session",
    )
    parser.add_argument(
        "--camera-size", metavar="WxH", default="640x480", help="to ask the camera for (%(default)s)"
    )
    parser.add_argument(
        "--camera-rate", metavar="HZ", type=int, default=30, help="to ask the camera for (%(default)s)"
    )
    parser.add_argument(
        "--face-every", metavar="N", type=int, default=1, help="look for the face in every N-th picture"
    )
    parser.add_argument(
        "--max-wait",
        metavar="MS",
        type=float,
        default=50.0,
        help="a tick is told so late at the latest, whatever is missing (%(default)s)",
    )
    parser.add_argument(
        "--preview", action="store_true", help="show the face's landmarks on the page; never the picture"
    )
    parser.add_argument(
        "--no-page",
        action="store_true",
        help="no page in the browser, where there is a terminal to tell of it",
    )
    add_face_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from ..contracts.files import write_atomically
    from ..realtime.session import LiveSession
    from .summary import summary
    from .view import View, find_face_model_visibly

    camera = None if args.camera == "none" else args.camera
    pictures = camera is not None and args.face is None
    session = LiveSession(
        camera,
        None if args.mic == "none" else args.mic,
        face=args.face,
        audio=args.audio,
        bundle=args.bundle,
        camera_size=_size(args.camera_size),
        camera_rate=args.camera_rate,
        face_every=args.face_every,
        context=_context(args.context),
        max_wait=args.max_wait / 1000,
        face_model=find_face_model_visibly(args.face_model, args.offline) if pictures else None,
        record=args.record,
        keep_media=args.keep_media,
        preview=args.preview,
        to=[*args.to, *_page(args)],
        trouble=lambda line: print(f"enrapt: {line}", file=sys.stderr),
    )
    with ExitStack() as stack:
        stack.enter_context(session)
        kept = f"; {_kept(session)} KEPT" if args.keep_media else ""
        print(f"live: {_devices(session)}{kept}; Ctrl-C ends it", file=sys.stderr)
        if session.page is not None:
            print(f"page: {session.page.address}", file=sys.stderr)
        view = View(lambda: _devices(session) + kept, 0.0, None, session.rate, lambda: session.counts)
        stack.enter_context(view)
        began = time.perf_counter()
        with _ended_by_signals(session):
            for estimate in session:
                assert session.observation is not None
                view.update(estimate, session.observation)
                if args.duration is not None and estimate.tick >= args.duration * session.rate:
                    break
        wall = time.perf_counter() - began
    if args.stats is not None:
        write_atomically(args.stats, json.dumps(session.summary(), indent=2).encode() + b"\n")
    stream = sys.stderr if any(address.split(":")[-1] == "-" for address in args.to) else sys.stdout
    told = summary(session.statistics, session.counts, session.rate, wall, session.output_counts)
    print(told, file=stream)
    return 0


def _page(args: argparse.Namespace) -> list[str]:
    """The address of a page that nobody asked for: whoever sits at a terminal reads there where it is."""
    asked = any(address.partition(":")[0] in ("ui", "ws", "http") for address in args.to)
    if asked or args.no_page or not sys.stderr.isatty():
        return []
    from ..realtime.outputs.page import PORT

    with socket.socket() as port:
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            port.bind(("127.0.0.1", PORT))
        except OSError:  # another session, most likely
            return ["ui:0"]
    return ["ui"]


@contextmanager
def _ended_by_signals(session: "LiveSession") -> Iterator[None]:
    """Ctrl-C and SIGTERM end the session after the tick that is being told; a second one ends the program."""

    def end(number: int, frame: FrameType | None) -> None:
        session.stop()
        for name, handler in before.items():
            signal.signal(name, handler)

    before: dict[int, Any] = {name: signal.signal(name, end) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _devices(session: "LiveSession") -> str:
    """What is open, and how it is."""
    said = []
    if session.camera is not None:
        said.append(f"camera {session.camera.given}" + _lost(session.camera.state.name))
    if session.microphone is not None:
        microphone = session.microphone
        said.append(f"microphone {microphone.device}, {microphone.given}" + _lost(microphone.state.name))
    for modality, stream in session.streams.items():
        said.append(f"{modality} {stream.given}" + _lost(stream.state.name))
    return "; ".join(said)


def _kept(session: "LiveSession") -> str:
    stream = session.streams.get("audio")
    if session.microphone is None and (stream is None or stream.kind == "features"):
        return "PICTURES ARE"
    return "SOUND IS" if session.camera is None else "PICTURES AND SOUND ARE"


def _lost(state: str) -> str:
    return " (lost)" if state == "lost" else ""


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
        raise UserError(f"--camera-size {text}: give width and height, such as 640x480")
    return int(width), int(height)


def _context(given: list[str]) -> dict[str, list[float]]:
    context = {}
    for text in given:
        name, _, numbers = text.partition("=")
        try:
            context[name] = [float(number) for number in numbers.split(",")]
        except ValueError:
            raise UserError(f"--context {text}: give NAME=X or NAME=X,Y,…") from None
    return context
