"""Whose face it is: by where it was, how large, and its shape. Kept in memory only.

The shape is 153 distances between 18 landmarks that expressions move little, relative to each other: on
seven speakers and two others, ten pictures each, the same person's differ by 0.9 % (95th percentile 1.4 %),
two people's by 4.7 % (5th percentile 2.1 %). Turning the head far changes them more than another person does.
"""

from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Corners of the eyes, bridge, tip and sides of the nose, temples, forehead, brows; not mouth, not jaw.
_POINTS: Final = (33, 133, 362, 263, 1, 6, 168, 4, 234, 454, 10, 127, 356, 70, 300, 2, 98, 327)
_PAIRS: Final = np.array(list(combinations(_POINTS, 2))).T


class Shape:
    """The mean shape of a face over its last pictures.

    Attributes:
        memory: pictures after which older ones fade.
        n: pictures in it.
    """

    def __init__(self, memory: int) -> None:
        self.n, self.memory = 0, memory
        self._mean = np.zeros(_PAIRS.shape[1], np.float32)

    def add(self, landmarks: NDArray[np.float32]) -> None:
        """Take in one more picture; landmarks `[478, 3]`, pixels, z on the scale of x and y."""
        a, b = landmarks[_PAIRS]
        logs = np.log(np.sqrt(np.square(a - b).sum(1)) + np.float32(1e-9))
        self.n += 1
        self._mean += (logs - logs.mean() - self._mean) / min(self.n, self.memory)

    def difference(self, other: "Shape") -> float:
        """Root mean square of the relative differences between distances, 0.01 for 1 %."""
        return float(np.sqrt(np.square(self._mean - other._mean).mean()))
