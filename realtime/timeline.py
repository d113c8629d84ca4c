"""The picture of a run: engagement with its interval, and below it presence and surprise of each modality."""

import io
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle, pairwise
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..contracts.errors import one_line
from ..contracts.files import write_atomically
from .engine.estimate import Estimate
from .streams import wall_clock
from .truth import Truth

# Okabe and Ito (2008), distinguishable with any kind of colour vision.
_BLUE: Final = "#0072B2"
_COLOURS: Final = ("#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")

_GREY: Final = "0.6"
_INK: Final = "0.15"  # of what is known, not estimated

_LABELS: Final = 200  # of marks; more cannot be read
_LONG: Final = 80  # characters of a label
_HEIGHT: Final = 0.012  # of a label, as a share of the axis that it stands across
_FAR: Final = 1e12  # nats; what is drawn of more
PEOPLE: Final = 12  # drawn; those with the most estimates
_WORTH: Final = 0.5  # s; a face that comes back is recognised within some pictures: no strip for these
UNUSED: Final = "unused face"  # in view, but another person's, or not good enough

Mark = tuple[float, str]  # seconds, label


@dataclass(frozen=True, slots=True)
class Strip:
    """One person's part of a picture: one estimate or more, and marks on the same axis.

    Attributes:
        name: of the person; empty for the only one.
        began: the wall-clock time of 0 s; None if nobody knows.
        truth: what engagement is known to have been.
    """

    name: str
    estimates: Sequence[Estimate]
    marks: Sequence[Mark] = ()
    began: datetime | None = None
    truth: Truth | None = None


def strips(
    estimates: Sequence[Estimate], marks: Sequence[Mark] | None = None, began: datetime | None = None
) -> list[Strip]:
    """A strip for each person in the estimates of one run.

    Args:
        marks: None: those that the estimates have.
        began: the wall-clock time of 0 s; None: that of the estimates, if they have one.
    """
    if marks is None:
        marks = [(e.t, label) for e in estimates for label in e.marks or ()]
    if began is None and estimates[0].wall_clock is not msgspec.UNSET:
        began = wall_clock.at(estimates[0].wall_clock, -estimates[0].t)
    people = by_person(estimates)
    return [Strip("" if p is None else f"person {p}", own, marks, began) for p, own in people.items()]


def by_person(estimates: Sequence[Estimate]) -> dict[int | None, Sequence[Estimate]]:
    """The estimates of each person, by id, where a tick has some of several; else all of them, by None."""
    known = [estimate for estimate in estimates if estimate.person is not None]
    if not any(one.tick == next.tick and one.person != next.person for one, next in pairwise(known)):
        return {None: estimates}
    people: defaultdict[int, list[Estimate]] = defaultdict(list)
    for estimate in known:
        people[estimate.person or 0].append(estimate)
    return {p: people[p] for p in sorted(sorted(people, key=lambda p: -len(people[p]))[:PEOPLE])}


def stretches(estimates: Sequence[Estimate]) -> list[Mark]:
    """From when on each person was followed; empty if it was one only."""
    found: list[tuple[float, int]] = []
    for estimate in estimates:
        if estimate.person is not None and (not found or found[-1][1] != estimate.person):
            found.append((estimate.t, estimate.person))
    return [(t, f"person {person}") for t, person in found] if len(found) > 1 else []


def together(marks: Sequence[Mark], near: float) -> list[Mark]:
    """Marks of which those less than `near` seconds after another share its label's place."""
    found: list[Mark] = []
    for at, label in sorted(marks, key=lambda mark: mark[0]):
        if found and at - found[-1][0] <= near:
            if len(found[-1][1]) < _LONG:
                found[-1] = found[-1][0], f"{found[-1][1]}, {label}"
        else:
            found.append((at, label))
    return found


def unused(estimate: Estimate, alone: bool) -> str | None:
    """Why no face is taken although one is in view.

    Args:
        alone: whether this is the only person with estimates.
    """
    if alone and estimate.faces and estimate.box is None:
        return "another person's is in view"
    return estimate.face_problem


def draw_timeline(
    estimates: Sequence[Estimate], path: Path, title: str, marks: Sequence[Mark] | None = None
) -> None:
    """Draw a run of one estimate or more as a PNG picture, which is written atomically.

    Several people have a strip each, without surprise.

    Raises:
        UserError: the picture cannot be written.
    """
    draw_strips(strips(estimates, marks), path, title)


