"""How well an estimate of CONVERSE's ratings could do: what neighbouring turns' ratings share.

    python benchmarks/turn_ceiling.py CONVERSE_FOLDER

There is one annotator and no second rating. But engagement changes slowly, and the annotator's noise, if it
is drawn anew for each turn, does not: of ratings of the same conversation, 1 − ½ E[(y_i − y_j)²] / Var y is
the share of the variance that turns so far apart have in common (Matheron's variogram, 1963). A decaying
exponential and a constant, fitted to gaps up to 90 s, give the share at a gap of 0, the ratings' reliability;
its root is the correlation that an estimate would have which knew engagement exactly (Spearman 1904). It is
too high if the annotator was led by the rating before, and too low if engagement changes from turn to turn.
Weighted, pairs count by the product of the annotator's confidences.
"""

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from datasets.converse import Conversation, load_converse
from scipy.optimize import curve_fit

GAPS: Final = (0, 8, 15, 22, 30, 45, 60, 90, 120, 200, 600)  # s
FITTED: Final = 7  # of these
START: Final = (0.3, 30.0, 0.2)  # of the fit: decaying share, its s, constant share


class Shared(NamedTuple):
    """Attributes:
    gap: mean distance in time of the pairs of each class, s, `[K]`.
    share: of the variance that these pairs have in common, `[K]`.
    """

    gap: np.ndarray
    share: np.ndarray

    def at_once(self) -> float:
        """The share at a gap of 0."""

        def share(gap: np.ndarray, decaying: float, seconds: float, constant: float) -> np.ndarray:
            return constant + decaying * np.exp(-gap / seconds)

        (decaying, _, constant), _ = curve_fit(share, self.gap[:FITTED], self.share[:FITTED], START)
        return float(decaying + constant)


def shared(people: list[Conversation], weighted: bool) -> Shared:
    turns = [t for c in people for t in c.turns]
    y = np.array([t.engagement for t in turns])
    confidence = np.array([t.confidence if weighted else 1.0 for t in turns])
    variance = np.average((y - np.average(y, weights=confidence)) ** 2, weights=confidence)
    columns: list[np.ndarray] = []
    start = 0
    for c in people:
        rows = np.arange(start, start + len(c.turns))
        start += len(rows)
        one, other = (rows[part] for part in np.triu_indices(len(rows), 1))
        end = np.array([t.end for t in c.turns])
        gap = np.abs(end[one - rows[0]] - end[other - rows[0]]) if len(rows) else np.empty(0)
        half = 0.5 * (y[one] - y[other]) ** 2
        columns.append(np.stack([gap, half, confidence[one] * confidence[other]]))
    gap, half, weight = np.concatenate(columns, 1)
    which = np.digitize(gap, GAPS[1:])
    classes = [which == k for k in range(len(GAPS) - 1)]
    return Shared(
        np.array([gap[rows].mean() for rows in classes]),
        np.array([1 - np.average(half[rows], weights=weight[rows]) / variance for rows in classes]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with speech.csv.gz and turns.csv.gz")
    folder = parser.parse_args().folder
    people = load_converse(folder / "speech.csv.gz", folder / "turns.csv.gz")
    found = {weighted: shared(people, weighted) for weighted in (False, True)}
    print("s apart      in common  weighted")
    for k, (low, high) in enumerate(pairwise(GAPS)):
        print(f"{low:3d} to {high:3d}{found[False].share[k]:13.3f}{found[True].share[k]:10.3f}")
    for label, of in (("at once", lambda v: v), ("its root", lambda v: v**0.5)):
        print(f"{label:10s}{of(found[False].at_once()):13.3f}{of(found[True].at_once()):10.3f}")


if __name__ == "__main__":
    main()
