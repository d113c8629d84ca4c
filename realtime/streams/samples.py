"""What flows from the sources to the model. Times are integers, nanoseconds on one axis a run."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

SECOND: Final = 1_000_000_000  # ns


class Control(StrEnum):
    """The label of a mark that controls a run. The same text as a plain `str` is only text."""

    RESET = "enrapt: reset"  # at a tick before which the model forgot everything
    CALIBRATE = "enrapt: calibrate"  # at the first tick of data that a profile is made of


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
class View:
    """The people in a picture, and the one whose features are taken.

    Attributes:
        faces: in view.
        person: id of the one that is followed, from 1; None before one is chosen.
        box: left, top, width and height of the person's face, as shares of the picture; None if not in view.
        quality: 0..1, of that face; None if not in view.
        problem: why the quality is too low for features: `too small`; None if it is not.
        values: float32 `[dim]`, the features of that face; None where they are missing. Only in `others`.
        others: views of the other people in view, where their features are wanted.
    """

    faces: int
    person: int | None = None
    box: tuple[float, float, float, float] | None = None
    quality: float | None = None
    problem: str | None = None
    values: NDArray[np.float32] | None = field(default=None, compare=False)
    others: tuple["View", ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One feature vector.

    Attributes:
        modality: the bundle's name for it.
        originating_time: ns; of the picture, or of the last sound sample that the features cover.
        values: float32 `[dim]` in the order of the modality's schema; None where the sensor worked and
            there was nothing to measure: no face in the picture, a muted microphone.
        sequence: the source's own count; the smaller wins where two samples have the same time.
        view: of samples of pictures.
    """

    modality: str
    originating_time: int
    values: NDArray[np.float32] | None
    sequence: int
    view: View | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """When the material of a tick came: differs from run to run, and changes no estimate.

    Attributes:
        due: `time.monotonic_ns` at the tick's own time; None where ticks come as fast as possible.
        newest: `time.monotonic_ns` when the newest new material originated (live and paced) or was decoded;
            None if nothing is new.
        extract: ms by modality; what extracting the newest features took.
        waits: ms by modality; from the tick's time until everything up to it had come. Without those that
            the tick did not wait for.
    """

    due: int | None = None
    newest: int | None = None
    extract: dict[str, float] = field(default_factory=dict)
    waits: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observation:
    """All modalities at one tick.

    Attributes:
        tick: its number, from 0.
        time: ns; `t0 + tick / rate`.
        values: float32 `[dim]` by modality, None where missing.
        age: ns between the value's originating time and the tick, by modality, None where missing.
        timing: when its material came; no part of what repeats.
        view: who was in the newest picture; None without a picture that is new enough.
    """

    tick: int
    time: int
    values: dict[str, NDArray[np.float32] | None]
    age: dict[str, int | None]
    timing: Timing = field(default_factory=Timing, compare=False)
    view: View | None = None

    def masked(self) -> "Observation":
        """The same tick with every modality missing."""
        nothing = dict.fromkeys(self.values)
        return Observation(self.tick, self.time, {**nothing}, {**nothing}, self.timing)
