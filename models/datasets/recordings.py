"""Recorded sessions: a folder of NumPy files.

    FOLDER/train/*.npz   FOLDER/validation/*.npz   FOLDER/test/*.npz

A file is one session with an array `[T, D]` per modality, one row per tick at the configuration's rate. A row
of NaN is missing; a modality that a file does not have is missing throughout; all other values must be
finite. A person must appear in one folder only, or the scores are too high.
"""

from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ...contracts.errors import UserError
from ..modality import Modality

PARTS: Final = ("train", "validation", "test")

Session = dict[str, NDArray[np.float32]]  # `[T, D]` by modality, NaN where missing


def read(folder: Path, part: str, modalities: tuple[Modality, ...]) -> list[Session]:
    """The sessions of one part, in the order of their files' names.

    Raises:
        UserError: no files, or an invalid one.
    """
    paths = sorted((folder / part).glob("*.npz"))
    if not paths:
        raise UserError(f"{folder / part}: no sessions; give .npz files, one per session")
    return [read_session(path, modalities) for path in paths]


def read_session(path: Path, modalities: tuple[Modality, ...]) -> Session:
    """One file; see the module's docstring.

    Raises:
        UserError: as `read`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise UserError(f"{path}: cannot be read as .npz ({error})") from None
    names = [m.name for m in modalities]
    if wrong := sorted(arrays.keys() - set(names)):
        raise UserError(f"{path}: {', '.join(wrong)}: no such modality, expected {', '.join(names)}")
    if not arrays:
        raise UserError(f"{path}: empty; expected one or more of {', '.join(names)}")
    length = len(next(iter(arrays.values())))
    session = {}
    for m in modalities:
        values = arrays.get(m.name, np.full((length, m.dim), np.nan))
        if values.shape != (length, m.dim) or length == 0:
            raise UserError(f"{path}: {m.name}: expected {max(length, 1)} × {m.dim}, found {values.shape}")
        if values.dtype.kind not in "biuf":
            raise UserError(f"{path}: {m.name}: expected numbers, found {values.dtype}")
        values = values.astype(np.float32)
        missing = np.isnan(values)
        partly = missing.any(1) & ~missing.all(1)
        if partly.any() or np.isinf(values).any():
            tick = int(np.argmax(partly | np.isinf(values).any(1)))
            raise UserError(f"{path}: {m.name}: tick {tick} is neither finite nor all NaN (missing)")
        if m.likelihood in ("logit_normal", "bernoulli", "categorical") and (
            np.nanmin(values, initial=0) < 0 or np.nanmax(values, initial=1) > 1
        ):
            raise UserError(
                f"{path}: {m.name}: expected values from 0 to 1 ({m.likelihood}), found "
                f"{np.nanmin(values):g} to {np.nanmax(values):g}"
            )
        session[m.name] = values
    return session
