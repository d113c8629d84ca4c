"""Who spoke before the end of each rated turn, and how that goes with the rating."""

from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

RATE: Final = 25
WINDOWS: Final = {
    "own speech": 10,
    "partner's speech": 30,
    "both": 30,
    "silence": 30,
}  # s before a turn's end

DURATIONS: Final = ("own utterance", "partner's utterance", "own pause", "partner's pause",
                    "gap before own", "gap before partner's")  # fmt: skip


class Rated(NamedTuple):
    """The rated turns of one conversation.

    Attributes:
        ratings: `[N]`.
        ends: s, `[N]`.
        x: `[N]` by name: shares of the time before the turn's end, and the logarithm of its length.
        own, partner: whether each speaks, `[T]`.
    """

    ratings: Array
    ends: Array
    x: dict[str, Array]
    own: Flags
    partner: Flags


def rated_turns(own: Flags, partner: Flags, turns: list[tuple[float, float, float]]) -> Rated:
    """`own` and `partner` say who speaks, `[T]`; a turn has a start and an end in seconds, and a rating."""
    starts, ends, ratings = np.array(turns, float).T
    heard = {
        "own speech": own,
        "partner's speech": partner,
        "both": own & partner,
        "silence": ~own & ~partner,
    }
    x = {}
    for name, seconds in WINDOWS.items():
        sums = np.concatenate([[0], np.cumsum(heard[name])])
        last = np.minimum((ends * RATE).astype(int), len(own))
        first = np.maximum(last - seconds * RATE, 0)
        x[name] = (sums[last] - sums[first]) / np.maximum(last - first, 1)
    x["length of the turn"] = np.log(ends - starts + 0.2)
    return Rated(ratings, ends, x, own, partner)


def within(a: Array, b: Array, of: NDArray[np.int64]) -> float:
    """Correlation of deviations from the mean of each group; `of` numbers the groups."""
    both = np.isfinite(a) & np.isfinite(b)
    of = of[both]
    a, b = (v[both] - (np.bincount(of, v[both]) / np.maximum(np.bincount(of), 1))[of] for v in (a, b))
    return float(np.corrcoef(a, b)[0, 1])


def effects(conversations: list[Rated]) -> dict[str, float]:
    """Correlation with the rating within conversations, by name."""
    of = np.repeat(np.arange(len(conversations)), [len(c.ratings) for c in conversations])
    ratings = np.concatenate([c.ratings for c in conversations])
    names = conversations[0].x
    return {name: within(np.concatenate([c.x[name] for c in conversations]), ratings, of) for name in names}


def levels(conversations: list[Rated]) -> dict[str, float]:
    """Correlation of the means of conversations, by name."""
    ratings = [c.ratings.mean() for c in conversations]
    return {
        name: float(np.corrcoef([c.x[name].mean() for c in conversations], ratings)[0, 1])
        for name in conversations[0].x
    }


def persistence(conversations: list[Rated], step: float = 15.0, count: int = 5) -> tuple[float, ...]:
    """Autocorrelation of ratings within conversations, by `step` s between turns' ends."""
    sums, numbers, variance = np.zeros(count), np.zeros(count), []
    for c in conversations:
        y = c.ratings - c.ratings.mean()
        variance.append(np.mean(y**2))
        first, second = np.triu_indices(len(y), 1)
        lag = ((c.ends[second] - c.ends[first]) / step).astype(int)
        near = lag < count
        sums += np.bincount(lag[near], (y[first] * y[second])[near], count)
        numbers += np.bincount(lag[near], minlength=count)
    return tuple(sums / numbers / np.mean(variance))


def speech(conversations: list[Rated]) -> tuple[dict[str, tuple[float, ...]], dict[str, float]]:
    """Quartiles of utterances, of pauses between two of the same speaker, and of gaps before the other's
    utterance (negative where it begins before the end of the one before), in seconds; and how much of the
    time each speaks."""
    found: dict[str, list[float]] = {name: [] for name in DURATIONS}
    for c in conversations:
        spans = sorted(
            (start, end, speaker)
            for speaker, speech in enumerate((c.own, c.partner))
            for start, end in stretches(speech)
        )
        for start, end, speaker in spans:
            found[DURATIONS[speaker]].append((end - start) / RATE)
        for (_, before, first), (start, _, second) in pairwise(spans):
            found[DURATIONS[2 + second + 2 * (first != second)]].append((start - before) / RATE)
    every = [(c.own.mean(), c.partner.mean(), (c.own & c.partner).mean()) for c in conversations]
    own, partner, both = np.mean(every, 0)
    shares = {"own": own, "partner's": partner, "both": both, "nobody": 1 - own - partner + both}
    quartiles = {name: tuple(np.quantile(v, (0.25, 0.5, 0.75)).tolist()) for name, v in found.items() if v}
    return quartiles, shares


def stretches(flags: Flags) -> list[tuple[int, int]]:
    """First tick, and tick after the last, of each unbroken stretch."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags, [0]]).astype(int)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
