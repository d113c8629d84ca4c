"""A picture of raters: their traces without their lag, the consensus, and its spread; a strip a session."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..contracts.errors import one_line
from ..contracts.files import write_atomically
from .consensus import Consensus

# Okabe and Ito (2008), distinguishable with any kind of colour vision.
_COLOURS: Final = ("#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
_BLUE: Final = "#0072B2"
STRIPS: Final = 8  # sessions that are drawn
_NAMED: Final = 12  # raters in the legend


def draw_agreement(
    found: Consensus,
    times: Sequence[NDArray[np.float64]],
    names: Sequence[str],
    dimension: str,
    bounds: tuple[float, float],
    path: Path,
) -> None:
    """Write a PNG of the first `STRIPS` sessions.

    Args:
        times: s, of each session.
        bounds: of the dimension.

    Raises:
        UserError: it cannot be written.
    """
    shown = range(min(len(names), STRIPS))
    figure = Figure(figsize=(10, 1.2 + 2.1 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    strips = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    margin = 0.03 * (bounds[1] - bounds[0])
    for k, axes in zip(shown, strips, strict=True):
        at, values, spread = times[k], found.values[k], found.spread[k]
        low, high = np.clip([values - spread, values + spread], *bounds)
        axes.plot(at, values, color=_BLUE, linewidth=2, zorder=3, label="consensus")
        axes.fill_between(at, low, high, color=_BLUE, alpha=0.2, linewidth=0, label="spread (1 SD)")
        for row, rater, lag in zip(found.ratings[k], found.raters, found.lags, strict=True):
            place = found.raters.index(rater)
            late = "" if np.isnan(lag) else f", {lag:.1f} s late"
            named = one_line(rater) + late if place < _NAMED else "_"
            axes.plot(at, row, color=_COLOURS[place % len(_COLOURS)], linewidth=0.9, label=named)
        axes.set(xlim=(at[0], at[-1]), ylim=(bounds[0] - margin, bounds[1] + margin), ylabel=dimension)
        axes.set_title(one_line(names[k]), loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    shifted = not np.isnan(found.lags).all()
    strips[-1].set_xlabel("seconds" + ", each trace earlier by its rater's lag" * shifted)
    handles, legends = strips[0].get_legend_handles_labels()
    figure.legend(handles, legends, loc="outside upper center", ncols=5, fontsize=8, frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    write_atomically(path, picture.getvalue())
