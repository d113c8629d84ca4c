"""The figures of a report, as Matplotlib draws them: for a page of HTML, or as PDF and SVG for a paper."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import norm

from ..contracts.errors import UserError, one_line
from ..contracts.files import write_atomically
from .assessment import Assessment, residuals

# Okabe and Ito (2008), distinguishable with any kind of colour vision.
BLUE: Final = "#0072B2"
ORANGE: Final = "#D55E00"
OTHERS: Final = (("#E69F00", "s"), ("#009E73", "D"), ("#CC79A7", "^"), ("#56B4E9", "v"))
GREY: Final = "0.55"
WIDTH: Final = 6.9  # inches, of a page's text
WANTED: Final = (0.85, 0.95)  # share of labels in the 90 % interval
LEVELS: Final = np.arange(0.05, 1.0, 0.05)  # of central intervals
PEOPLE, STRIPS, POINTS = 40, 6, 600  # drawn at most: people, sessions, points of a line
STYLE: Final[Any] = {
    "font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8, "xtick.labelsize": 8,
    "ytick.labelsize": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "axes.axisbelow": True, "grid.color": "0.9", "grid.linewidth": 0.7, "lines.linewidth": 1.3,
    "legend.frameon": False, "text.parse_math": False, "svg.hashsalt": "enrapt", "svg.fonttype": "path",
    "pdf.fonttype": 42,
}  # fmt: skip
FORMATS: Final[dict[str, dict[str, Any]]] = {  # without the time, so that the same run gives the same bytes
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
    "png": {"dpi": 150},
}


def figures(found: Assessment) -> dict[str, Figure]:
    """All figures by name."""
    drawn: dict[str, Callable[[Assessment], Figure]] = {
        "patterns": draw_patterns,
        "calibration": draw_calibration,
        "people": draw_people,
        "sessions": draw_sessions,
        "within_and_between": draw_within_and_between,
        "over_time": draw_over_time,
    }
    with matplotlib.rc_context(STYLE):
        return {name: draw(found) for name, draw in drawn.items()}


def rendered(figure: Figure, kind: str) -> bytes:
    """The content of a file of that kind: svg, pdf or png."""
    content = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(content, format=kind, **FORMATS[kind])
    return content.getvalue()


def write_figures(found: Assessment, folder: Path) -> list[Path]:
    """Each figure as PDF and SVG in a folder.

    Raises:
        UserError: one cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror})") from None
    paths = []
    for name, figure in figures(found).items():
        for kind in ("pdf", "svg"):
            paths.append(folder / f"{name}.{kind}")
            write_atomically(paths[-1], rendered(figure, kind))
    return paths


def draw_patterns(found: Assessment) -> Figure:
    """CCC and coverage by pattern of missing modalities, beside baselines and raters."""
    patterns = list(found.scores["model"])
    figure, axes = _figure(1.35 + 0.42 * len(patterns), 1, 2, sharey=True)
    at = np.arange(len(patterns))[::-1]
    for axis, score, title in zip(axes, ("ccc", "coverage90"), ("CCC", "in the 90 % interval"), strict=True):
        for k, (name, scores) in enumerate(reversed(found.scores.items())):
            values = [scores[pattern].get(score, np.nan) for pattern in patterns]
            colour, marker = (BLUE, "o") if name == "model" else OTHERS[k % len(OTHERS)]
            size, order = (48, 4) if name == "model" else (24, 3)
            axis.scatter(values, at, s=size, color=colour, marker=marker, label=one_line(name), zorder=order)
        axis.set(xlabel=title, ylim=(-0.6, len(patterns) - 0.4))
        axis.set_yticks(at, patterns)
    _wanted(axes[1].axvspan, axes[1].axvline)
    axes[1].set_xlim(right=1.02)
    if found.raters is not None and not np.isnan(values := [*found.raters.others.values()]).all():
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        axes[0].axvspan(low, high, color=ORANGE, alpha=0.15, linewidth=0)
        axes[0].axvline(float(np.nanmean(values)), color=ORANGE, linewidth=1.2,
                        label="a rater with the others: mean, range")  # fmt: skip
    _with_zero(axes[0].get_xlim, axes[0].set_xlim)
    _legend(figure, axes[0])
    return figure


