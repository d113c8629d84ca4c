"""Which streams of others can give a modality's features: by their channels and rate."""

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ...contracts.schemas import AUDIO

Kind = Literal["features", "sound"]

MIN_RATE: Final = 8_000  # Hz, of sound


def kind_of(schema: str | None, dim: int, channels: int, rate: float, of_strings: bool) -> Kind | None:
    """What a stream gives of a modality of that schema and number of features; None if nothing.

    Args:
        rate: Hz, 0 if irregular.
    """
    if of_strings:
        return None
    if channels == dim:
        return "features"
    return "sound" if schema == AUDIO.name and channels in (1, 2) and rate >= MIN_RATE else None


def accepted(schema: str | None, dim: int) -> str:
    """What a stream must have for such a modality, for people."""
    features = f"{dim} channel{'s' * (dim != 1)} of numbers" + f" ({schema})" * (schema is not None)
    sound = f", or sound: 1 or 2 channels at {MIN_RATE} Hz or more"
    return features + sound * (schema == AUDIO.name)


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
