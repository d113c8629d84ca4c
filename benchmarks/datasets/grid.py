"""Crops of a face and spectra of its voice, tick by tick, from clips of the GRID sentences (Cooke et al.
2006).

A clip is 3 s at 25 frames/s with speech throughout. One square crops the face in the whole clip, so head
motion stays visible.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from enrapt.contracts.schemas import FACE
from enrapt.realtime.features.face import FaceOptions
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.samples import Frame

TICKS = 75  # of a clip
RATE = 25  # ticks/s
PIXELS = 64  # per side
SAMPLES_PER_SECOND = 16_000
WINDOW = 1024  # samples, 64 ms; hop 40 ms, a tick
BINS = WINDOW // 2  # without the highest, for a power of two
QUIET = 1e-8  # power floor, full scale 1

HALF_ANGLE = np.radians(63 / 2)  # the half angle of view that `face/1` assumes
BELOW_ORIGIN = 1.5  # cm; centre of the square relative to the face's origin
HALF_SIDE = 8.5  # cm


class Square(NamedTuple):
    """A square in an image, in pixels."""

    left: int
    top: int
    side: int


def face_square(features: NDArray[np.floating], height: int, width: int) -> Square:
    """The square around a face at the median position of these `face/1` vectors `[n, 57]`."""
    x, y, z = np.median(features[:, [FACE.index(axis) for axis in "xyz"]], 0)
    per_cm = height / 2 / np.tan(HALF_ANGLE) / -z
    half = HALF_SIDE * per_cm
    middle = width / 2 + x * per_cm, height / 2 - (y - BELOW_ORIGIN) * per_cm
    return Square(round(middle[0] - half), round(middle[1] - half), round(2 * half))


def crop(images: NDArray[np.uint8], square: Square) -> NDArray[np.float32]:
    """Grey crops: RGB `[T, height, width, 3]` → 0 … 1, `[T, 64, 64]`.

    A square that extends beyond the image is moved inside.
    """
    side = min(square.side, *images.shape[1:3])
    top, left = (
        int(np.clip(corner, 0, size - side))
        for corner, size in zip((square.top, square.left), images.shape[1:3], strict=True)
    )
    out = np.empty((len(images), PIXELS, PIXELS), np.float32)
    for i, image in enumerate(images):
        grey = cv2.cvtColor(image[top : top + side, left : left + side], cv2.COLOR_RGB2GRAY)
        out[i] = cv2.resize(grey, (PIXELS, PIXELS), interpolation=cv2.INTER_AREA)
    return out / np.float32(255)


def spectra(sound: NDArray[np.float32], ticks: int) -> NDArray[np.float32]:
    """Power spectra in ln full scale², `[ticks, 512]`, of 16 kHz sound `[n]` that starts at tick 0.

    Hann window centred at the tick; silence before and after the sound.
    """
    hop = SAMPLES_PER_SECOND // RATE
    needed = (ticks - 1) * hop + WINDOW
    padded = np.zeros(needed, np.float32)
    covered = sound[: needed - WINDOW // 2]
    padded[WINDOW // 2 : WINDOW // 2 + len(covered)] = covered
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::hop]
    hann = np.hanning(WINDOW + 1)[:-1]
    power = np.abs(np.fft.rfft(frames * hann)[:, :BINS] / (hann.sum() / 2)) ** 2
    return np.log(power + QUIET).astype(np.float32)


class Clip(NamedTuple):
    images: NDArray[np.uint8]  # RGB, [T, height, width, 3]
    square: Square
    spectra: NDArray[np.float32]  # [T, 512]


class Data(NamedTuple):
    """Crops, 0 … 1, `[N, T, 64, 64]`, and spectra `[N, T, 512]`."""

    video: Tensor
    audio: Tensor


def read(path: Path, face_model: Path) -> Clip:
    """Images, face square and spectra of a clip."""
    images, faces, sound = [], [], []
    face = FaceOptions(face_model).open()
    for piece in Recording(path):
        if isinstance(piece, Frame):
            images.append(piece.image)
            faces.append(face.extract(piece.image, piece.originating_time)[0])
        else:
            sound.append(piece.samples)
    found = np.array([f for f in faces if f is not None])
    square = face_square(found, *images[0].shape[:2])
    return Clip(np.stack(images[:TICKS]), square, spectra(np.concatenate(sound), TICKS))


def unchanged(clips: list[Clip]) -> Data:
    """Clips without augmentation."""
    video = np.stack([crop(clip.images, clip.square) for clip in clips])
    return Data(torch.from_numpy(video), torch.from_numpy(np.stack([clip.spectra for clip in clips])))


def augmented(clips: list[Clip], rng: np.random.Generator) -> Data:
    """One copy of each clip: shifted, scaled, mirrored, brighter or darker, louder or softer; constant in a
    clip."""
    video, audio = [], []
    for clip in clips:
        left, top, side = clip.square
        dx, dy, growth = rng.uniform(-0.03, 0.03, 3) * side
        square = Square(round(left + dx - growth / 2), round(top + dy - growth / 2), round(side + growth))
        images = crop(clip.images, square)[..., :: rng.choice((1, -1))]
        video.append(images * rng.uniform(0.9, 1.1) + rng.uniform(-0.05, 0.05))
        audio.append(clip.spectra + rng.uniform(-0.7, 0.7))  # ± 3 dB
    return Data(torch.from_numpy(np.stack(video)).float(), torch.from_numpy(np.stack(audio)).float())
