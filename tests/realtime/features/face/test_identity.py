"""The shape of a face: of the same person nearly the same, of another one not, wherever the face is."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrapt.realtime.features.face.identity import Shape
from enrapt.realtime.features.face.networks import Networks
from enrapt.realtime.features.face.tracker import ELSEWHERE, IN_PLACE, Tracker
from tests.support.faces import FRAME, head, moved, scene

RNG = np.random.default_rng(0)
LANDMARKS = RNG.uniform(0, 200, (478, 3)).astype(np.float32)


def shape_of(*pictures, memory=8):
    shape = Shape(memory)
    for landmarks in pictures:
        shape.add(landmarks)
    return shape


@given(st.floats(0.2, 5), st.floats(-3, 3), st.floats(-3, 3), st.tuples(*[st.floats(-500, 500)] * 3))
def test_place_size_and_rotation_do_not_matter(scale, yaw, roll, place):
    c, s = math.cos(yaw), math.sin(yaw)
    about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    c, s = math.cos(roll), math.sin(roll)
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    other = (scale * LANDMARKS @ about_y @ about_z + place).astype(np.float32)
    assert shape_of(other).difference(shape_of(LANDMARKS)) < 2e-3


def test_a_stretched_face_differs_by_its_stretch():
    """By 4 % in x alone, distances change by up to 4 %, relative to their mean."""
    wide = LANDMARKS * np.float32([1.04, 1, 1])
    assert 0.005 < shape_of(wide).difference(shape_of(LANDMARKS)) < 0.02
    assert shape_of(LANDMARKS).difference(shape_of(LANDMARKS)) == 0


def test_a_difference_has_no_direction():
    one, other = shape_of(LANDMARKS), shape_of(LANDMARKS[::-1])
    assert one.difference(other) == other.difference(one) > 0.1


def test_it_is_the_mean_over_its_pictures_and_forgets_older_ones():
    noisy = [LANDMARKS + RNG.normal(0, 2, LANDMARKS.shape).astype(np.float32) for _ in range(40)]
    truth = shape_of(LANDMARKS)
    assert shape_of(*noisy, memory=250).difference(truth) < 0.5 * shape_of(noisy[0]).difference(truth)
    other = LANDMARKS * np.float32([1.3, 1, 1])
    shape = shape_of(*[other] * 20, *[LANDMARKS] * 60, memory=8)
    assert shape.difference(truth) < 1e-3
    assert shape.n == 80


def test_landmarks_that_coincide_are_finite():
    shape = shape_of(np.zeros((478, 3), np.float32))
    assert math.isfinite(shape.difference(shape_of(LANDMARKS)))


@pytest.fixture(scope="module")
def shapes(face_model):
    """Of three people, each upright, turned, far and elsewhere."""
    networks = Networks(face_model)

    def shape(person, **movement):
        tracker = Tracker(networks)
        picture = moved(scene((person, 400)), **movement)
        (face,) = [tracker.track(picture, (k + 1) * FRAME) for k in range(6)][-1]
        return face.shape

    ways = [{}, {"degrees": 15}, {"zoom": 0.6}, {"right": 150}]
    return [[shape(head(stretch), **way) for way in ways] for stretch in (0.82, 1.0, 1.25)]


def test_the_same_person_is_nearer_than_another(shapes):
    for person in shapes:
        for one in person:
            for other in person:
                assert one.difference(other) < IN_PLACE
    for one in shapes[0] + shapes[2]:
        for other in shapes[1]:
            assert one.difference(other) > IN_PLACE > ELSEWHERE
