"""Anchors, decoding and weighted suppression of the face detector."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from enrapt.realtime.features.face.detector import ANCHORS, COORDINATES, SIZE, anchors, detect, suppressed
from enrapt.realtime.features.face.networks import Networks
from enrapt.realtime.features.face.region import EXPANSION
from tests.support.faces import moved, portrait


def test_there_are_two_anchors_at_each_of_16_squared_places_and_six_at_each_of_8_squared():
    centres = anchors()
    assert centres.shape == (ANCHORS, 2)
    assert centres.dtype == np.float32
    fine, coarse = Counter(map(tuple, centres[:512].tolist())), Counter(map(tuple, centres[512:].tolist()))
    assert fine == {((x + 0.5) / 16, (y + 0.5) / 16): 2 for x in range(16) for y in range(16)}
    assert coarse == {((x + 0.5) / 8, (y + 0.5) / 8): 6 for x in range(8) for y in range(8)}
    # Row by row, from the top left.
    assert centres[2].tolist() == [1.5 / 16, 0.5 / 16]
    assert centres[32].tolist() == [0.5 / 16, 1.5 / 16]


class Made:
    """A network whose output is made: faces at anchors; keeps its input."""

    def __init__(self, **faces: tuple[int, float, list[float]]) -> None:
        self.raw = np.full((ANCHORS, COORDINATES), 7.0, np.float32)
        self.logits = np.full(ANCHORS, -4.0, np.float32)
        for anchor, logit, numbers in faces.values():
            self.logits[anchor] = logit
            self.raw[anchor] = np.pad(numbers, (0, COORDINATES - len(numbers)))
        self.pixels = np.zeros(0)

    def __call__(self, pixels):
        self.pixels = pixels
        return self.raw, self.logits


def test_a_box_is_decoded_exactly():
    """Numbers are pixels of the input, relative to the anchor; points are x and y in turn."""
    # anchor 512: the first of the coarse layer, at 8, 8 pixels. Right eye at (-4, -2), left at (4, 2).
    network = Made(face=(512, 2.0, [16.0, 24.0, 32.0, 40.0, -4.0, -2.0, 4.0, 2.0]))
    (face,) = detect(network, np.zeros((480, 640, 3), np.uint8))
    pixel = 640 / SIZE  # the picture's longer side is the input's; above and below is a border
    x, y = (8 + 16) * pixel, (8 + 24) * pixel - (640 - 480) / 2
    assert face.score == pytest.approx(1 / (1 + math.exp(-2)), rel=1e-6)
    assert face.region == pytest.approx(
        (x, y, EXPANSION * 32 * pixel, EXPANSION * 40 * pixel, math.atan2(4, 8)), rel=1e-5
    )


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (128, 128), (30, 300)])
def test_the_network_gets_the_whole_picture_in_the_middle_of_a_black_square(size):
    network = Made()
    assert detect(network, np.full((*size, 3), 255, np.uint8)) == []
    assert network.pixels.shape == (SIZE, SIZE, 3)
    assert network.pixels.dtype == np.float32
    assert network.pixels.min() >= -1
    assert network.pixels.max() == 1
    white = float((network.pixels > 0).mean())
    assert white == pytest.approx(min(size) / max(size), abs=2 / SIZE)


@pytest.mark.parametrize(("logit", "found"), [(-1e-3, 0), (0.0, 1), (300.0, 1)])
def test_a_face_has_a_score_of_a_half_at_least(logit, found):
    assert len(detect(Made(face=(0, logit, [0, 0, 32, 32, 0, 0, 1, 0])), portrait())) == found


def test_faces_come_best_first():
    box = [0.0, 0.0, 16.0, 16.0, 0.0, 0.0, 1.0, 0.0]
    network = Made(a=(512, 1.0, box), b=(512 + 6 * 5, 3.0, box), c=(512 + 6 * 40, 2.0, box))
    scores = [face.score for face in detect(network, np.zeros((128, 128, 3), np.uint8))]
    assert scores == pytest.approx([1 / (1 + math.exp(-x)) for x in (3, 2, 1)])


def test_suppression_by_hand():
    """Of three boxes two overlap by 2/3; their mean has the weights 0.75 and 0.25 of scores 0.9 and 0.3."""
    boxes = np.array([[0, 0, 10, 10], [0, 2, 10, 12], [50, 50, 60, 60]], np.float32)
    scores = np.array([0.9, 0.3, 0.8], np.float32)
    points = np.arange(36, dtype=np.float32).reshape(3, 6, 2)
    first, second = suppressed(scores, boxes, points)
    assert first[0] == pytest.approx(0.9)
    np.testing.assert_allclose(first[1], [0, 0.5, 10, 10.5], atol=1e-5)
    np.testing.assert_allclose(first[2], 0.75 * points[0] + 0.25 * points[1], rtol=1e-5)
    assert second[0] == pytest.approx(0.8)
    np.testing.assert_allclose(second[1], boxes[2])


def test_an_overlap_of_a_half_is_not_enough():
    """Intersection 2/3 of each: over union 0.5, exactly."""
    boxes = np.array([[0, 0, 3, 1], [1, 0, 4, 1]], np.float32)
    points = np.zeros((2, 6, 2), np.float32)
    assert len(suppressed(np.array([0.9, 0.8], np.float32), boxes, points)) == 2
    boxes[1] = [0.9, 0, 3.9, 1]
    assert len(suppressed(np.array([0.9, 0.8], np.float32), boxes, points)) == 1


def test_boxes_without_area_end_too():
    boxes, points = np.ones((3, 4), np.float32), np.zeros((3, 6, 2), np.float32)
    with np.errstate(all="ignore"):
        assert len(suppressed(np.array([0.9, 0.8, 0.7], np.float32), boxes, points)) == 3


coordinate = st.floats(0, 1, width=32)


@st.composite
def candidates(draw):
    n = draw(st.integers(1, 12))
    corners = draw(arrays(np.float32, (n, 2), elements=coordinate))
    sizes = draw(arrays(np.float32, (n, 2), elements=st.floats(0.0625, 0.5, width=32)))
    scores = draw(st.lists(st.integers(500, 1000), min_size=n, max_size=n, unique=True))
    points = draw(arrays(np.float32, (n, 6, 2), elements=coordinate))
    order = draw(st.permutations(range(n)))
    return np.float32(scores) / 1000, np.concatenate([corners, corners + sizes], 1), points, order


@settings(max_examples=30)
@given(candidates())
def test_the_order_of_the_input_does_not_matter(made):
    scores, boxes, points, order = made
    some, others = suppressed(scores, boxes, points), suppressed(scores[order], boxes[order], points[order])
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


@settings(max_examples=30)
@given(candidates())
def test_disjoint_boxes_are_all_kept_as_they_are(made):
    scores, boxes, points, _ = made
    apart = boxes + 2 * np.arange(len(boxes), dtype=np.float32)[:, None]
    kept = suppressed(scores, apart, points)
    assert len(kept) == len(boxes)
    for (score, box, at), i in zip(kept, np.argsort(-scores), strict=True):
        assert score == scores[i]
        np.testing.assert_allclose(box, apart[i], rtol=1e-6)
        np.testing.assert_allclose(at, points[i], rtol=1e-6)


@settings(max_examples=30)
@given(candidates())
def test_a_mean_lies_within_its_boxes_and_scores_fall(made):
    scores, boxes, points, _ = made
    kept = suppressed(scores, boxes, points)
    assert [score for score, _, _ in kept] == sorted((score for score, _, _ in kept), reverse=True)
    for _, box, _ in kept:
        assert (boxes.min(0) - 1e-5 <= box).all()
        assert (box <= boxes.max(0) + 1e-5).all()


@pytest.mark.parametrize("degrees", [-30, 0, 20])
def test_the_face_of_a_portrait_is_found_with_its_angle(face_model, degrees):
    networks = Networks(face_model)
    (face,) = detect(networks.detector, moved(portrait(), degrees))
    (upright,) = detect(networks.detector, portrait())
    assert face.score > 0.8
    turned = face.region.angle - upright.region.angle
    assert turned == pytest.approx(-math.radians(degrees), abs=0.1)  # a region's angle is clockwise


def test_two_faces_are_two(face_model):
    two = np.concatenate([portrait(), portrait()[:, ::-1]], 1)
    left, right = sorted(detect(Networks(face_model).detector, two), key=lambda face: face.region.x)
    assert left.region.x + right.region.x == pytest.approx(two.shape[1], abs=15)
    assert left.region.x < 640 < right.region.x
