"""Scores of a target by person, and within and between sessions."""

import json
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from ..contracts.errors import UserError, one_line
from .causal import Causal
from .config import Config
from .data import Recordings
from .evaluation import Predicted, predict, scores
from .metrics import Array, concordance

INDEX: Final = "sessions.json"


class ByPerson(NamedTuple):
    """Attributes:
    people: scores of each person with labels; with `sessions`, their number.
    within: CCC of what differs from the session's mean, over all sessions: how well changes are followed.
    between: CCC of the sessions' means: how well sessions are told apart.
    """

    people: dict[str, dict[str, float]]
    within: float
    between: float


def score_by_person(model: Causal, config: Config, people: str = "test") -> ByPerson:
    """Scores with all modalities as available, of recorded sessions.

    Raises:
        UserError: as `Recordings`; there is no label.
    """
    (target,) = model.targets
    data = Recordings(config, training=False)
    names = persons(data.folder, people)
    by_person: dict[str, list[tuple[Array, ...]]] = {}
    for name, session in zip(names, data.read(people), strict=True):
        batch = data.batch([session])
        known = batch.available[target.name].numpy()
        if known.any():
            seen = {m.name: batch.available[m.name] for m in data.modalities if m.role != "target"}
            found = predict(model, batch, seen).targets[target.name]
            parts = (batch.x[target.name].numpy(), *found)
            by_person.setdefault(name, []).append(tuple(part[known] for part in parts))
    sessions = [each for several in by_person.values() for each in several]
    if not sessions:
        raise UserError(f"{data.folder / people}: no session has a value of {target.name}")
    result = {}
    for name, several in sorted(by_person.items()):
        truth, *predicted = (np.concatenate(part) for part in zip(*several, strict=True))
        result[name] = {"sessions": float(len(several)), "labels": float(len(truth))}
        result[name] |= scores(target.likelihood, truth, Predicted(*predicted))
    truths, means = ([session[k] for session in sessions] for k in (0, 1))
    centred = [np.concatenate([v - v.mean() for v in several]) for several in (truths, means)]
    averages = [np.array([v.mean() for v in several]) for several in (truths, means)]
    return ByPerson(result, concordance(*centred), concordance(*averages))


def persons(folder: Path, part: str) -> list[str]:
    """Whose each file of a part is, in the order of their names: as `sessions.json` says, or the file's name.

    Raises:
        UserError: `sessions.json` is damaged.
    """
    files = [path.name for path in sorted((folder / part).glob("*.npz"))]
    path = folder / INDEX
    if not path.is_file():
        return [Path(name).stem for name in files]
    try:
        index = json.loads(path.read_text(encoding="utf-8"))[part]
        return [one_line(index[name]["person"]) for name in files]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({one_line(error)}); make it again with enrapt train") from None
