"""Emo-DB: sentences that actors spoke in seven emotions (Burkhardt et al. 2005), as `audio/1` features.

The file has an array of features `[T, 44]` for each sentence under its name: two digits of the speaker, three
characters of the text, a letter of the emotion (German), a letter of the take, as `03a01Wa`.
"""

import zipfile
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from enrapt.contracts.errors import UserError
from enrapt.contracts.schemas import AUDIO

EMOTIONS: Final = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "joy",
    "T": "sadness",
    "N": "neutral",
}


class Sentences(NamedTuple):
    """N sentences of at most T ticks.

    Attributes:
        x: raw values, float32 `[N, T, 44]`; NaN after the end of a sentence.
        speaker: two digits, `[N]`.
        emotion: index in `EMOTIONS`, `[N]`.
    """

    x: NDArray[np.float32]
    speaker: NDArray[np.str_]
    emotion: NDArray[np.int64]

    def of(self, chosen: NDArray[np.bool_]) -> "Sentences":
        """Some of them."""
        return Sentences(*(value[chosen] for value in self))


def load_emodb(path: Path) -> Sentences:
    """All sentences of an `.npz` file, by name.

    Raises:
        UserError: no such file, or one that has anything else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            features = {name: np.asarray(file[name], np.float32) for name in sorted(file.files)}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: {error}; expected an .npz file of features by sentence") from None
    for name, value in features.items():
        if len(name) != 7 or name[5] not in EMOTIONS or value.ndim != 2 or value.shape[1] != AUDIO.dim:
            raise UserError(
                f"{path}: expected names as 03a01Wa and [T, {AUDIO.dim}] numbers, found {name} "
                f"{list(value.shape)}"
            )
    if not features:
        raise UserError(f"{path}: no sentences")
    x = np.full((len(features), max(map(len, features.values())), AUDIO.dim), np.nan, np.float32)
    for row, value in zip(x, features.values(), strict=True):
        row[: len(value)] = value
    letters = list(EMOTIONS)
    return Sentences(
        x, np.array([name[:2] for name in features]), np.array([letters.index(name[5]) for name in features])
    )
