"""Scores of a target by person, over time, and within and between recorded sessions."""

import json
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from ..contracts.errors import UserError, one_line
from .causal import Causal
from .config import Config
from .data import People, Recordings
from .evaluation import Predicted, predict, scores
from .metrics import Array, concordance

INDEX: Final = "sessions.json"
BINS: Final = 12  # of time, at most
LENGTHS: Final = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200)  # s, of a bin of time


class Session(NamedTuple):
    """A session with a label, and what a model predicts with all that is available.

    Attributes:
        truth: `[T]`, NaN where there is no label.
        predicted: `[T]` each.
    """

    person: str
    name: str
    truth: Array
    predicted: Predicted

    @property
    def labelled(self) -> tuple[Array, Predicted]:
        """The ticks with a label, `[N, 1]` each."""
        known = ~np.isnan(self.truth)
        return self.truth[known, None], Predicted(*(part[known, None] for part in self.predicted))


class ByPerson(NamedTuple):
    """Attributes:
    people: scores of each person with labels; with `sessions` and `labels`, their numbers.
    within: CCC of what differs from the session's mean, over all sessions: how well changes are followed.
    between: CCC of the sessions' means: how well sessions are told apart.
    """

    people: dict[str, dict[str, float]]
    within: float
    between: float


def predicted_sessions(model: Causal, config: Config, people: People = "test") -> list[Session]:
    """The sessions of those people that have a label, predicted as in a live run; by person, then name.

    Raises:
        UserError: as `Recordings`; there is no label.
    """
    (target,) = model.targets
    data = Recordings(config, training=False)
    found = []
    for (person, name), values in zip(indexed(data.folder, people), data.read(people), strict=True):
        batch = data.batch([values])
        known = batch.available[target.name][0].numpy()
        if known.any():
            seen = {m.name: batch.available[m.name] for m in data.modalities if m.role != "target"}
            truth = np.where(known, batch.x[target.name][0, :, 0].numpy(), np.nan)
            parts = predict(model, batch, seen).targets[target.name]
            found.append(Session(person, name, truth, Predicted(*(part[0, :, 0] for part in parts))))
    if not found:
        raise UserError(f"{data.folder / people}: no session has a value of {target.name}")
    return sorted(found, key=lambda session: (session.person, session.name))


def score_by_person(sessions: list[Session], likelihood: str) -> ByPerson:
    """Scores by person, and within and between sessions."""
    people = {}
    for person in dict.fromkeys(session.person for session in sessions):
        own = [session.labelled for session in sessions if session.person == person]
        truth, predicted = joined(own)
        people[person] = {"sessions": float(len(own)), "labels": float(len(truth))}
        people[person] |= scores(likelihood, truth, predicted)
    pairs = [(truth, predicted.mean) for truth, predicted in (session.labelled for session in sessions)]
    truths, means = zip(*pairs, strict=True)
    centred = [np.concatenate([v - v.mean() for v in several]) for several in (truths, means)]
    averages = [np.array([v.mean() for v in several]) for several in (truths, means)]
    return ByPerson(people, concordance(*centred), concordance(*averages))


def score_over_time(sessions: list[Session], likelihood: str, rate: int) -> dict[str, dict[str, float]]:
    """Scores of parts of the sessions by the time since their start, each called as `0:00–1:00`, min:s.

    Args:
        rate: ticks per second.
    """
    longest = max(len(session.truth) for session in sessions) / rate
    length = next((s for s in LENGTHS if longest <= BINS * s), LENGTHS[-1])
    found = {}
    for start in range(0, max(int(np.ceil(longest)), 1), length):
        part = slice(start * rate, (start + length) * rate)
        own = [Session(s.person, s.name, s.truth[part], Predicted(*(v[part] for v in s.predicted)))
               for s in sessions]  # fmt: skip
        truth, predicted = joined([session.labelled for session in own])
        if len(truth):
            name = "–".join(f"{at // 60}:{at % 60:02d}" for at in (start, start + length))
            found[name] = {"labels": float(len(truth))} | scores(likelihood, truth, predicted)
    return found


def joined(parts: list[tuple[Array, Predicted]]) -> tuple[Array, Predicted]:
    """Labels and predictions of several sessions, one after the other."""
    truth, predicted = zip(*parts, strict=True)
    return np.concatenate(truth), Predicted(*(np.concatenate(part) for part in zip(*predicted, strict=True)))


def indexed(folder: Path, part: str) -> list[tuple[str, str]]:
    """Whose each file of a part is, and its session, in the order of the files' names: as `sessions.json`
    says, or both the file's name.

    Raises:
        UserError: `sessions.json` is damaged.
    """
    files = [path.name for path in sorted((folder / part).glob("*.npz"))]
    path = folder / INDEX
    if not path.is_file():
        return [(Path(name).stem, Path(name).stem) for name in files]
    try:
        index = json.loads(path.read_text(encoding="utf-8"))[part]
        return [(one_line(index[name]["person"]), one_line(index[name]["session"])) for name in files]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({one_line(error)}); make it again with enrapt train") from None
