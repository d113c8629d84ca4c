"""Tables of openSMILE (`-csvoutput`, `-lldcsvoutput`): `name;frameTime;feature;…`, a plain vector.

`frameTime` is the start of the frame, and a sample's time should be when all that it covers had been heard:
add the length of the frames, which the file does not say, as an offset.
"""

from pathlib import Path

import numpy as np

from ...contracts.errors import UserError
from .contents import Samples
from .table import Table


def is_opensmile(table: Table) -> bool:
    """Whether the columns are those of openSMILE."""
    return "frameTime" in table.names and table.separator == ";"


def read_opensmile(path: Path) -> Samples:
    """All features. Frames in which one is not finite are missing.

    Raises:
        UserError: the file cannot be read, or is not openSMILE's.
    """
    table = Table(path)
    if not is_opensmile(table):
        raise UserError(f"{path}: not openSMILE's: no column frameTime between semicolons")
    features = tuple(name for name in table.names if name not in ("name", "frameTime"))
    numbers = table.numbers(["frameTime", *features])
    values = numbers[:, 1:]
    values[~np.isfinite(values).all(1)] = np.nan
    return Samples(path.stem, numbers[:, 0], values, features)
