import numpy as np
import pytest

from benchmarks.datasets.grid import (
    BELOW_ORIGIN,
    BINS,
    HALF_SIDE,
    PIXELS,
    QUIET,
    RATE,
    SAMPLES_PER_SECOND,
    Square,
    crop,
    face_square,
    spectra,
)
from enrapt.contracts.schemas import FACE
from enrapt.realtime.sources.recording import Recording
from enrapt.realtime.streams.samples import Frame


def face(x, y, z):
    features = np.zeros((3, FACE.dim), np.float32)
    features[:, [FACE.index(axis) for axis in "xyz"]] = [[x, y, z], [x, y, z], [90.0, 90.0, -1.0]]
    return features


def test_the_square_is_centred_at_the_face():
    tan = np.tan(np.radians(31.5))
    # At this distance half the image's height, 100 pixels, is 25 cm: 4 pixels/cm.
    square = face_square(face(5.0, BELOW_ORIGIN, -25 / tan), 200, 300)
    assert square.side == round(8 * HALF_SIDE)
    assert square.left + square.side / 2 == 150 + 20  # x is right
    assert square.top + square.side / 2 == 100
    assert face_square(face(5.0, BELOW_ORIGIN + 10, -25 / tan), 200, 300).top == square.top - 40  # y is up


def test_a_crop_is_the_mean_over_its_pixels():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (2, PIXELS, PIXELS), np.uint8)
    image = np.zeros((2, 150, 200, 3), np.uint8)
    image[:, 10:138, 50:178] = small.repeat(2, 1).repeat(2, 2)[..., None]
    out = crop(image, Square(left=50, top=10, side=128))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, small / 255, atol=1e-6)
    image[:, :10], image[:, 138:], image[:, :, :50], image[:, :, 178:] = 255, 255, 255, 255
    np.testing.assert_array_equal(crop(image, Square(50, 10, 128)), out)  # and nothing else


def test_a_square_at_the_edge_is_moved_in():
    image = np.random.default_rng(0).integers(0, 256, (1, 80, 90, 3), np.uint8)
    for outside, inside in [
        (Square(-9, -1, 64), Square(0, 0, 64)),
        (Square(50, 40, 64), Square(26, 16, 64)),
        (Square(0, 0, 200), Square(0, 0, 80)),
    ]:
        np.testing.assert_array_equal(crop(image, outside), crop(image, inside))


def test_a_tone_of_full_scale_is_a_peak_of_one_at_its_bin():
    t = np.arange(2 * SAMPLES_PER_SECOND) / SAMPLES_PER_SECOND
    out = spectra(np.sin(2 * np.pi * 1000 * t).astype(np.float32), 50)
    assert out.shape == (50, BINS)
    inner = out[2:-2]
    assert (inner.argmax(1) == 64).all()  # 1000 Hz of 15.625 Hz a bin
    np.testing.assert_allclose(inner[:, 64], 0, atol=1e-4)
    np.testing.assert_allclose(inner[:, 70:], np.log(QUIET), atol=1e-2)


def test_a_click_is_loudest_at_its_tick():
    sound = np.zeros(SAMPLES_PER_SECOND, np.float32)
    sound[7 * SAMPLES_PER_SECOND // RATE] = 1
    out = spectra(sound, RATE)
    assert out.mean(1).argmax() == 7
    np.testing.assert_allclose(np.delete(out, [7], 0), np.log(QUIET), atol=1e-3)


@pytest.mark.parametrize("samples", [0, 100, 8000, 40_000])
def test_short_and_long_sound_give_the_requested_ticks(samples):
    sound = np.full(samples, 0.5, np.float32)
    out = spectra(sound, 20)
    assert out.shape == (20, BINS)
    assert np.isfinite(out).all()
    assert (out[-1, 0] > np.log(0.1)) == (samples == 40_000)


def test_a_real_clip(shared):
    pieces = list(Recording(shared / "clips" / "grid_sbia1a.mpg"))
    images = np.stack([piece.image for piece in pieces if isinstance(piece, Frame)])
    sound = np.concatenate([piece.samples for piece in pieces if not isinstance(piece, Frame)])
    # where MediaPipe finds this face
    square = face_square(face(0.28, -3.73, -34.0), *images.shape[1:3])
    crops, voice = crop(images, square), spectra(sound, len(images))
    assert crops.shape == (75, PIXELS, PIXELS)
    assert 0.2 < crops.mean() < 0.7
    # The mouth moves more than the forehead, and the middle of the sentence is louder than its ends.
    motion = np.abs(np.diff(crops, axis=0)).mean(0)
    assert motion[42:60, 18:46].mean() > 2 * motion[4:16, 18:46].mean()
    assert voice[25:50].mean() > voice[[0, 1, -2, -1]].mean() + 1
