"""The 1€ filter of landmarks against a reference, number by number."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from enrapt.realtime.features.face.smoothing import BETA, DERIVATIVE_CUTOFF, MIN_CUTOFF, OneEuro

MS = 1_000_000  # ns


class Reference:
    """Of one number, as in Casiez et al., listing 1, with the speed relative to a size."""

    def __init__(self):
        self.x = self.dx = self.hat = None

    def __call__(self, x, seconds, size):
        if self.x is None:
            self.x, self.dx, self.hat = x, 0.0, x
            return x

        def alpha(cutoff):
            tau = 1 / (2 * math.pi * cutoff)
            return 1 / (1 + tau / seconds)

        speed = (x - self.x) / seconds / size
        self.dx = alpha(DERIVATIVE_CUTOFF) * speed + (1 - alpha(DERIVATIVE_CUTOFF)) * self.dx
        a = alpha(MIN_CUTOFF + BETA * abs(self.dx))
        self.x, self.hat = x, a * x + (1 - a) * self.hat
        return self.hat


faces = arrays(np.float32, (4, 3), elements=st.floats(-300, 300, width=32))
steps = st.lists(st.tuples(faces, st.integers(1, 2000)), min_size=1, max_size=8)


@settings(max_examples=200)
@given(steps)
def test_it_equals_the_reference_at_any_intervals(steps):
    smoothing, references = OneEuro(), [Reference() for _ in range(12)]
    corner = np.float32([[0, 0, 0], [200, 100, 0]])
    time = last = 0
    for landmarks, ms in steps:
        landmarks = np.concatenate([corner, landmarks])
        time += ms * MS
        size = (np.ptp(landmarks[:, 0]) + np.ptp(landmarks[:, 1])) / 2
        found = smoothing(landmarks, time)
        seconds = (time - last) / 1e9
        expected = [
            r(float(x), seconds, float(size)) for r, x in zip(references, landmarks[2:].flat, strict=True)
        ]
        np.testing.assert_allclose(found[2:].ravel(), expected, rtol=1e-6, atol=1e-5)
        last = time


@given(faces, st.lists(st.integers(1, 5000), max_size=20))
def test_what_rests_stays(landmarks, intervals):
    smoothing, time = OneEuro(), 0
    for ms in (1, *intervals):
        time += ms * MS
        np.testing.assert_array_equal(smoothing(landmarks, time), landmarks)


def test_noise_at_rest_is_smoothed_and_a_movement_is_not():
    rng = np.random.default_rng(0)
    face = rng.uniform(0, 200, (478, 3)).astype(np.float32)
    smoothing = OneEuro()
    noisy = [face + rng.normal(0, 0.02, face.shape).astype(np.float32) for _ in range(100)]
    smooth = [smoothing(one, (k + 1) * 40 * MS) for k, one in enumerate(noisy)]
    assert np.std(smooth[50:], axis=0).mean() < 0.5 * np.std(noisy[50:], axis=0).mean()
    for k in range(1, 25):  # 5 pixels a picture
        moving = face + np.float32([5 * k, 0, 0])
        found = smoothing(moving, (100 + k) * 40 * MS)
    assert np.abs(found - moving).max() < 1.0


def test_a_face_without_size_is_left_as_it_is():
    smoothing, point = OneEuro(), np.ones((478, 3), np.float32)
    for k in range(1, 4):
        np.testing.assert_array_equal(smoothing(point * k, k * MS), point * k)


def test_its_input_is_not_changed():
    smoothing = OneEuro()
    rng = np.random.default_rng(0)
    for k in range(1, 5):
        landmarks = rng.uniform(0, 100, (478, 3)).astype(np.float32)
        before = landmarks.copy()
        smoothing(landmarks, k * 40 * MS)
        np.testing.assert_array_equal(landmarks, before)


def test_the_first_picture_is_taken_as_it_is():
    landmarks = np.random.default_rng(1).uniform(0, 100, (478, 3)).astype(np.float32)
    assert OneEuro()(landmarks, 5) == pytest.approx(landmarks)
