"""BAD Robots IRL: gaze and voice, frame by frame, of people who talk with a robot that fails.

A person is one conversation, from before the robot's first failure to after its third. Gaze is OpenFace's
(Baltrušaitis et al. 2018): a unit vector for each eye, two angles in radians. Voice is 23 descriptors of
eGeMAPS (Eyben et al. 2016). The table has zeros for a silent voice and for gaze without a detected face; such
frames are missing here.
"""

import csv
import gzip
import zlib
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from enrapt.contracts.errors import UserError

RATE: Final = 30  # frames/s, about
DIMS: Final = {"gaze": 8, "voice": 23}
KEYS: Final = ("participant", "frame", "binary_label", "multiclass_label")


class Person(NamedTuple):
    """One conversation of T frames.

    Attributes:
        x: raw values by modality, float32 `[T, D]`; 0 where missing.
        available: bool `[T]` by modality.
        label: 1 from the robot's first failure to the end of its third, 0 before and after, float32 `[T]`.
    """

    name: str
    x: dict[str, NDArray[np.float32]]
    available: dict[str, NDArray[np.bool_]]
    label: NDArray[np.float32]


def load_badrobots(path: Path) -> list[Person]:
    """All people of a table, in order of appearance.

    Args:
        path: CSV, or CSV in gzip: participant, frame, binary_label, multiclass_label, 8 gaze_* columns, 23 of
            voice.

    Raises:
        UserError: no such table, or an invalid line.
    """
    width = len(KEYS) + sum(DIMS.values())
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise UserError(
            f"{path}: {getattr(error, 'strerror', None) or error}; expected a table of BAD Robots IRL"
        ) from None
    header, *lines = list(csv.reader(text.splitlines())) or [[]]
    gaze = header[len(KEYS) : len(KEYS) + DIMS["gaze"]]
    if tuple(header[: len(KEYS)]) != KEYS or len(header) != width or not all("gaze" in n for n in gaze):
        raise UserError(
            f"{path}: expected the columns {', '.join(KEYS)}, {DIMS['gaze']} of gaze and {DIMS['voice']} of "
            f"voice, found {', '.join(header) or 'none'}"
        )
    rows: dict[str, list[list[float]]] = {}
    for number, line in enumerate(lines, start=2):
        try:
            values = [float(value) for value in line[1:]]
        except ValueError as error:
            raise UserError(f"{path}, line {number}: {error}") from None
        if len(line) != width or not np.isfinite(values).all() or values[1] not in (0, 1):
            raise UserError(
                f"{path}, line {number}: expected {width} columns, finite, binary_label 0 or 1; "
                f"found {len(line)}: {','.join(line)[:60]}"
            )
        rows.setdefault(line[0], []).append(values)
    return [_person(name, np.array(values)) for name, values in rows.items()]


def _person(name: str, values: NDArray[np.float64]) -> Person:
    values = values[np.argsort(values[:, 0], kind="stable")]
    gaze, voice = np.split(values[:, len(KEYS) - 1 :].astype(np.float32), [DIMS["gaze"]], 1)
    x = {"gaze": gaze, "voice": voice}
    return Person(name, x, {m: (v != 0).any(1) for m, v in x.items()}, values[:, 1].astype(np.float32))
