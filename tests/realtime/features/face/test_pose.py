"""The head's rotation and position against a camera with a vertical field of view of 63°."""

import math
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrapt.bundle.protobuf import fields, nested
from enrapt.realtime.features.face.pose import Pose, yaw_pitch_roll

WIDTH, HEIGHT = 640, 480
FOCAL = HEIGHT / 2 / math.tan(math.radians(63 / 2))  # pixels


def rotation(yaw, pitch, roll):
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


turn = st.floats(-np.pi, np.pi)
nod = st.floats(-1.57, 1.57)


@given(turn, nod, turn, st.floats(0.1, 10))
def test_angles_reproduce_their_rotation(yaw, pitch, roll, scale):
    angles = yaw_pitch_roll(scale * rotation(yaw, pitch, roll))
    np.testing.assert_allclose(rotation(*angles), rotation(yaw, pitch, roll), atol=1e-9)
    assert angles[1] == pytest.approx(pitch, abs=1e-9)


@given(nod, nod, nod)
def test_angles_of_a_head_that_faces_the_camera_are_exact(yaw, pitch, roll):
    assert yaw_pitch_roll(rotation(yaw, pitch, roll)) == pytest.approx((yaw, pitch, roll), abs=1e-9)


def test_the_signs_of_the_angles_are_those_of_the_schema():
    nose = np.array([0, 0, 1.0])
    assert (rotation(0.3, 0, 0) @ nose)[0] > 0  # to the right of the picture
    assert (rotation(0, 0.3, 0) @ nose)[1] < 0  # lower
    top = np.array([0, 1.0, 0])
    assert (rotation(0, 0, 0.3) @ top)[0] < 0  # counter-clockwise
    assert yaw_pitch_roll(np.eye(3)) == (0, 0, 0)


@pytest.fixture(scope="module")
def geometry(face_model):
    with zipfile.ZipFile(face_model) as archive:
        return archive.read("geometry_pipeline_metadata_landmarks.binarypb")


@pytest.fixture(scope="module")
def canonical(geometry):
    """`[468, 3]`, cm; x to the right of the picture, y up, z towards the camera."""
    (mesh,) = nested(memoryview(geometry), 1)
    floats = b"".join(bytes(field.value) for field in fields(mesh) if field.number == 3)
    return np.frombuffer(floats, "<f4").reshape(468, 5)[:, :3].astype(np.float64)


def projected(canonical, turned, position, centre=None):
    """Landmarks `[478, 3]` as the network gives them: depth relative to the mean, on the scale of x."""
    points = canonical @ turned.T + position
    distance = -points[:, 2]
    landmarks = np.zeros((478, 3))
    landmarks[:468, 0] = WIDTH / 2 + FOCAL * points[:, 0] / distance
    landmarks[:468, 1] = HEIGHT / 2 - FOCAL * points[:, 1] / distance
    mean = -position[2] if centre is None else centre
    landmarks[:468, 2] = FOCAL * (distance / mean - 1)
    return landmarks.astype(np.float32)


@pytest.fixture(scope="module")
def pose(geometry):
    return Pose(geometry)


angle = st.floats(-0.7, 0.7)


@settings(max_examples=60)
@given(angle, angle, st.floats(-3, 3), st.floats(-12, 12), st.floats(-8, 8), st.floats(-120, -25))
def test_a_made_head_is_recovered(pose, canonical, yaw, pitch, roll, x, y, z):
    """Depths are relative: those of the mean landmark's distance are what the method assumes."""
    turned, position = rotation(yaw, pitch, roll), np.array([x, y, z])
    mean = -float((canonical @ turned.T + position)[:, 2].mean())
    found, where = pose(projected(canonical, turned, position, mean), WIDTH, HEIGHT)
    scale = np.cbrt(np.linalg.det(found))
    assert scale == pytest.approx(1, abs=2e-3)
    np.testing.assert_allclose(found / scale, turned, atol=2e-3)
    np.testing.assert_allclose(where, position, rtol=2e-3, atol=2e-2)


@settings(max_examples=30)
@given(angle, angle, angle)
def test_what_it_gives_is_a_rotation_times_a_scale(pose, canonical, yaw, pitch, roll):
    """Whatever the landmarks are: no reflection."""
    rng = np.random.default_rng(round(1000 * (yaw + pitch + roll)) % 1000)
    landmarks = projected(canonical, rotation(yaw, pitch, roll), np.array([0, 0, -50.0]))
    landmarks += rng.normal(0, 5, landmarks.shape).astype(np.float32)
    found, _ = pose(landmarks, WIDTH, HEIGHT)
    square = np.linalg.det(found) ** (2 / 3)
    assert square > 0
    np.testing.assert_allclose(found @ found.T, square * np.eye(3), atol=1e-6 * square)


def test_the_picture_of_any_size_gives_the_same_head(pose, canonical):
    landmarks = projected(canonical, rotation(0.2, 0.1, 0.3), np.array([2, 3, -40.0]))
    found, where = pose(landmarks, WIDTH, HEIGHT)
    larger, there = pose(landmarks * 2, 2 * WIDTH, 2 * HEIGHT)
    np.testing.assert_allclose(larger, found, atol=1e-5)
    np.testing.assert_allclose(there, where, atol=1e-3)


@pytest.mark.parametrize(
    "damage", [lambda g: b"", lambda g: g[: len(g) // 2], lambda g: g[:-3], lambda g: b"\xff" * 64]
)
def test_damaged_geometry_is_a_value_error(geometry, damage):
    with pytest.raises(ValueError):  # noqa: PT011
        Pose(damage(geometry))
