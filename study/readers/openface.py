"""Tables of OpenFace 2 (`FeatureExtraction`, `FaceLandmarkVidMulti`): `openface/1`.

Columns (https://github.com/TadasBaltrusaitis/OpenFace/wiki/Output-Format): `timestamp` (s), `confidence` of
the tracker (0 to 1), `success`, then features; `face_id` tells several faces apart. Names may have a space
before them.
"""

from pathlib import Path
from typing import Final

import numpy as np

from ...contracts.errors import UserError
from ...contracts.schemas import OPENFACE
from .contents import Samples
from .table import Table

MIN_CONFIDENCE: Final = 0.5  # below it OpenFace calls a face lost
_HEAD: Final = ("timestamp", "confidence", "success")


def is_openface(table: Table) -> bool:
    """Whether the columns are those of OpenFace."""
    return {*_HEAD, "frame"} <= set(table.names)


def read_openface(path: Path, min_confidence: float = MIN_CONFIDENCE) -> Samples:
    """The face's features; missing where `success` is 0 or the confidence is less than `min_confidence`.

    Raises:
        UserError: the file cannot be read, or lacks columns; it has several faces.
    """
    table = Table(path)
    if lacking := [name for name in (*_HEAD, *OPENFACE.features) if name not in table.names]:
        raise UserError(
            f"{path}: lacks {', '.join(lacking[:4])}{', …' * (len(lacking) > 4)}: run OpenFace with "
            "-pose -gaze -aus, or give a --mapping"
        )
    face = ["face_id"] if "face_id" in table.names else []
    numbers = table.numbers([*_HEAD, *OPENFACE.features, *face])
    if face and len(np.unique(numbers[:, -1])) > 1:
        raise UserError(f"{path}: {len(np.unique(numbers[:, -1]))} faces (face_id); give a file with one")
    values = numbers[:, 3 : 3 + OPENFACE.dim]
    lost = ~((numbers[:, 2] == 1) & (numbers[:, 1] >= min_confidence)) | ~np.isfinite(values).all(1)
    values[lost] = np.nan
    notes = [f"{lost.sum()} of {len(lost)} pictures without a face (success, confidence)"] * bool(lost.any())
    return Samples(path.stem, numbers[:, 0], values, OPENFACE.features, OPENFACE.name, notes=tuple(notes))
