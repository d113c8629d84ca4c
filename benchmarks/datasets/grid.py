"""Pictures of a face and spectra of its voice, tick by tick, as of the GRID sentences (Cooke et al. 2006).

A clip is 3 s of 25 pictures/s with speech throughout. The face is cut out by one square for the whole clip,
so that the head moves in it as it moves before the camera.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from enrapt.contracts.schemas import FACE

RATE = 25  # ticks/s
PIXELS = 64  # to a side
SAMPLES_PER_SECOND = 16_000
WINDOW = 1024  # samples, 64 ms; hop 40 ms, a tick
BINS = WINDOW // 2  # without the highest, so that they can be halved again and again
QUIET = 1e-8  # power below which there is nothing to hear, full scale 1

HALF_ANGLE = np.radians(63 / 2)  # what `face/1` supposes the camera to see, from the middle upwards
BELOW_ORIGIN = 1.5  # cm; of the square's middle, seen from the face's origin
HALF_SIDE = 8.5  # cm


class Square(NamedTuple):
    """A square of a picture, in pixels."""

    left: int
    top: int
    side: int


def face_square(features: NDArray[np.floating], height: int, width: int) -> Square:
    """The square round a face that is, in the middle, where these `face/1` vectors `[n, 57]` say."""
    x, y, z = np.median(features[:, [FACE.index(axis) for axis in "xyz"]], 0)
    per_cm = height / 2 / np.tan(HALF_ANGLE) / -z
    half = HALF_SIDE * per_cm
    middle = width / 2 + x * per_cm, height / 2 - (y - BELOW_ORIGIN) * per_cm
    return Square(round(middle[0] - half), round(middle[1] - half), round(2 * half))


def cut(pictures: NDArray[np.uint8], square: Square) -> NDArray[np.float32]:
    """What is in the square, grey: RGB `[T, height, width, 3]` → 0 … 1, `[T, 64, 64]`.

    A square that reaches out of the picture is moved into it.
    """
    side = min(square.side, *pictures.shape[1:3])
    top, left = (
        int(np.clip(corner, 0, size - side))
        for corner, size in zip((square.top, square.left), pictures.shape[1:3], strict=True)
    )
    out = np.empty((len(pictures), PIXELS, PIXELS), np.float32)
    for i, picture in enumerate(pictures):
        grey = cv2.cvtColor(picture[top : top + side, left : left + side], cv2.COLOR_RGB2GRAY)
        out[i] = cv2.resize(grey, (PIXELS, PIXELS), interpolation=cv2.INTER_AREA)
    return out / np.float32(255)


def spectra(sound: NDArray[np.float32], ticks: int) -> NDArray[np.float32]:
    """Power spectra in ln full scale², `[ticks, 512]`, of 16 kHz sound `[n]` that starts at tick 0.

    The window is Hann's and has the tick in its middle; before and after the sound there is silence.
    """
    hop = SAMPLES_PER_SECOND // RATE
    needed = (ticks - 1) * hop + WINDOW
    padded = np.zeros(needed, np.float32)
    heard = sound[: needed - WINDOW // 2]
    padded[WINDOW // 2 : WINDOW // 2 + len(heard)] = heard
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::hop]
    hann = np.hanning(WINDOW + 1)[:-1]
    power = np.abs(np.fft.rfft(frames * hann)[:, :BINS] / (hann.sum() / 2)) ** 2
    return np.log(power + QUIET).astype(np.float32)
