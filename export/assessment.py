"""What a report shows of a trained model: its scores on held-out people, in every respect."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..contracts.errors import UserError, one_line
from ..models.by_person import (
    ByPerson,
    Session,
    indexed,
    predicted_sessions,
    score_by_person,
    score_over_time,
)
from ..models.calibration import places
from ..models.causal import Causal
from ..models.config import Config
from ..models.data import People
from ..models.datasets.recordings import PARTS
from ..models.evaluation import Scores
from ..models.metrics import Array
from ..models.modality import Modality
from ..models.target import HALF_WIDTH

RATERS: Final = "raters.json"  # beside the sessions


@dataclass(frozen=True, slots=True)
class Raters:
    """Of the people that are scored.

    Attributes:
        others: concordance of each rater with the mean of the others, by name; NaN: not known.
        agreement: other coefficients, by name.
    """

    others: dict[str, float]
    agreement: dict[str, float]


@dataclass(frozen=True, slots=True)
class Assessment:
    """Attributes:
    people: whose scores these are, `validation` or `test`.
    divided: the number of people in each part.
    scores: of the model, and of each baseline, by pattern of missing modalities.
    times: scores by time since the start.
    raters: None where the sessions have no record of them.
    widening: the factor by which intervals were calibrated; None: they were not.
    """

    config: Config
    target: Modality
    people: People
    divided: dict[str, int]
    scores: dict[str, Scores]
    sessions: list[Session]
    by_person: ByPerson
    times: dict[str, dict[str, float]]
    raters: Raters | None
    widening: float | None


def assess(model: Causal, config: Config, people: People, scores: dict[str, Scores]) -> Assessment:
    """The assessment of a model of one numeric target in recorded sessions.

    Args:
        scores: of the model, and of baselines.

    Raises:
        UserError: as `predicted_sessions`; `raters.json` is damaged.
    """
    (target,) = model.targets
    sessions, folder = predicted_sessions(model, config, people), Path(config.training.data)
    return Assessment(
        config,
        target,
        people,
        {part: len({person for person, _ in indexed(folder, part)}) for part in PARTS},
        scores,
        sessions,
        score_by_person(sessions, target.likelihood),
        score_over_time(sessions, target.likelihood, config.rate),
        read_raters(folder, people),
        float(model.widening(target)) if config.training.calibrate else None,
    )


def read_raters(folder: Path, people: People) -> Raters | None:
    """The raters of a dataset that was made of a study; None if it was not, or had one rater.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / RATERS
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        part = dict(content["parts"][people])
        others = [math.nan if x is None else float(x) for x in part.pop("with_the_others")]
        names = [one_line(name) for name in content["raters"]]
        agreement = {str(k): math.nan if x is None else float(x) for k, x in part.items()}
        found = Raters(dict(zip(names, others, strict=True)), agreement)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: damaged ({one_line(error)}); train again in another folder") from None
    return found if len(found.others) > 1 else None


def residuals(found: Assessment) -> dict[str, Array]:
    """By person, labels in standard deviations from the centre of their prediction, on the scale on which
    that is symmetric: N(0, 1) if the predicted distributions are right."""
    by_person: dict[str, list[Array]] = {}
    for session in found.sessions:
        truth, predicted = session.labelled
        own = HALF_WIDTH * places(found.target.likelihood, truth, predicted).ravel()
        by_person.setdefault(session.person, []).append(own)
    return {person: np.concatenate(several) for person, several in by_person.items()}
