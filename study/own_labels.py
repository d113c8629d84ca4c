"""The labels of one session at the times of its ticks, as training takes them, for its person's profile."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..contracts.errors import UserError
from .check import check_session
from .dataset import labelled
from .labels import of_session
from .study import TOML, Description, Dimension, Study, StudySession, read_study
from .summary import agreement_of

Array = NDArray[np.float64]


def labels_at(session: Path, name: str, times: Array) -> Array | None:
    """The consensus of the session's raters on that dimension, 0 to 1, `[T]`, NaN where nobody rated; None
    where nobody did at all.

    Lags and weights of raters are estimated from all sessions of the study that the session belongs to;
    without a study, from this one, whose values are 0 to 1.

    Raises:
        UserError: labels that cannot be read, or are outside of the recording or its range.
    """
    if not any(label.dimension == name for label in of_session(session)):
        return None
    study = study_of(session, name)
    checked = [check_session(one, study.description.dimensions) for one in study.sessions]
    (own,) = (one for one in checked if one.session.folder.samefile(session))
    if wrong := [line for line in own.problems if line not in own.lost]:
        raise UserError(f"{session}: {wrong[0]}")
    usable = [one for one in checked if one is own or not one.problems]
    return labelled(agreement_of(study, usable, name), own, times)[0]


def study_of(session: Path, name: str) -> Study:
    """The study that the session belongs to; else one of it alone, in which that dimension is 0 to 1."""
    for folder in session.absolute().parents:
        if (folder / TOML).is_file():
            found = read_study(folder)
            if any(one.folder.samefile(session) for one in found.sessions if one.folder.exists()):
                return found
    alone = StudySession(session.name, session, session.name)
    return Study(session, Description(name="", dimensions=(Dimension(name),)), (alone,))
