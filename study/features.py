"""The features of a recorded session at given times."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..contracts.schemas import SCHEMAS
from ..realtime.store.reader import SessionReader
from ..realtime.streams.samples import SECOND

Array = NDArray[np.float64]

_MAX_AGE: Final = 0.5  # s; where the schema has none
_MOST: Final = 0.5  # of the times at which a modality must be there to count


def features_at(folder: Path, modalities: Iterable[str], times: Array) -> Array | None:
    """The newest values of all these modalities at each time, s: `[N, D]`, NaN where one of them is missing.

    A modality that is missing most of the time takes no part; None if all are.

    Raises:
        UserError: not a session, or it has no such modality.
    """
    reader = SessionReader(folder)
    columns = []
    for modality in modalities:
        schema = reader.schemas.get(modality)
        known = SCHEMAS.get(schema.name) if schema is not None else None
        age = known.max_age if known is not None and known.max_age else _MAX_AGE
        rows = sorted(
            ((s.originating_time, s.sequence, s.values) for s, _ in reader.samples(modality)),
            key=lambda row: row[:2],
        )
        if not rows:
            continue
        at = np.array([row[0] for row in rows], np.int64) / SECOND
        newest = np.searchsorted(at, times + 1e-9, "right") - 1
        fresh = (newest >= 0) & (times - at[np.maximum(newest, 0)] <= age)
        found = np.full((len(times), reader.schemas[modality].dim), np.nan)
        for k in np.flatnonzero(fresh).tolist():
            if (values := rows[newest[k]][2]) is not None:
                found[k] = values
        if np.isfinite(found).all(1).mean() > _MOST:
            columns.append(found)
    return np.concatenate(columns, 1) if columns else None
