"""Replays a shipped clip, and writes the estimates, a plot and a page of them to a folder.

The clip was rendered from a simulated conversation, so that the true engagement is known and drawn beside the
estimate.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..contracts.console import say
from ..contracts.errors import UserError
from .arguments import add_face_model_arguments, face_model_of

if TYPE_CHECKING:
    from ..realtime.engine.estimate import Estimate
    from ..realtime.truth import Truth

CLIP: Final = Path(__file__).with_name("demo.mp4")
TRUTH: Final = Path(__file__).with_name("engagement.simulation.csv")  # of the clip; a file of labels
TITLE: Final = "The demo clip: truth and estimate"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add, folder = parser.add_argument, Path("enrapt-demo")
    add("-o", dest="folder", metavar="FOLDER", type=Path, default=folder, help="(%(default)s)")
    add_face_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    from ..realtime.features.face import FaceOptions
    from ..realtime.report import write_strips
    from ..realtime.run import Run
    from ..realtime.sources.media import MediaSource
    from ..realtime.timeline import Strip, draw_strips
    from .show import show, warn

    folder: Path = args.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); give another folder with -o") from None
    say(
        "A clip rendered from a simulated conversation, whose true engagement is known. The face is\n"
        "out of sight for a while, and the sound is off for a while. The model was trained on\n"
        "simulated people only: the demo shows how enrapt works, not how engaged a person is.\n",
        sys.stdout,
    )
    truth = simulated()
    source = MediaSource(CLIP, faces=FaceOptions(face_model_of(args)))
    estimates: list[Estimate] = []
    run = Run(source, to=[f"jsonl:{folder / 'estimates.jsonl'}"], overwrite=True, warn=warn)
    status = show(run, each=estimates.append, truth=truth)
    if not estimates:
        return status
    strips = [Strip("", estimates, truth=truth)]
    draw_strips(strips, folder / "engagement.png", TITLE)
    write_strips(strips, folder / "engagement.html", TITLE)
    say("\n" + "\n".join(compared(estimates, truth)), sys.stdout)
    say(
        f"\nWritten to {folder}: estimates.jsonl (a line a tick), engagement.png (a plot of them) and\n"
        "engagement.html (the same as a page)",
        sys.stdout,
    )
    return status


def simulated() -> "Truth":
    """The true engagement in the clip, read without what only sessions and labels need."""
    import numpy as np

    from ..realtime.truth import Truth

    times, values = np.loadtxt(TRUTH, delimiter=",", skiprows=1, usecols=(0, 1)).T
    return Truth("simulated truth", times.tolist(), values.tolist())


def compared(estimates: "list[Estimate]", truth: "Truth") -> list[str]:
    """How the estimates compare with the truth, and how wide the interval is with which inputs, in lines."""
    import numpy as np

    known = np.array([truth.at(e.t) for e in estimates])
    found = [(e.engagement.mean, e.engagement.low, e.engagement.high) for e in estimates]
    mean, low, high = np.array(found).T
    widths: defaultdict[str, list[float]] = defaultdict(list)
    for estimate, width in zip(estimates, high - low, strict=True):
        missing = [name for name, there in estimate.present.items() if not there]
        widths[f"without {' or '.join(missing)}" if missing else "with all inputs"].append(width)
    shown = [f"{np.median(values):.2f} {inputs}" for inputs, values in sorted(widths.items())]
    return [
        f"from the simulated truth the estimate differs by {np.abs(mean - known).mean():.2f} on average, "
        f"a constant (the truth's mean) by {np.abs(known - known.mean()).mean():.2f}",
        f"the 90 % interval contains it {np.mean((low <= known) & (known <= high)):.0%} of the time; "
        f"its width (median): {', '.join(shown)}",
    ]
