"""Sequences for training and evaluation: simulated conversations, or recorded sessions.

Everything random follows from a seed and a number, so a run repeats bit for bit.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..contracts.errors import UserError
from ..contracts.schemas import AUDIO, FACE
from .batch import Batch
from .config import ARRAYS, MAX_NUMBERS, SIMULATED, Config
from .datasets import conversation, recordings
from .likelihoods import LOCATION_SCALE

People = Literal["validation", "test"]  # to choose between models; to report the chosen one

# Number of the first held-out group; no training round has such a number.
FIRST: Final = {"validation": 2**31 - 2_000, "test": 2**31 - 1_000}
MOMENTS: Final = 2**31 - 1
MOMENT_SESSIONS: Final = 256  # sessions for the normalisation
GROUPS: Final = 6  # of held-out people; engagement is slow, so with fewer the CCC varies by 0.05
PEOPLE: Final = 128  # per group


class Conversations:
    """Simulated people, new ones every round.

    Raises:
        UserError: the configuration has modalities that are not simulated, or long sessions.
    """

    def __init__(self, config: Config) -> None:
        simulated = {"face": FACE.dim, "audio": AUDIO.dim, "engagement": 1}
        for m in config.model.modalities:
            if simulated.get(m.name) != m.dim:
                known = ", ".join(f"{name} of {dim}" for name, dim in simulated.items())
                raise UserError(f"{m.name}: conversations have {known}; for others name a folder in data")
        if MOMENT_SESSIONS * config.ticks * sum(simulated.values()) > MAX_NUMBERS:
            raise UserError(f"session_seconds {config.training.session_seconds:g}: give less")
        self.ticks, self.rate = config.ticks, config.rate

    def people(self, seed: int, number: int, count: int) -> Batch:
        """`count` people, the same for the same seed and number."""
        rng = np.random.default_rng((seed, number))
        sessions = conversation.simulate(rng, count, self.ticks, self.rate)
        return Batch(
            {k: torch.from_numpy(v) for k, v in sessions.values.items()},
            {k: torch.from_numpy(v) for k, v in sessions.available.items()},
        )

    def training(self, seed: int, round_: int, streams: int) -> Iterator[Batch]:
        """The sessions of a round."""
        yield self.people(seed, round_, streams)

    def moments(self, seed: int) -> Batch:
        """Sessions for the normalisation."""
        return self.people(seed, MOMENTS, MOMENT_SESSIONS)

    def held_out(self, seed: int, people: People, groups: int = GROUPS) -> Iterator[tuple[int, Batch]]:
        """Groups of people not used in training, with their numbers."""
        for number in range(FIRST[people], FIRST[people] + groups):
            yield number, self.people(seed, number, PEOPLE)


class Recordings:
    """Recorded sessions of a folder, see `datasets.recordings`; a round takes random excerpts.

    Args:
        training: whether sessions for training are read, and for validation checked.

    Raises:
        UserError: no sessions for training or validation, or an invalid one.
    """

    def __init__(self, config: Config, training: bool) -> None:
        self.folder, self.modalities = Path(config.training.data), config.model.modalities
        self.jitter = config.training.jitter
        self.ticks, self.epochs, self.ignore = config.ticks, config.training.epochs, config.training.ignore
        self.sessions = (
            recordings.read(self.folder, "train", self.modalities, self.ignore) if training else []
        )
        if training and (config.training.early_stopping or config.training.calibrate):  # fail now, not later
            self.read("validation")

    def read(self, part: str) -> list[recordings.Session]:
        """The sessions of a part of the folder."""
        return recordings.read(self.folder, part, self.modalities, self.ignore)

    def batch(self, sessions: list[recordings.Session]) -> Batch:
        """Sessions in parallel; the ends of shorter ones are not available."""
        length = max(len(v) for session in sessions for v in session.values())
        if len(sessions) * length * sum(m.dim for m in self.modalities) > recordings.MAX_NUMBERS:
            raise UserError(f"{self.folder}: one session is much longer than others; divide it")
        x, available = {}, {}
        for m in self.modalities:
            values = torch.full((len(sessions), length, *m.shape), torch.nan)
            for row, session in zip(values, sessions, strict=True):
                row[: len(session[m.name])] = torch.from_numpy(session[m.name])
            available[m.name] = ~values.flatten(2).isnan().any(-1)
            x[m.name] = values
        spread = {}
        for m in self.modalities:
            name = f"{m.name}{recordings.SPREAD}"
            if m.role == "target" and any(name in session for session in sessions):
                spread[m.name] = torch.zeros_like(x[m.name])
                for row, session in zip(spread[m.name], sessions, strict=True):
                    if name in session:
                        row[: len(session[name])] = torch.from_numpy(session[name])
        return Batch(x, available, spread)

    def training(self, seed: int, round_: int, streams: int) -> Iterator[Batch]:
        """`streams` excerpts: sessions drawn in proportion to their length, each with a random start. Or,
        with `epochs`, all sessions in random order, `streams` at a time."""
        rng = np.random.default_rng((seed, round_))
        if self.epochs:
            order = rng.permutation(len(self.sessions))
            for start in range(0, len(order), streams):
                chosen = [self.sessions[i] for i in order[start : start + streams]]
                yield self._jittered(self.batch(chosen), rng)
            return
        lengths = np.array([len(next(iter(s.values()))) for s in self.sessions])
        excerpts = []
        for index in rng.choice(len(lengths), streams, p=lengths / lengths.sum()):
            start = rng.integers(max(lengths[index] - self.ticks, 0) + 1)
            excerpts.append({k: v[start : start + self.ticks] for k, v in self.sessions[index].items()})
        yield self._jittered(self.batch(excerpts), rng)

    def _jittered(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """A random constant added to each feature of each excerpt."""
        if not self.jitter:
            return batch
        x = dict(batch.x)
        for name, spread in self._spreads.items():
            size = (len(x[name]), 1, *spread.shape)
            x[name] = x[name] + torch.from_numpy(
                self.jitter * rng.normal(size=size).astype(np.float32) * spread
            )
        return batch._replace(x=x)

    @cached_property
    def _spreads(self) -> dict[str, NDArray[np.float32]]:
        """Standard deviation of the observed numbers of the training sessions, by modality."""
        observed = [m for m in self.modalities if m.role == "observed" and m.likelihood in LOCATION_SCALE]
        joined = {m.name: np.concatenate([s[m.name] for s in self.sessions]) for m in observed}
        return {k: np.nanstd(v, 0) for k, v in joined.items() if not np.isnan(v).all()}

    def moments(self, seed: int) -> Batch:
        """All training sessions, one after the other."""
        joined = {m.name: np.concatenate([s[m.name] for s in self.sessions]) for m in self.modalities}
        return self.batch([joined])

    def held_out(self, seed: int, people: People, groups: int = 1) -> Iterator[tuple[int, Batch]]:
        """The folder's held-out sessions, in groups of similar length."""
        sessions = self.read(people)
        for number, group in enumerate(by_length(sessions), FIRST[people]):
            yield number, self.batch([sessions[k] for k in group])


