"""Whether a stream carries features or sound for a modality, by its channels and rate."""

from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...contracts.schemas import AUDIO, SPEAKING

Kind = Literal["features", "sound"]

MIN_RATE: Final = 8_000  # Hz, of sound
MAX_RATE: Final = 1_000_000
SOUNDS: Final = (AUDIO.name, SPEAKING.name)  # what is made of sound


class Shape(NamedTuple):
    """Attributes:
    channels: numbers or strings in a sample.
    rate: Hz; 0 if irregular.
    strings: whether samples are strings.
    """

    channels: int
    rate: float
    strings: bool

    def __str__(self) -> str:
        at = f" at {self.rate:g} Hz" if self.rate else ""
        return f"{_channels(self.channels)}{' of strings' * self.strings}{at}"


def kind_of(shape: Shape, dim: int, schema: str | None) -> Kind | None:
    """What a stream carries for a modality of `dim` numbers of that schema; None where it does not fit.

    Features are streams of `dim` channels, for any schema. Sound is possible for `audio/1` and `speaking/1`,
    whose one number nobody sends thousands of times a second.
    """
    if shape.strings:
        return None
    if schema in SOUNDS and shape.channels in (1, 2) and MIN_RATE <= shape.rate <= MAX_RATE:
        return "sound"
    return "features" if shape.channels == dim else None


def accepted(dim: int, schema: str | None) -> str:
    """What `kind_of` accepts, for messages."""
    features = f"{_channels(dim)} of numbers{f' ({schema})' if schema else ''}"
    sound = f", or sound: 1 or 2 channels at {MIN_RATE} to {MAX_RATE} Hz"
    return features + (sound if schema in SOUNDS else "")


def _channels(n: int) -> str:
    return f"{n} channel{'s' * (n != 1)}"


def vector(values: NDArray[Any]) -> NDArray[np.float32] | None:
    """A sample `[dim]` of any number type as features; None, missing, if any of them is not finite."""
    with np.errstate(over="ignore"):
        features: NDArray[np.float32] = values.astype(np.float32)
    return features if np.isfinite(features).all() else None


def full_scale(values: NDArray[Any]) -> NDArray[np.floating]:
    """Sound `[n, channels]` of any number type, with full scale ±1; that of integers is their range."""
    if np.issubdtype(values.dtype, np.integer):
        return values / -float(np.iinfo(values.dtype).min)
    return values
