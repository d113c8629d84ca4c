"""A region's axes and pixels, exactly."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.realtime.features.face.region import EXPANSION, Region

PICTURE = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)

number = st.floats(-500, 500)
size = st.floats(1, 500)
regions = st.builds(Region, number, number, size, size, st.floats(-math.pi, math.pi))


@given(regions)
def test_the_middle_is_the_centre_and_the_corners_are_as_far_as_its_sides(region):
    to_picture = region.axes().astype(float)
    at = lambda u, v: to_picture @ (u, v, 1)  # noqa: E731
    np.testing.assert_allclose(at(0.5, 0.5), (region.x, region.y), atol=1e-3)
    across, down = at(1, 0) - at(0, 0), at(0, 1) - at(0, 0)
    assert math.hypot(*across) == pytest.approx(region.width, rel=1e-5)
    assert math.hypot(*down) == pytest.approx(region.height, rel=1e-5)
    assert across @ down == pytest.approx(0, abs=1e-4 * region.width * region.height)
    assert math.remainder(math.atan2(across[1], across[0]) - region.angle, 2 * math.pi) == pytest.approx(
        0, abs=1e-5
    )
    assert across[0] * down[1] - across[1] * down[0] > 0  # not mirrored


@pytest.mark.parametrize(("left", "top"), [(0, 0), (10, 20), (88, 58)])
def test_an_upright_crop_of_its_own_size_is_a_slice(left, top):
    region = Region(left + 16, top + 16, 32, 32, 0.0)
    pixels = region.crop(PICTURE, 32, cv2.BORDER_REPLICATE)
    np.testing.assert_array_equal(pixels, PICTURE[top : top + 32, left : left + 32])


def test_at_half_the_size_it_is_every_second_pixel():
    pixels = Region(60, 45, 64, 64, 0.0).crop(PICTURE, 32, cv2.BORDER_REPLICATE)
    np.testing.assert_array_equal(pixels, PICTURE[13:77:2, 28:92:2])


def test_at_twice_the_size_pixels_between_are_means():
    pixels = Region(60, 45, 16, 16, 0.0).crop(PICTURE, 32, cv2.BORDER_REPLICATE).astype(float)
    source = PICTURE[37:54, 52:69].astype(float)
    np.testing.assert_array_equal(pixels[::2, ::2], source[:16, :16])
    np.testing.assert_allclose(pixels[::2, 1::2], (source[:16, :16] + source[:16, 1:]) / 2, atol=1)
    np.testing.assert_allclose(pixels[1::2, ::2], (source[:16, :16] + source[1:, :16]) / 2, atol=1)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_exact(quarters):
    """Clockwise in the picture: the crop's right is the picture's bottom after one."""
    pixels = Region(60, 45, 32, 32, quarters * math.pi / 2).crop(PICTURE, 32, cv2.BORDER_REPLICATE)
    v, u = np.mgrid[:32, :32]
    x, y = {1: (76 - v, 29 + u), 2: (76 - u, 61 - v), 3: (44 + v, 61 - u)}[quarters]
    np.testing.assert_allclose(pixels, PICTURE[y, x], atol=1)


def test_a_turned_face_stands_upright_in_its_crop():
    """A picture rotated by an angle, and a region turned by it, give the crop of the picture."""
    smooth = cv2.GaussianBlur(PICTURE, None, 4)
    matrix = cv2.getRotationMatrix2D((60, 45), -20, 1)  # clockwise
    turned = cv2.warpAffine(smooth, matrix, (120, 90), borderMode=cv2.BORDER_REPLICATE)
    upright = Region(60, 45, 40, 40, 0.0).crop(smooth, 64, cv2.BORDER_REPLICATE)
    found = Region(60, 45, 40, 40, math.radians(20)).crop(turned, 64, cv2.BORDER_REPLICATE)
    assert np.abs(found.astype(int) - upright).mean() < 1


@given(regions, st.sampled_from([16, 33]), st.sampled_from([cv2.BORDER_REPLICATE, cv2.BORDER_CONSTANT]))
def test_anywhere_it_is_what_a_warp_of_the_whole_picture_gives(region, side, border):
    """Also beyond the edges, and where no pixel of the picture is in it."""
    matrix = region.axes()
    matrix[:, :2] /= side
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    expected = cv2.warpAffine(PICTURE, matrix, (side, side), flags=flags, borderMode=border)
    found = region.crop(PICTURE, side, border)
    assert found.shape == (side, side, 3)
    assert found.dtype == np.uint8
    # Positions are rounded to a 32nd of a pixel, from another origin.
    difference = np.abs(found.astype(int) - expected)
    assert np.percentile(difference, 95) <= 16
    assert difference.mean() < 4


@given(st.floats(10, 400), number, number, st.floats(-3, 3))
def test_around_landmarks_it_is_a_square_turned_as_the_eyes_are(side, x, y, angle):
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[:, :2] = x, y
    landmarks[0, :2], landmarks[1, :2] = (x - side / 2, y - side / 4), (x + side / 2, y + side / 4)
    landmarks[263, 0] += side / 5 * math.cos(angle)
    landmarks[263, 1] += side / 5 * math.sin(angle)
    region = Region.around(landmarks)
    assert (region.x, region.y) == pytest.approx((x, y), abs=1e-2)
    assert region.width == region.height == pytest.approx(EXPANSION * side, rel=1e-3)
    assert region.angle == pytest.approx(angle, abs=1e-2)
