"""The picture of a run: engagement with its interval, and below it presence and surprise of each modality."""

import io
import warnings
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..contracts.errors import one_line
from ..contracts.files import write_atomically
from .engine.estimate import Estimate

# Okabe and Ito (2008), distinguishable with any kind of colour vision.
_BLUE: Final = "#0072B2"
_COLOURS: Final = ("#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")

_LABELS: Final = 200  # of marks; more cannot be read
_FAR: Final = 1e12  # nats; what is drawn of more

Mark = tuple[float, str]  # seconds, label


def draw_timeline(estimates: Sequence[Estimate], path: Path, title: str, marks: Sequence[Mark] = ()) -> None:
    """Draw a run of one estimate or more as a PNG picture, which is written atomically.

    Raises:
        UserError: the picture cannot be written.
    """
    t = np.array([e.t for e in estimates])
    tick = (float(np.median(np.diff(t))) if len(t) > 1 else 0.0) or 0.04  # s
    modalities = dict(zip(estimates[0].present, cycle(_COLOURS), strict=False))
    figure = Figure(figsize=(10, 5.2), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    heights = {"height_ratios": (10, 1 + len(modalities), 4)}
    top, strips, bottom = figure.subplots(3, 1, sharex=True, gridspec_kw=heights)

    low, high = [e.engagement.low for e in estimates], [e.engagement.high for e in estimates]
    top.fill_between(t, low, high, color=_BLUE, alpha=0.22, linewidth=0, label="90 % interval")
    top.plot(t, [e.engagement.mean for e in estimates], color=_BLUE, linewidth=1.6, label="mean")
    top.vlines([at for at, _ in marks], 0, 1, color="0.3", linewidth=0.9, linestyle="--")
    for at, label in marks[:_LABELS]:
        style = {"rotation": 90, "va": "bottom", "ha": "right", "fontsize": 8, "color": "0.3"}
        top.text(at, 0.02, f" {one_line(label):.80}", parse_math=False, **style)
    top.set(ylim=(0, 1), ylabel="engagement")
    top.set_title(one_line(title), parse_math=False, loc="left", fontsize=12)
    top.legend(loc="upper right", ncols=2, frameon=False, bbox_to_anchor=(1, 1.11), borderaxespad=0)

    seen: list[float] = []
    for row, (modality, colour) in enumerate(modalities.items()):
        runs = _runs([e.present[modality] for e in estimates])
        bars = [(t[first], t[last] - t[first] + tick) for first, last in runs]
        strips.broken_barh(bars, (row - 0.32, 0.64), color=colour)
        nats = np.array([e.surprise[modality] for e in estimates], float)  # None: NaN
        surprise = np.clip(nats, -_FAR, _FAR)
        bottom.plot(t, surprise, color=colour, linewidth=0.9)
        seen += surprise[~np.isnan(surprise)].tolist()
    strips.set_yticks(range(len(modalities)), [one_line(m)[:30] for m in modalities], parse_math=False)
    strips.set(ylim=(len(modalities) - 0.4, -0.6), ylabel="present")
    strips.tick_params(axis="y", length=0)
    bottom.set(xlabel="time, s", ylabel="surprise, nats", xlim=(t[0], t[-1] + tick))
    if seen:  # a single outlier would flatten the others
        lowest, highest = np.percentile(seen, (0.5, 99.5))
        margin = 0.1 * (highest - lowest) + 1
        bottom.set_ylim(lowest - margin, highest + margin)
    bottom.yaxis.set_major_locator(MaxNLocator(4))
    for axes in (top, strips, bottom):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
    top.grid(axis="y", color="0.9", linewidth=0.8)
    figure.align_ylabels()

    picture = io.BytesIO()
    with warnings.catch_warnings():  # of letters that the font does not have: they are drawn as boxes
        warnings.simplefilter("ignore")
        figure.savefig(picture, format="png")
    write_atomically(path, picture.getvalue())


def _runs(present: Sequence[bool]) -> list[tuple[int, int]]:
    """First and last index of each unbroken stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], np.asarray(present, int), [0]))))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]