def by_length(sessions: list[recordings.Session]) -> list[list[int]]:
    """Indices of sessions, the longest first, in groups of similar length, so that little is padded."""
    lengths = [len(next(iter(session.values()))) for session in sessions]
    groups: list[list[int]] = []
    for k in sorted(range(len(sessions)), key=lambda k: -lengths[k]):
        if not groups or 2 * lengths[k] < lengths[groups[-1][0]]:
            groups.append([])
        groups[-1].append(k)
    return groups


class Arrays:
    """Data that were given in Python; a round takes all of them once, in random order, `size` at a time; one
    that would be left alone goes with the batch before."""

    def __init__(self, data: Batch, validation: Batch | None, size: int) -> None:
        self.data, self.validation, self.size = data, validation, size

    def training(self, seed: int, round_: int, streams: int) -> Iterator[Batch]:
        """The batches of a round."""
        order = torch.from_numpy(np.random.default_rng((seed, round_)).permutation(self.data.size))
        parts = [*order.split(streams)]
        if len(parts) > 1 and len(parts[-1]) == 1 < streams:  # of one alone a batch normalisation fails
            parts[-2:] = [torch.cat(parts[-2:])]
        for part in parts:
            yield self.data.rows(part)

    def moments(self, seed: int) -> Batch:
        """All data."""
        return self.data

    def held_out(self, seed: int, people: People, groups: int = 1) -> Iterator[tuple[int, Batch]]:
        """The validation data."""
        assert self.validation is not None
        for number, start in enumerate(range(0, self.validation.size, self.size)):
            yield FIRST[people] + number, self.validation.rows(slice(start, start + self.size))


Data = Conversations | Recordings | Arrays


def load_data(config: Config, training: bool = True) -> Data:
    """The data that a configuration names; without `training`, those of held-out people only.

    Raises:
        UserError: as `Recordings`.
    """
    if config.training.data == ARRAYS:
        raise UserError(
            f"{config.name}: was trained from arrays in Python, which are not kept; to evaluate "
            "it, train from a folder of sessions, see docs/train.md"
        )
    simulated = config.training.data == SIMULATED
    return Conversations(config) if simulated else Recordings(config, training)
