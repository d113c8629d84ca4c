"""What flows from the sources to the model. Times are integers, nanoseconds on the session's clock."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

SECOND: Final = 1_000_000_000  # ns


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture.

    Attributes:
        originating_time: ns; when the light reached the sensor.
        image: uint8 `[height, width, 3]`, RGB, C-contiguous, upright.
    """

    originating_time: int
    image: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Sound:
    """A stretch of sound.

    Attributes:
        originating_time: ns; when its first sample reached the microphone.
        samples: float32 `[n]`, mono, 16 kHz, full scale ±1.
    """

    originating_time: int
    samples: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Sample:
    """One feature vector.

    Attributes:
        modality: `face`, `audio`, …
        originating_time: ns; of the picture, or of the last sound sample that the features cover.
        values: float32 `[dim]` in the order of the modality's schema; None where the sensor worked and
            there was nothing to measure: no face in the picture, a muted microphone.
        sequence: the source's own count; the smaller wins where two samples bear the same time.
    """

    modality: str
    originating_time: int
    values: NDArray[np.float32] | None
    sequence: int


@dataclass(frozen=True, slots=True)
class Observation:
    """All modalities at one tick.

    Attributes:
        tick: its number, from 0.
        time: ns; `t0 + tick / rate`.
        values: float32 `[dim]` by modality, None where missing.
        age: ns between the value's originating time and the tick, by modality, None where missing.
    """

    tick: int
    time: int
    values: dict[str, NDArray[np.float32] | None]
    age: dict[str, int | None]
