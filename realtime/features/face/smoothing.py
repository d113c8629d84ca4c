"""The One-Euro filter: landmarks at rest are smoothed strongly, moving ones hardly at all.

Source: G. Casiez, N. Roussel, D. Vogel, "1 € filter: a simple speed-based low-pass filter for noisy input in
interactive systems", CHI 2012. Constants are those of MediaPipe's face_landmarks_detector_graph.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...streams.samples import SECOND

MIN_CUTOFF: Final = 0.05  # Hz, of a landmark at rest
BETA: Final = 80.0  # Hz of cut-off per face size and second
DERIVATIVE_CUTOFF: Final = 1.0  # Hz
_SMALLEST: Final = 1e-6  # pixels; a smaller face is not smoothed


class OneEuro:
    """Smooths the landmarks of one face, each number by itself; speeds are relative to the face's size."""

    def __init__(self) -> None:
        self._time: int | None = None  # ns
        self._raw = self._smooth = self._speed = np.zeros(0)

    def __call__(self, landmarks: NDArray[np.float32], time: int) -> NDArray[np.float32]:
        """The smoothed landmarks.

        Args:
            landmarks: `[478, 3]`, pixels.
            time: ns, later than at the call before.
        """
        size = float(np.ptp(landmarks[:, :2], axis=0).mean())
        if size < _SMALLEST:
            return landmarks
        # In double precision: what is left of a fast movement's speed, times BETA, is the cut-off at rest.
        raw = landmarks.astype(np.float64)
        if self._time is None:
            self._speed = np.zeros_like(raw)
            self._smooth = raw
        else:
            interval = (time - self._time) / SECOND
            speed = (raw - self._raw) / (size * interval)
            self._speed += _alpha(DERIVATIVE_CUTOFF, interval) * (speed - self._speed)
            cutoff = MIN_CUTOFF + BETA * np.abs(self._speed)
            # α = 1 / (1 + τ / interval) with τ = 1 / (2π cutoff), equation 5
            rate = 2 * math.pi * interval * cutoff
            self._smooth = self._smooth + rate / (rate + 1) * (raw - self._smooth)
        self._time, self._raw = time, raw
        return self._smooth.astype(np.float32)


def _alpha(cutoff: float, interval: float) -> float:
    rate = 2 * math.pi * cutoff * interval
    return rate / (rate + 1)
