"""Which streams of others can stand for a camera or a microphone: by their channels and rate."""

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ...contracts.schemas import AUDIO, FACE

Kind = Literal["features", "sound"]

SCHEMA: Final = {"face": FACE, "audio": AUDIO}  # by modality
MIN_RATE: Final = 8_000  # Hz, of sound
TAKEN: Final = {
    "face": f"{FACE.dim} channels of numbers ({FACE.name})",
    "audio": f"{AUDIO.dim} channels of numbers ({AUDIO.name}), "
    f"or sound: 1 or 2 channels at {MIN_RATE} Hz or more",
}  # by modality, for people


def kind_of(modality: str, channels: int, rate: float, of_strings: bool) -> Kind | None:
    """What a stream is to that modality; None where it is nothing to it. `rate`: Hz, 0 if irregular."""
    if of_strings:
        return None
    if channels == SCHEMA[modality].dim:
        return "features"
    return "sound" if modality == "audio" and channels in (1, 2) and rate >= MIN_RATE else None


def shape(channels: int, rate: float, of_strings: bool) -> str:
    """For people."""
    at = f" at {rate:g} Hz" if rate else ""
    return f"{channels} channel{'s' * (channels != 1)}{' of strings' * of_strings}{at}"


def vector(values: NDArray[Any]) -> NDArray[np.float32] | None:
    """A sample `[dim]` of any number type as features; None, missing, if any of them is not finite."""
    with np.errstate(over="ignore"):
        features: NDArray[np.float32] = values.astype(np.float32)
    return features if np.isfinite(features).all() else None


def mono(values: NDArray[Any]) -> NDArray[np.float32]:
    """Sound `[n, channels]` of any number type, integers of their full scale: float32 `[n]`, full scale ±1.

    What is not finite is silence: a filter would never forget it.
    """
    if np.issubdtype(values.dtype, np.integer):
        values = values / -float(np.iinfo(values.dtype).min)
    samples: NDArray[np.float32] = values.mean(axis=1, dtype=np.float64).astype(np.float32)
    return np.nan_to_num(samples, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
