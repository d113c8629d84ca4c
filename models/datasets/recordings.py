"""Recorded sessions: a folder of NumPy files.

    FOLDER/train/*.npz   FOLDER/validation/*.npz   FOLDER/test/*.npz

A file is one session with an array `[T, *shape]` per modality, one row per tick at the configuration's rate.
A row of NaN is missing; a modality that a file does not have is missing throughout; all other values must be
finite, and not beyond ±10⁹. A person must appear in one folder only, or the scores are too high.

A target's labels may be uncertain: `TARGET_spread`, of the same shape and unit, is their standard deviation,
at least 0; NaN counts as 0.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from ...contracts.errors import UserError
from ..batch import out_of_range
from ..modality import Modality
from .npz import read_arrays

PARTS: Final = ("train", "validation", "test")
SPREAD: Final = "_spread"
LARGEST: Final = 1e9  # of a value; no unit needs more
MAX_NUMBERS: Final = 2**30  # in a part: 4 GiB

# `[T, *shape]` by modality, NaN where missing; `TARGET_spread` of targets whose file has it
Session = dict[str, NDArray[np.float32]]


def read(
    folder: Path, part: str, modalities: tuple[Modality, ...], ignore: tuple[str, ...] = ()
) -> list[Session]:
    """The sessions of one part, in the order of their files' names.

    Args:
        ignore: arrays of files that are not modalities.

    Raises:
        UserError: no files, or an invalid one.
    """
    paths = sorted((folder / part).glob("*.npz"))
    if not paths:
        raise UserError(f"{folder / part}: no sessions; give .npz files, one per session")
    sessions, numbers = [], 0
    for path in paths:
        sessions.append(read_session(path, modalities, ignore))
        numbers += sum(values.size for values in sessions[-1].values())
        if numbers > MAX_NUMBERS:
            raise UserError(f"{folder / part}: more than {MAX_NUMBERS:.0e} numbers; give fewer sessions")
    return sessions


def read_session(path: Path, modalities: tuple[Modality, ...], ignore: tuple[str, ...] = ()) -> Session:
    """One file; see the module's docstring.

    Raises:
        UserError: as `read`.
    """
    names = [m.name for m in modalities]
    spreads = [f"{m.name}{SPREAD}" for m in modalities if m.role == "target"]
    arrays = read_arrays(path, [*names, *spreads, *ignore])
    arrays = {name: array for name, array in arrays.items() if name in (*names, *spreads)}
    if not any(name in arrays for name in names):
        raise UserError(f"{path}: empty; expected one or more of {', '.join(names)}")
    first = next(iter(arrays.values()))
    length = max(len(first), 1) if first.ndim else 1
    session = {}
    for m in modalities:
        if m.name not in arrays:
            session[m.name] = np.full((length, *m.shape), np.nan, np.float32)
            continue
        array = arrays.pop(m.name)
        if array.shape != (length, *m.shape):
            expected = " × ".join(map(str, (length, *m.shape)))
            raise UserError(f"{path}: {m.name}: expected {expected}, found {array.shape}")
        session[m.name] = _values(array, m, path)
    for name, array in arrays.items():  # what is left: spreads
        session[name] = _spread(array, session[name.removesuffix(SPREAD)].shape, name, path)
    return session


def _spread(array: NDArray[Any], shape: tuple[int, ...], name: str, path: Path) -> NDArray[np.float32]:
    """The array of a target's spread, checked."""
    if array.shape != shape:
        raise UserError(f"{path}: {name}: expected {' × '.join(map(str, shape))}, found {array.shape}")
    values = np.where(np.isnan(array), 0, array).astype(np.float32)
    lowest, highest = float(values.min(initial=0)), float(values.max(initial=0))
    if not 0 <= lowest <= highest <= LARGEST:
        raise UserError(f"{path}: {name}: expected 0 or more, found {lowest:g} to {highest:g}")
    return values


def _values(array: NDArray[Any], m: Modality, path: Path) -> NDArray[np.float32]:
    """The array of a modality, checked."""
    with np.errstate(over="ignore"):
        values = array.astype(np.float32)
    rows = values.reshape(len(values), -1)
    missing = np.isnan(rows)
    wrong = missing.any(1) & ~missing.all(1) | np.isinf(rows).any(1)
    if wrong.any():
        tick = int(np.argmax(wrong))
        raise UserError(f"{path}: {m.name}: tick {tick} is neither finite nor all NaN (missing)")
    lowest, highest = float(np.nanmin(values, initial=0)), float(np.nanmax(values, initial=0))
    if max(-lowest, highest) > LARGEST:
        raise UserError(f"{path}: {m.name}: values of {lowest:g} to {highest:g}, beyond ±{LARGEST:g}")
    if fault := out_of_range(m, torch.from_numpy(rows[~missing.all(1)])):
        raise UserError(f"{path}: {m.name}: {fault}")
    return values
