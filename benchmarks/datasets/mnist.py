"""MNIST (LeCun et al. 1998), binarised: a pixel is 1 where its grey value is above one half.

And pictures of two overlapping digits, after the MultiMNIST of Sabour, Frosst & Hinton (2017).
"""

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from enrapt.contracts.errors import UserError

PIXELS = 28 * 28
CLASSES = 10
SHIFT = 4  # pixels, at most, of each of two digits in each direction
PAIR_SIDE = 28 + 2 * SHIFT  # of a picture of two


class Digits(NamedTuple):
    """Binary images `[N, 784]` and one-hot labels `[N, 10]`, both float32; of two digits, images `[N, 1296]`
    and labels with two ones."""

    image: Tensor
    label: Tensor

    def part(self, start: int, end: int) -> "Digits":
        return Digits(self.image[start:end], self.label[start:end])


def load_mnist(folder: Path) -> tuple[Digits, Digits]:
    """The 60,000 training and the 10,000 test digits.

    Raises:
        UserError: one of the four idx files is missing or invalid.
    """
    return _digits(folder, "train"), _digits(folder, "t10k")


def pairs(digits: Digits, rng: np.random.Generator) -> Digits:
    """Pictures of two digits of different classes, one on the other, each shifted at random.

    There are as many as neighbours, in a random order, that are of different classes: about 0.9 N.
    """
    order = rng.permutation(len(digits.image))
    one, other = order, np.roll(order, 1)
    label = (digits.label[one] + digits.label[other]).clamp(max=1)
    different = (label.sum(-1) == 2).numpy()
    one, other, label = one[different], other[different], label[different]
    canvas = np.zeros((len(one), PAIR_SIDE, PAIR_SIDE), np.float32)
    image = digits.image.numpy().reshape(-1, 28, 28)
    row, place = np.arange(len(one))[:, None, None], np.arange(28)
    for part in (one, other):
        down, right = rng.integers(2 * SHIFT + 1, size=(2, len(one), 1, 1))
        where = row, down + place[:, None], right + place
        canvas[where] = np.maximum(canvas[where], image[part])
    return Digits(torch.from_numpy(canvas.reshape(len(one), -1)), label)


def _digits(folder: Path, part: str) -> Digits:
    images = _read_idx(folder / f"{part}-images-idx3-ubyte.gz", 3).reshape(-1, PIXELS)
    labels = _read_idx(folder / f"{part}-labels-idx1-ubyte.gz", 1)
    return Digits(
        torch.from_numpy(images > 127).float(), one_hot(torch.from_numpy(labels).long(), CLASSES).float()
    )


def _read_idx(path: Path, axes: int) -> np.ndarray:
    """Bytes of an idx file: 0, 0, type, number of axes, the axes' big-endian lengths, values."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError) as error:
        raise UserError(
            f"{path}: {getattr(error, 'strerror', None) or error}; expected a file of MNIST"
        ) from None
    header = 4 + 4 * axes
    known = len(content) >= header and content[:4] == bytes((0, 0, 8, axes))
    shape = np.frombuffer(content, ">u4", axes, offset=4) if known else ()
    if not known or len(content) - header != np.prod(shape, dtype=np.int64):
        raise UserError(f"{path}: expected an idx file of bytes with {axes} axes")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()
