"""How far the raters of a study agree on one dimension, before and after their lags are taken out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..contracts.errors import UserError
from . import agreement
from .check import Checked
from .consensus import RATE, Consensus, consensus, ticks
from .features import features_at
from .study import Dimension, Study

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Coefficients:
    """See `agreement`.

    Attributes:
        pairs: mean concordance of the pairs of raters.
        single, average: ICC(2,1) and ICC(2,k), over ticks that all rated.
        alpha: Krippendorff's, ordinal if the dimension has levels, otherwise interval.
        rest: concordance of each rater with the mean of the others, `[R]`.
        complete: share of the ticks rated by two or more that all rated.
    """

    pairs: float
    single: float
    average: float
    alpha: float
    rest: Array
    complete: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of one dimension.

    Attributes:
        sessions: those with labels of it, in the order of `consensus`.
        times: s; of their ticks.
        features: modalities that gave the lag which all raters share; empty: unknown, the quickest has 0.
    """

    dimension: Dimension
    sessions: tuple[Checked, ...]
    times: tuple[Array, ...]
    features: tuple[str, ...]
    consensus: Consensus
    before: Coefficients
    after: Coefficients


def agreement_of(
    study: Study, checked: Sequence[Checked], name: str, *, use_features: bool = True
) -> Agreement:
    """The agreement on the dimension of that name, over all sessions that can be read.

    Lags are estimated for traces only: turns are rated afterwards.

    Raises:
        UserError: no such dimension; nobody rated it; a rater with two spellings.
    """
    dimension = study.dimension(name)
    sessions = [
        one for one in checked if one.seconds > 0 and any(label.dimension == name for label in one.labels)
    ]
    labels = [[label for label in one.labels if label.dimension == name] for one in sessions]
    if not sessions:
        raise UserError(
            f"{study.folder}: nobody has rated {name} yet; enrapt study status shows what there is"
        )
    _check_raters(label.rater for each in labels for label in each)
    spans = [(one.start or 0.0, one.end or 0.0) for one in sessions]
    if dimension.kind == "session":  # one rating each, however long it is
        spans = [(start, start) for start, _ in spans]
    times = [ticks(span) for span in spans]
    trace = dimension.kind == "trace"
    common = _common_modalities(sessions) if trace and use_features else ()
    given = [features_at(one.session.folder, common, at) for one, at in zip(sessions, times, strict=True)]
    if len({each.shape[1] for each in given if each is not None}) != 1:  # none, or not the same in all
        given, common = [None] * len(sessions), ()
    found = consensus(labels, spans, given, lags=trace)
    ordinal = bool(dimension.levels)
    return Agreement(
        dimension,
        tuple(sessions),
        tuple(times),
        common,
        found,
        coefficients(found.before, ordinal),
        coefficients(found.ratings, ordinal),
    )


def _check_raters(names: Iterable[str]) -> None:
    """Refuse two spellings of a name: one rater, counted as two, would agree with themselves."""
    known: dict[str, str] = {}
    for name in sorted({*names}):
        if (other := known.setdefault(name.casefold(), name)) != name:
            raise UserError(
                f"the raters {other} and {name} are probably one; rename the label files of one of them"
            )


def coefficients(sessions: Sequence[Array], ordinal: bool) -> Coefficients:
    """The coefficients over the ticks of all sessions, `[R, N]` each; ICC and alpha over one a second."""
    rows = np.concatenate(sessions, 1)
    seconds = np.concatenate([session[:, :: round(RATE)] for session in sessions], 1)
    rated = (~np.isnan(seconds)).sum(0)
    table = agreement.pairwise(rows)
    pairs = table[np.triu_indices(len(rows), 1)]
    single, average = agreement.intraclass(seconds)
    return Coefficients(
        float(np.nanmean(pairs)) if (~np.isnan(pairs)).any() else float("nan"),
        single,
        average,
        agreement.krippendorff(seconds, "ordinal" if ordinal else "interval"),
        agreement.against_the_rest(rows),
        float((rated == len(rows)).sum() / max((rated >= 2).sum(), 1)) if len(rows) > 1 else float("nan"),
    )


def _common_modalities(sessions: Sequence[Checked]) -> tuple[str, ...]:
    """Modalities that all have, with the same schema."""
    first, *others = sessions
    return tuple(
        name
        for name, schema in first.schemas.items()
        if all(one.schemas.get(name, ...) == schema for one in others)
    )