def draw_people(found: Assessment) -> Figure:
    """CCC, RMSE and coverage of each person."""
    people = list(found.by_person.people.items())[:PEOPLE]
    figure, axes = _figure(1.1 + 0.22 * len(people), 1, 3, sharey=True)
    at = np.arange(len(people))[::-1]
    for axis, score, title in zip(
        axes, ("ccc", "rmse", "coverage90"), ("CCC", "RMSE", "in the 90 % interval"), strict=True
    ):
        axis.scatter([scores[score] for _, scores in people], at, color=BLUE, s=26, zorder=3)
        axis.axvline(found.scores["model"]["all"][score], color="0.3", linewidth=1, linestyle=(0, (4, 3)),
                     label="all together")  # fmt: skip
        axis.set(xlabel=title, ylim=(-0.7, len(people) - 0.3))
        axis.set_yticks(at, [one_line(name)[:24] for name, _ in people])
    _with_zero(axes[0].get_xlim, axes[0].set_xlim)
    _with_zero(axes[1].get_xlim, axes[1].set_xlim)
    _wanted(axes[2].axvspan, axes[2].axvline)
    axes[2].set_xlim(right=1.02)
    _legend(figure, axes[0])
    return figure


def draw_sessions(found: Assessment) -> Figure:
    """Label and estimate over time, first of one session of each person."""
    first = {session.person: session for session in reversed(found.sessions)}.values()
    chosen = [*reversed(first), *(s for s in found.sessions if all(s is not one for one in first))][:STRIPS]
    figure, axes = _figure(0.8 + 1.15 * len(chosen), len(chosen), 1, sharey=True)
    for axis, session in zip(axes, chosen, strict=True):
        length = len(session.truth)
        step = max(1, -(-length // POINTS))
        t = np.arange(0, length, step) / found.config.rate
        mean, low, high = (part[::step] for part in session.predicted)
        axis.fill_between(t, low, high, color=BLUE, alpha=0.18, linewidth=0, label="90 % interval")
        axis.plot(t, mean, color=BLUE, label="estimate")
        axis.plot(t, session.truth[::step], color=ORANGE, label="label")
        named = session.person if session.name == session.person else f"{session.person}: {session.name}"
        axis.set_title(named[:80], loc="left")
        axis.set(xlim=(0, length / found.config.rate), ylabel=one_line(found.target.name)[:16])
        if found.target.likelihood == "logit_normal":
            axis.set_ylim(0, 1)
    axes[-1].set_xlabel("time, s")
    _legend(figure, axes[0])
    return figure


def draw_over_time(found: Assessment) -> Figure:
    """RMSE and coverage by the time since the start of a session."""
    figure, axes = _figure(2.4, 1, 2)
    names = list(found.times)
    at = np.arange(len(names))
    for axis, score, title in zip(
        axes, ("rmse", "coverage90"), ("RMSE", "in the 90 % interval"), strict=True
    ):
        axis.plot(
            at, [scores[score] for scores in found.times.values()], color=BLUE, marker="o", markersize=4
        )
        axis.set_xticks(at, [name.partition("–")[0] for name in names])
        axis.set(xlabel="since the start, from min:s", ylabel=title)
    _with_zero(axes[0].get_ylim, axes[0].set_ylim)
    _wanted(axes[1].axhspan, axes[1].axhline)
    axes[1].set_ylim(top=1.02)
    return figure


def draw_within_and_between(found: Assessment) -> Figure:
    """Labels and estimates: changes around each session's mean, and the sessions' means."""
    figure, axes = _figure(3.5, 1, 2)
    pairs = [session.labelled for session in found.sessions]
    truth = np.concatenate([y.ravel() - y.mean() for y, _ in pairs])
    estimate = np.concatenate([p.mean.ravel() - p.mean.mean() for _, p in pairs])
    reach = max(float(np.quantile(np.abs([*truth, *estimate]), 0.995)), 1e-6) * 1.05
    axes[0].hexbin(truth, estimate, gridsize=28, cmap="Blues", bins="log", mincnt=1, linewidths=0.1,
                   extent=(-reach, reach, -reach, reach))  # fmt: skip
    axes[0].set(xlim=(-reach, reach), ylim=(-reach, reach))
    axes[0].set_title(f"within sessions, CCC {_figure_of(found.by_person.within)}", loc="left")
    means = np.array([(y.mean(), p.mean.mean()) for y, p in pairs])
    low, high = float(means.min()), float(means.max())
    margin = 0.1 * max(high - low, 0.05)
    axes[1].scatter(means[:, 0], means[:, 1], color=BLUE, s=26, zorder=3)
    axes[1].set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin))
    axes[1].set_title(f"between sessions, CCC {_figure_of(found.by_person.between)}", loc="left")
    for axis, what in zip(axes, ("less its mean", "mean of a session"), strict=True):
        axis.axline((0, 0), slope=1, color="0.3", linewidth=1, linestyle=(0, (4, 3)))
        axis.set(xlabel=f"label, {what}", ylabel=f"estimate, {what}", aspect="equal")
    return figure