def draw_strips(people: Sequence[Strip], path: Path, title: str) -> None:
    """Likewise, of people whose estimates are on one axis."""
    start = min(strip.estimates[0].t for strip in people)
    end = max(strip.estimates[-1].t for strip in people)
    t = np.array([e.t for e in people[0].estimates])
    tick = (float(np.median(np.diff(np.unique(t)))) if t[0] < t[-1] else 0.0) or 0.04  # s
    names = dict.fromkeys(name for strip in people for name in strip.estimates[0].present)
    modalities = dict(zip(names, cycle(_COLOURS), strict=False))
    alone = len(people) == 1
    height = 5.2 if alone else 0.7 + 2.2 * len(people)
    figure = Figure(figsize=(10, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    each = [10, 1 + len(modalities), 4] if alone else [10, 1 + 1.3 * len(modalities)]
    ratios = {"height_ratios": each * len(people)}
    axes = figure.subplots(len(each) * len(people), 1, sharex=True, gridspec_kw=ratios)

    for row, strip in enumerate(people):
        top, bars, *rest = axes[row * len(each) : (row + 1) * len(each)]
        own = {m: colour for m, colour in modalities.items() if m in strip.estimates[0].present}
        _draw_engagement(top, strip)
        top.set(ylim=(0, 1))
        top.set_ylabel(one_line(strip.name)[:24] or "engagement", parse_math=False)
        _draw_presence(bars, strip.estimates, own, tick, alone)
        bars.set(ylabel="present" if alone else "")
        for bottom in rest:
            _draw_surprise(bottom, strip.estimates, own)
    axes[0].set_title(one_line(title), parse_math=False, loc="left", fontsize=12)
    above = (1, 1.11 if alone else 1.19)
    axes[0].legend(loc="upper right", ncols=3, frameon=False, bbox_to_anchor=above, borderaxespad=0)
    began = next((strip.began for strip in people if strip.began is not None), None)
    since = "" if began is None else f" since {wall_clock.iso(began)}"
    axes[-1].set(xlabel=f"time, s{since}", xlim=(start, end + tick))
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(axis="x", color="0.9", linewidth=0.8)
        one.set_axisbelow(True)
    for top in axes[:: len(each)]:
        top.grid(axis="y", color="0.9", linewidth=0.8)
    figure.align_ylabels()

    picture = io.BytesIO()
    with warnings.catch_warnings():  # of letters that the font does not have: they are drawn as boxes
        warnings.simplefilter("ignore")
        figure.savefig(picture, format="png")
    write_atomically(path, picture.getvalue())


def _draw_engagement(axes: Axes, strip: Strip) -> None:
    estimates, marks = strip.estimates, strip.marks
    t = [e.t for e in estimates]
    low, high = [e.engagement.low for e in estimates], [e.engagement.high for e in estimates]
    axes.fill_between(t, low, high, color=_BLUE, alpha=0.22, linewidth=0, label="90 % interval")
    axes.plot(t, [e.engagement.mean for e in estimates], color=_BLUE, linewidth=1.6, label="mean")
    if (truth := strip.truth) is not None:
        label = one_line(truth.label)
        axes.step(truth.times, truth.values, where="post", color=_INK, linewidth=1.1, label=label)
    for y, va, ha, drawn in (0.02, "bottom", "right", marks), (0.98, "top", "left", stretches(estimates)):
        axes.vlines([at for at, _ in drawn], 0, 1, color="0.3", linewidth=0.9, linestyle="--")
        for at, label in together(drawn, _HEIGHT * (t[-1] - t[0]))[:_LABELS]:
            axes.text(
                at,
                y,
                f" {one_line(label):.{_LONG}}",
                parse_math=False,
                rotation=90,
                va=va,
                ha=ha,
                fontsize=8,
                color="0.3",
            )


def _draw_presence(
    axes: Axes, estimates: Sequence[Estimate], modalities: Mapping[str, str], tick: float, alone: bool
) -> None:
    rows = [(one_line(m)[:30], [e.present[m] for e in estimates], colour) for m, colour in modalities.items()]
    faces = [unused(e, alone) is not None for e in estimates]
    if sum(faces) * tick >= _WORTH:
        rows.append((UNUSED, faces, _GREY))
    for row, (_, there, colour) in enumerate(rows):
        bars = [
            (estimates[first].t, estimates[last].t - estimates[first].t + tick)
            for first, last in _runs(there)
        ]
        axes.broken_barh(bars, (row - 0.32, 0.64), color=colour)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows], parse_math=False)
    axes.set(ylim=(len(rows) - 0.4, -0.6))
    axes.tick_params(axis="y", length=0)


def _draw_surprise(axes: Axes, estimates: Sequence[Estimate], modalities: Mapping[str, str]) -> None:
    seen: list[float] = []
    for modality, colour in modalities.items():
        nats = np.array([e.surprise[modality] for e in estimates], float)  # None: NaN
        surprise = np.clip(nats, -_FAR, _FAR)
        axes.plot([e.t for e in estimates], surprise, color=colour, linewidth=0.9)
        seen += surprise[~np.isnan(surprise)].tolist()
    axes.set(ylabel="surprise, nats")
    if seen:  # a single outlier would flatten the others
        lowest, highest = np.percentile(seen, (0.5, 99.5))
        margin = 0.1 * (highest - lowest) + 1
        axes.set_ylim(lowest - margin, highest + margin)
    axes.yaxis.set_major_locator(MaxNLocator(4))


def _runs(present: Sequence[bool]) -> list[tuple[int, int]]:
    """First and last index of each unbroken stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], np.asarray(present, int), [0]))))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]
