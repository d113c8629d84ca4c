"""Hazumi's sessions as steps of a model, one an exchange, of what is known when the exchange ends.

Face and voice are normalised by the training people's mean and standard deviation, then by the person's own,
which run over the exchanges so far and begin at the training people's:

    mean_t = (N · 0 + Σ_{s≤t} x_s) / (N + t)      E x²_t = (N · 1 + Σ_{s≤t} x_s²) / (N + t)

with N = `PRIOR` exchanges, the weight of other people.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from enrapt.models import Batch

from .hazumi import FACE, QUESTIONS, RATERS, VOICE, Session

PRIOR: Final = 30.0  # exchanges
LIMIT: Final = 5.0  # standard deviations
SHORTEST: Final = 0.5  # s, of a length in logarithms
Array = NDArray[np.float64]


def running(x: Array, prior: float = PRIOR) -> Array:
    """x `[T, D]` normalised by its causal moments, which begin at mean 0 and variance 1; NaN is left out, and
    stays NaN."""
    seen = np.isfinite(x)
    value = np.where(seen, x, 0.0)
    weight = prior + seen.cumsum(0)
    mean = value.cumsum(0) / weight
    variance = (prior + (value**2).cumsum(0)) / weight - mean**2
    return (x - mean) / np.sqrt(np.maximum(variance, 0.01))


class Steps:
    """Sessions as a batch of sequences: `face`, `voice`, `clock`, `length` and the raters' answers.

    clock    the exchange's number and its end, with what decays from the start; which raters answered
    length   logarithms of the exchange, the person's and the agent's part; and beside the person's usual

    Args:
        training: people from whom the moments come; raters of other corpora are unknown.
    """

    def __init__(self, training: Sequence[Session]) -> None:
        self.corpora = sorted({s.corpus for s in training})
        self.moments = {m: _moments(s.x[m] for s in training) for m in ("face", "voice")}
        self.moments["length"] = _moments(map(_lengths, training))
        self.dims = {"clock": len(self.corpora) + 6, "length": 4, "face": FACE, "voice": VOICE}
        self.dims |= dict.fromkeys(QUESTIONS, RATERS)

    def __call__(self, sessions: Sequence[Session]) -> Batch:
        """Sequences in the sessions' order, at the ends of shorter ones missing. Where one rater's answer is
        missing, all are."""
        by_person: dict[str, list[int]] = {}
        for i, session in enumerate(sessions):
            by_person.setdefault(session.person, []).append(i)
        shape = len(sessions), max(len(s.number) for s in sessions)
        x = {m: np.full((*shape, d), np.nan, np.float32) for m, d in self.dims.items()}
        for indices in by_person.values():
            theirs = [sessions[i] for i in indices]
            ends = np.cumsum([len(s.number) for s in theirs])[:-1]
            for m, joined in self._person(theirs).items():
                for i, part in zip(indices, np.split(joined, ends), strict=True):
                    x[m][i, : len(part)] = part
        values = {m: torch.from_numpy(v) for m, v in x.items()}
        available = {m: ~v.isnan().any(-1) for m, v in values.items()}
        return Batch({m: v.nan_to_num() for m, v in values.items()}, available)

    def _person(self, sessions: Sequence[Session]) -> dict[str, Array]:
        """A person's sessions, one after the other, by modality."""
        found = {"clock": np.concatenate([self._clock(s) for s in sessions])}
        for m in ("face", "voice"):
            mean, std = self.moments[m]
            x = (np.concatenate([s.x[m] for s in sessions]) - mean) / std
            found[m] = running(x.clip(-LIMIT, LIMIT)).clip(-LIMIT, LIMIT)
        mean, std = self.moments["length"]
        lengths = (np.concatenate([_lengths(s) for s in sessions]) - mean) / std
        found["length"] = np.nan_to_num(np.concatenate([lengths, running(lengths[:, :1], prior=5.0)], 1))
        return found | {q: np.concatenate([s.ratings[q] for s in sessions]) for q in QUESTIONS}

    def _clock(self, session: Session) -> Array:
        number, at = session.number / 50.0, session.times[:, 2] / 600.0
        raters = np.repeat([[float(session.corpus == c) for c in self.corpora]], len(number), 0)
        powers = [number - 1, at - 1, np.exp(-10 * number), np.exp(-5 * at), number**2 - 1, at**2 - 1]
        return np.concatenate([np.stack(powers, 1).clip(-LIMIT, LIMIT), raters], 1)


def _lengths(session: Session) -> Array:
    """Logarithms of seconds, `[T, 3]`: the exchange, the person's part, the agent's; NaN where unknown."""
    start, spoken, end = session.times.T
    seconds = np.stack([end - start, end - spoken, spoken - start], 1)
    return np.asarray(np.log(np.maximum(seconds, SHORTEST)))


def _moments(parts: Iterable[NDArray[np.floating]]) -> tuple[Array, Array]:
    joined = np.concatenate(list(parts)).astype(np.float64)
    return np.nanmean(joined, 0), np.maximum(np.nanstd(joined, 0), 1e-9)