def draw_calibration(found: Assessment) -> Figure:
    """The share of labels that each central interval holds, and where labels fall in their distributions."""
    figure, axes = _figure(3.3, 1, 2)
    by_person = residuals(found)
    needed = norm.ppf((1 + LEVELS) / 2)
    held = {name: [(np.abs(z) <= one).mean() for one in needed] for name, z in by_person.items()}
    for k, shares in enumerate(held.values()):
        axes[0].plot(LEVELS, shares, color=GREY, linewidth=0.7, label="a person" if not k else "_")
    axes[0].plot(LEVELS, np.mean([*held.values()], 0), color=BLUE, linewidth=2, label="mean of people")
    axes[0].plot([0, 1], [0, 1], color="0.3", linewidth=1, linestyle=(0, (4, 3)), label="as it should be")
    axes[0].set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes[0].set(xlabel="central interval of the prediction", ylabel="share of labels in it")
    axes[0].legend(loc="upper left")
    edges = np.linspace(0, 1, 11)
    counts = [np.histogram(norm.cdf(z), edges)[0] / len(z) for z in by_person.values()]
    axes[1].bar(edges[:-1], np.mean(counts, 0), 0.1, align="edge", color=BLUE, edgecolor="white", linewidth=1)
    axes[1].axhline(0.1, color="0.3", linewidth=1, linestyle=(0, (4, 3)))
    axes[1].set(xlabel="quantile of the prediction at the label", ylabel="share of labels", xlim=(0, 1))
    return figure


def _figure(height: float, rows: int, columns: int, **options: Any) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.ravel())


def _with_zero(limits: Callable[[], tuple[float, float]], limit: Callable[[float, float], object]) -> None:
    """Make an axis include 0, at its edge if all is above."""
    low, high = limits()
    limit(min(low, 0.0), max(high, 0.0) + 0.05 * abs(high))


def _wanted(span: Callable[..., object], line: Callable[..., object]) -> None:
    """Shade where the share of labels in the 90 % interval should be."""
    span(*WANTED, color="0.92", zorder=0, linewidth=0)
    line(0.9, color="0.6", zorder=1, linewidth=1)


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda k: labels[k] != "model")
    figure.legend([handles[k] for k in order], [labels[k] for k in order], loc="outside upper left", ncols=7,
                  columnspacing=1.2, handletextpad=0.4)  # fmt: skip


def _figure_of(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"
